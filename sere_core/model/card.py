"""The model card: what a stranger has to know before she uses the model, in the format of the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import yaml

from sere_core.model.folder import About
from sere_core.model.temperature import FEWEST, Temperature, tempered
from sere_core.score.calibration import calibration
from sere_core.score.evidence import evidence
from sere_core.score.interval import uar_interval
from sere_core.score.records import Record
from sere_registry.errors import counted

Facts = dict[str, Any]


def trained(record: Record, fold: int, given: int) -> Facts:
    """What a model was trained on and made of, and what its posteriors say of themselves.

    Args:
        given: how many of the labelled utterances are the target's (`task.target_labels`).
    """
    manifest, members = record.manifest, record.folds["folds"][fold]
    posteriors = [each.posteriors for each in record.predictions if each.fold == fold]
    return {
        "job": manifest["job"],
        "fold": None if record.folds["setting"] == "transductive" else fold,
        "source": record.folds["source"],
        "utterances": {
            "labelled": len(members["labelled"]) - given,
            "target_labels": given,
            **{name: len(members[name]) for name in ("source", "target")},
        },
        "versions": manifest["versions"],
        "evidence": evidence(np.array(posteriors), record.folds["classes"]),
    }


def quoted(record: Record, temperatures: Mapping[int, Temperature]) -> Facts | None:
    """The scores of a record's folds; None where the target has no labels.

    Args:
        record: of the folds.
        temperatures: fitted to their networks without a label: what they do to calibration is told, too.
    """
    scores = record.scores
    if not scores["folds"]:
        return None
    pooled, interval = scores["pooled"], uar_interval(scores)
    found: Facts = {
        "protocol": record.manifest["protocol"],
        "folds": len(scores["folds"]),
        **{name: pooled[name] for name in ("n", "chance")},
        **{name: {"mean": scores["mean"][name], "std": scores["std"][name]} for name in ("uar", "war", "f1")},
        "interval": None if interval is None else asdict(interval),
        "recall": dict(zip(scores["classes"], pooled["recall"], strict=True)),
    }
    known = [each for each in record.predictions if each.truth]
    if {each.fold for each in known} <= set(temperatures):
        labels = [scores["classes"].index(each.truth) for each in known]
        rows = [tempered(np.array([each.posteriors]), temperatures[each.fold].value)[0] for each in known]
        found["calibration"] = {
            "raw": asdict(calibration(np.array([each.posteriors for each in known]), labels)),
            "tempered": asdict(calibration(np.array(rows), labels)),
        }
    return found


def card(about: About, record: Record) -> str:
    """The card as Markdown with front matter.

    Args:
        about: the model.
        record: of the training that made it.
    """
    head = yaml.safe_dump(_front_matter(about), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n" + "\n".join(_body(about, record)) + "\n"


def _front_matter(about: About) -> Facts:
    scores = about.facts["quoted"]
    data: Facts = {
        "library_name": "sere",
        "pipeline_tag": "audio-classification",
        "language": list(about.paths),
        "license": "other",
        "license_name": "that-of-the-training-data",
        "tags": ["speech-emotion-recognition", "cross-lingual", "domain-adaptation"],
        "metrics": ["recall", "accuracy", "f1"],
    }
    if scores is not None:
        kinds = (("recall", "UAR", "uar"), ("accuracy", "WAR", "war"), ("f1", "macro F1", "f1"))
        result = {
            "task": {"type": "audio-classification", "name": "speech emotion recognition"},
            "dataset": {"name": about.target, "type": about.target},
            "metrics": [{"type": kind, "name": name, "value": round(scores[key]["mean"], 4)} for kind, name, key in kinds],
        }
        data["model-index"] = [{"name": about.name, "results": [result]}]
    return data


def _body(about: About, record: Record) -> Iterator[str]:
    told, notes = about.facts["trained"], record.manifest["notes"]
    counts, source = told["utterances"], told["source"]
    yield f"# {about.name}\n"
    yield f"Speech -> one of {len(about.classes)} emotions: {', '.join(about.classes)}."
    taught = counts["target_labels"]
    given = f", {counted(taught, 'utterance')} of `{about.target}` that came with a label" if taught else ""
    yield f"Trained on labelled speech of `{source}`{given} and unlabelled speech of `{about.target}`.\n"
    yield "    sere predict THIS_FOLDER my_recordings/ -o answers.csv\n"
    yield "## Data\n"
    yield f"* labelled: {counts['labelled']} utterances of `{source}`{given}"
    yield f"* unlabelled: {counts['source']} utterances of `{source}`, {counts['target']} of `{about.target}`"
    if told["fold"] is not None:
        yield f"* the network of fold {told['fold'] + 1}: it has not adapted to the utterances of that fold"
    yield f"* languages of the target: {', '.join(about.paths)}"
    for statement in notes.get("normalisation", []):
        yield f"* normalisation: {statement}"
    for choice in notes.get("layers", []):
        yield f"* encoder {choice}"
    yield "\n## Method\n"
    for each in record.manifest["components"]:
        if each["kind"] in ("encoder", "dynamics", "resonance", "loss", "method"):
            cite = f", {each['cite']}" if each["cite"] else ""
            yield f"* {each['kind']} `{each['name']}` of {each['distribution']} {each['version']} ({each['evidence']}{cite})"
    yield f"\nSeed {record.manifest['seeds']['run']}; config in `config.yaml`."
    yield f"Versions: {', '.join(f'{name} {version}' for name, version in told['versions'].items())}.\n"
    yield "## Scores\n"
    yield from _scores(about)
    yield "\n## Confidence\n"
    yield from _confidence(about)
    yield "\n## Evidence without labels\n"
    yield from _evidence(told["evidence"], about)
    yield "\n## Intended use and limits\n"
    yield "* Research, and the sorting of speech that a person then listens to. Not for decisions about people."
    yield f"* It knows {len(about.classes)} emotions and gives one of them to everything, silence and music too."
    yield "* Acted emotion is easier than real emotion: expect less on spontaneous speech than on corpora of actors."
    if about.facts["quoted"] is not None:
        yield "* The scores hold for speakers, rooms and microphones like those of the corpus above, and for no other language."
    if about.normalisation == "speaker":
        yield "* Its features were standardised by speaker: tell it who speaks, or expect the lower scores of a corpus's statistics."
    yield "\n## Licence\n"
    yield f"The weights were made from `{source}` and `{about.target}`: their terms hold for this model, see the corpora."
    if any(each["kind"] == "encoder" and each["params"].get("model") for each in record.manifest["components"]):
        yield "The pretrained encoder has a licence of its own."


def _scores(about: About) -> Iterator[str]:
    scores = about.facts["quoted"]
    if scores is None:
        yield "None: no utterance of the target has a label."
        return
    yield f"Measured on {scores['n']} utterances of `{about.target}`, under the protocol `{scores['protocol']}`"
    yield "(the same config; networks that had not adapted to what they were scored on, where that is inductive).\n"
    yield "| measure | value |\n|---|---|"
    for name, title in (("uar", "UAR"), ("war", "WAR"), ("f1", "macro F1")):
        spread = f" ± {100 * scores[name]['std']:.1f} over {scores['folds']} folds" if scores["folds"] > 1 else ""
        yield f"| {title} | {100 * scores[name]['mean']:.1f} %{spread} |"
    if scores["interval"] is not None:
        ends = "{low:.1%} to {high:.1%}, over {n} {how}".format(**scores["interval"])
        yield f"| UAR, 95 % interval | {ends} |"
    yield f"| UAR of guessing | {100 * scores['chance']:.1f} % |"
    for name, recall in scores["recall"].items():
        yield f"| recall of {name} | {'no utterances' if recall is None else f'{100 * recall:.1f} %'} |"


def _confidence(about: About) -> Iterator[str]:
    own, scores = about.facts["temperature"], about.facts["quoted"]
    if about.temperature == 1.0:
        why = (
            "no temperature above 1 fits"
            if own["mixtures"] >= FEWEST
            else "too few pairs of utterances with different predictions to fit one"
        )
        yield f"Confidences are the posteriors as they are: {why}."
        return
    yield f"Confidences are posteriors at the temperature {about.temperature:.2f}, fitted without target labels to {own['mixtures']}"
    yield "mixtures of two utterances of the target (PseudoCal, arXiv:2307.07489)."
    if scores and "calibration" in scores:
        found = scores["calibration"]
        yield "What temperatures fitted in this way did to the scored utterances of the folds:\n"
        yield "| | calibration error (ECE) | Brier score | NLL |\n|---|---|---|---|"
        for name, title in (("raw", "posteriors"), ("tempered", "at the temperature")):
            yield "| {} | {ece:.3f} | {brier:.3f} | {nll:.3f} |".format(title, **found[name])


def _evidence(found: Facts, about: About) -> Iterator[str]:
    told = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found["shares"].items())
    yield f"* predicted shares on {found['n']} utterances of the target: {told}"
    before = "" if about.temperature == 1.0 else " before the temperature"
    yield f"* mean confidence{before}: {found['confidence']:.2f} (guessing: {1 / len(about.classes):.2f})"
    for name, value in found.items():
        if name not in ("n", "shares", "confidence"):
            yield f"* {name.replace('_', ' ')}: {value:.3f}"
