"""The model card: what a stranger has to know before she uses the model, in the format of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from sere_core.model.folder import About
from sere_core.score.interval import uar_interval
from sere_core.score.records import Record


def card(about: About, record: Record, quoted: Record | None) -> str:
    """The card as Markdown with front matter.

    Args:
        about: the model.
        record: of the training that made it.
        quoted: the record whose folds were scored under the same config; None where nothing was scored.
    """
    head = yaml.safe_dump(_front_matter(about, quoted), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + "\n".join(_body(about, record, quoted)) + "\n"


def _front_matter(about: About, quoted: Record | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "library_name": "sere",
        "pipeline_tag": "audio-classification",
        "language": [each for each in about.paths if len(each) == 2],
        "license": "other",
        "license_name": "that-of-the-training-data",
        "tags": ["speech-emotion-recognition", "cross-lingual", "domain-adaptation"],
        "metrics": ["recall"],
    }
    if quoted is not None:
        result = {
            "task": {"type": "audio-classification", "name": "speech emotion recognition"},
            "dataset": {"name": about.target, "type": about.target},
            "metrics": [{"type": "recall", "name": "UAR", "value": round(quoted.scores["mean"]["uar"], 4)}],
        }
        data["model-index"] = [{"name": about.name, "results": [result]}]
    return data


def _body(about: About, record: Record, quoted: Record | None) -> Iterator[str]:
    folds, notes = record.folds["folds"], record.manifest["notes"]
    fold = folds[0]
    yield f"# {about.name}\n"
    yield f"Speech -> one of {len(about.classes)} emotions: {', '.join(about.classes)}."
    yield f"Trained on labelled speech of `{record.folds['source']}` and unlabelled speech of `{about.target}`.\n"
    yield "    sere predict THIS_FOLDER my_recordings/ -o answers.csv\n"
    yield "## Data\n"
    yield f"* labelled: {len(fold['labelled'])} utterances of `{record.folds['source']}`"
    yield f"* unlabelled: {len(fold['source'])} utterances of `{record.folds['source']}`, {len(fold['target'])} of `{about.target}`"
    yield f"* languages of the target: {', '.join(about.paths)}"
    for statement in notes.get("normalisation", []):
        yield f"* normalisation: {statement}"
    yield "\n## Method\n"
    for each in record.manifest["components"]:
        if each["kind"] in ("encoder", "dynamics", "resonance", "loss", "method"):
            cite = f", {each['cite']}" if each["cite"] else ""
            yield f"* {each['kind']} `{each['name']}` ({each['evidence']}{cite})"
    yield f"\nSeed {record.manifest['seeds']['run']}; config in `config.yaml`.\n"
    yield "## Scores\n"
    yield from _scores(about, quoted)
    yield "\n## Evidence without labels\n"
    yield from _evidence(record)
    yield "\n## Intended use and limits\n"
    yield "* Research, and the sorting of speech that a person then listens to. Not for decisions about people."
    yield f"* It knows {len(about.classes)} emotions and gives one of them to everything, silence and music too."
    yield "* Acted emotion is easier than real emotion: expect less on spontaneous speech than on corpora of actors."
    yield "* The scores hold for speakers, rooms and microphones like those of the corpus above, and for no other language."
    if about.normalisation == "speaker":
        yield "* Its features were standardised by speaker: tell it who speaks, or expect the lower scores of a corpus's statistics."
    yield "\n## Licence\n"
    yield f"The weights were made from `{record.folds['source']}` and `{about.target}`: their terms hold for this model, see the corpora."
    if any(each["kind"] == "encoder" and each["params"].get("model") for each in record.manifest["components"]):
        yield "The pretrained encoder has a licence of its own."


def _scores(about: About, quoted: Record | None) -> Iterator[str]:
    if quoted is None:
        yield "None: no utterance of the target has a label."
        return
    scores, interval = quoted.scores, uar_interval(quoted.scores)
    pooled = scores["pooled"]
    yield f"Measured on {pooled['n']} utterances of `{about.target}`, under the protocol `{quoted.manifest['protocol']}`"
    yield "(the same config; networks that had not adapted to what they were scored on, where that is inductive).\n"
    yield "| measure | value |\n|---|---|"
    if interval is None:
        yield f"| UAR | {100 * scores['mean']['uar']:.1f} % |"
    else:
        ends = f"{100 * interval.low:.1f} to {100 * interval.high:.1f}, {interval.n} {interval.how} resampled"
        yield f"| UAR | {100 * scores['mean']['uar']:.1f} % (95 % interval {ends}) |"
    yield f"| UAR of guessing | {100 * pooled['chance']:.1f} % |"
    for name, recall in zip(scores["classes"], pooled["recall"], strict=True):
        yield f"| recall of {name} | {'no utterances' if recall is None else f'{100 * recall:.1f} %'} |"
    confidence: dict[str, float] = pooled.get("confidence", {})
    for name in ("ece", "brier"):
        if name in confidence:
            yield f"| {name.upper() if name == 'ece' else 'Brier score'} (before the temperature) | {confidence[name]:.3f} |"
    if about.temperature != 1.0:
        yield f"| temperature of the confidences, fitted without target labels | {about.temperature:.2f} |"


def _evidence(record: Record) -> Iterator[str]:
    predictions = record.predictions
    classes = record.folds["classes"]
    shares = {name: sum(each.prediction == name for each in predictions) / len(predictions) for name in classes}
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    yield f"* predicted shares on {len(predictions)} utterances of the target: {told}"
    sure = sum(max(each.posteriors) for each in predictions) / len(predictions)
    yield f"* mean confidence before the temperature: {sure:.2f} (guessing: {1 / len(classes):.2f})"
    for name, value in (record.scores.get("evidence") or {}).items():
        if isinstance(value, (int, float)):
            yield f"* {name.replace('_', ' ')}: {value:.3f}"
