"""`report.html` of one run: what went in, what came out, and how far to trust it; from its record, and its audio where that is here."""

from __future__ import annotations

import io
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.report import words
from sere_core.compare.report.figures import History, Sample, agreements, draw_diagnostics, draw_maps, draw_matrix, history, sample
from sere_core.compare.report.glossary import Glossary
from sere_core.compare.report.html import render
from sere_core.compare.report.run_figures import (
    draw_by_fold,
    draw_confidences,
    draw_reliability,
    draw_risk_coverage,
    draw_scored,
    draw_shares,
    draw_speakers,
)
from sere_core.compare.report.studio import Picture, Studio, wide_image
from sere_core.compare.report.utterances import Player, listed
from sere_core.config import Resolved, load
from sere_core.data.plan import Fold
from sere_core.picture.embeddings import flat
from sere_core.plan import Plan, make_plan
from sere_core.score import table
from sere_core.score.calibration import reliability, risk_coverage
from sere_core.score.interval import uar_interval
from sere_core.score.metrics import from_confusion
from sere_core.score.records import Data, Prediction, Record
from sere_core.tables.model import Column, Table, number
from sere_registry.errors import SereError, error
from sere_registry.files import write_atomically
from sere_registry.utterances import Recording

#: utterances with a player, and further ones that are only named
PLAYED, NAMED = 20, 200
#: speakers in a figure; where there are more, the table has to do
DRAWN = 40
#: dots per inch of a resonance map
DPI = 110
#: what a stream is called
STREAMS = {
    "labelled": "labelled source (S_l)",
    "source": "unlabelled source (S_u)",
    "target": "unlabelled target (T_u)",
    "test": "test (T_e)",
}
#: what says where the target's own posteriors, without a label, are taken from
SELECTORS = {
    "entropy": "minus the mean entropy of the posteriors: near 0 where every utterance is put into one class without doubt",
    "information_max": "how sure and at the same time how evenly spread over the classes the predictions are",
    "snd": "soft neighbourhood density: do utterances with similar posteriors lie in tight groups?",
}


@dataclass(frozen=True)
class Source:
    """A record, and the data that it was made of where these are on this machine.

    Args:
        record: of the run.
        resolved, plan: from its config; None without the data.
        missing: why there are no data; "" where they are.
    """

    record: Record
    resolved: Resolved | None = None
    plan: Plan | None = None
    missing: str = ""

    @classmethod
    def of(cls, folder: Path) -> Source:
        """T505 if the folder holds no finished run."""
        record = Record.read(folder)
        try:
            resolved = load(folder / "config.yaml")
            plan = make_plan(resolved)
            plan.check_unchanged(record.manifest["digests"]["corpora"], folder)
        except SereError as cause:
            return cls(record, missing=cause.problems[0].message)
        return cls(record, resolved, plan)

    @cached_property
    def scored(self) -> bool:
        return bool(self.record.scores["folds"])

    @cached_property
    def classes(self) -> list[str]:
        return list(self.record.scores["classes"])

    @cached_property
    def recordings(self) -> dict[str, Recording]:
        """Of the target, by id."""
        tests = (recording for fold in self.plan.task.folds for recording in fold.test) if self.plan else ()
        return {recording.id: recording for recording in tests if recording.path.exists()}

    @cached_property
    def labelled(self) -> list[Prediction]:
        """The predictions whose truth is known."""
        return [each for each in self.record.predictions if each.truth]

    @cached_property
    def history(self) -> History:
        return history([self.record.path])

    def posteriors(self) -> tuple[NDArray[np.float64], list[int]]:
        """`[N, C]` and labels `[N]`, of what was scored."""
        return np.array([each.posteriors for each in self.labelled]), [self.classes.index(each.truth) for each in self.labelled]


@dataclass
class Album:
    """The figures of the page."""

    confusion: Picture | None = None
    speakers: Picture | None = None
    losses: list[Picture] = field(default_factory=list)
    selection: list[Picture] = field(default_factory=list)
    diagnostics: list[Picture] = field(default_factory=list)
    confidence: list[Picture] = field(default_factory=list)
    scored: list[Picture] = field(default_factory=list)
    maps: list[Picture] = field(default_factory=list)
    resonance: list[Picture] = field(default_factory=list)
    shares: Picture | None = None


def write_run_report(
    folder: Path, output: Path | None = None, *, clips: bool = True, resonance: int = 2, tell: Callable[[str], None] = lambda line: None
) -> tuple[Path, list[str]]:
    """Write the page of a record, beside it or to `output`.

    Args:
        folder: of the record.
        output: another file.
        clips: may the page hold the voices of the target's speakers?
        resonance: how many maps of resonance; they need the audio and the network.
        tell: hears what is being done.

    Returns:
        The file, and what is missing on the page and why.

    Raises:
        SereError: T505 if the folder holds no finished run; X704 or X705.
    """
    tell("reading the record")
    source = Source.of(folder)
    record, missing = source.record, []
    if source.missing and (clips or resonance):
        missing.append(f"no players and no resonance maps: {source.missing}")
    studio = Studio(None, lambda name: tell(f"figure {name}"))
    album = draw_album(studio, source)
    if source.plan is not None and resonance > 0 and record.config.get("resonance") is not None:
        tell("resonance maps")
        try:
            album.resonance = list(_resonance(source, resonance))
        except SereError as cause:
            missing.append(f"no resonance map: {cause.problems[0].message}")
    tell("utterances")
    lines = listed(source.labelled if source.scored else record.predictions, source.classes, source.recordings)
    player = Player(source.recordings if clips else {}, source.resolved.config.features if source.resolved else None)
    shown = [line for line in lines if line.truth != line.predicted] if source.scored else lines
    again = ["sere-run", str(folder / "config.yaml"), "--set", "output.dir=runs/again"]
    tell("page")
    page = render(
        "run.html.j2",
        source=source,
        record=record,
        album=album,
        headline=list(headline(source)),
        facts=facts(source),
        corpora=corpora(record),
        folds=fold_table(source),
        components=component_table(record),
        stages=_stages(record),
        steps=step_table(source),
        tables=_score_tables(source),
        classes=class_table(source) if source.scored else None,
        speakers=speaker_table(source) if source.scored else None,
        coverage=table.coverage(record) if source.scored else None,
        evidence=evidence(record),
        neighbours=neighbours(source),
        errors=len(shown),
        first=list(player.with_clips(shown[:PLAYED])),
        last=list(player.with_clips(shown[-PLAYED:][::-1])) if not source.scored and len(shown) > PLAYED else [],
        rest=shown[PLAYED : PLAYED + NAMED] if source.scored else [],
        clips=clips and bool(source.recordings),
        missing=missing,
        remarks=remarks(record),
        leakage=record.manifest["notes"].get("leakage", {}),
        again=shlex.join(again),
        machine=words.flat(record.manifest["machine"]),
        versions=words.flat(record.manifest["versions"]),
        timing={name: f"{value:,.1f}" for name, value in record.timing.items()},
    )
    path = output or folder / "report.html"
    write_atomically(path, page)
    return path, missing


def headline(source: Source) -> Iterator[str]:
    """The run in a few sentences."""
    record, scores = source.record, source.record.scores
    if not source.scored:
        found, target = scores["evidence"], record.folds["target"]
        yield f"Nothing was scored: {target} has no labels."
        yield f"It predicts {words.count(found['n'], 'utterance')}; which of the predictions are right is not known."
        top, share = max(found["shares"].items(), key=lambda item: item[1])
        yield f"Most are taken for {top} ({100 * share:.0f} %); the mean confidence is {100 * found['confidence']:.0f} %."
        return
    mean, spread, interval, folds = scores["mean"]["uar"], scores["std"]["uar"], uar_interval(scores), len(scores["folds"])
    over = f" over {folds} folds (standard deviation {100 * spread:.1f})" if spread is not None else " in one fold"
    ends = ""
    if interval is not None:
        of = f"{words.count(interval.n, interval.how.removesuffix('s'))} resampled"
        ends = f", 95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f} ({of})"
    chance = scores["pooled"]["chance"]
    yield f"UAR {100 * mean:.1f} %{over}{ends}. Guessing reaches {100 * chance:.1f} %."
    if interval is not None and interval.low <= chance <= interval.high:
        yield "The interval holds chance: nothing shows that the network does better than guessing."
    if record.folds["uses_target_labels"]:
        yield "It was trained on labels of the target: a ceiling, not a method."
    if record.folds["unlabelled"]:
        known, unknown = record.folds["labelled"], record.folds["unlabelled"]
        yield f"Scores are of the {known} labelled utterances; {unknown} have no label and are not scored."
    confusion = np.array(scores["pooled"]["confusion"])
    off = confusion - np.diag(np.diagonal(confusion))
    if off.any():
        true, predicted = np.unravel_index(off.argmax(), off.shape)
        names = source.classes
        yield f"Its most frequent mistake: {names[true]} is taken for {names[predicted]} ({off.max()} of {confusion[true].sum()})."
    rows, _ = source.posteriors()
    if len(rows):
        gap = float(rows.max(axis=1).mean()) - scores["pooled"]["war"]
        how, ece = "more" if gap > 0 else "less", scores["pooled"]["confidence"]["ece"]
        yield f"On average it is {100 * abs(gap):.0f} points {how} confident than it is right (ECE {ece:.2f})."


def facts(source: Source) -> dict[str, str]:
    """What the run was, in a line each."""
    record = source.record
    manifest, folds = record.manifest, record.folds
    found = {
        "protocol": manifest["protocol"],
        "source": folds["source"],
        "target": folds["target"],
        "emotions": ", ".join(source.classes),
        "labelled source utterances": _labelled(folds, source.classes),
        "setting": f"{folds['setting']}, {words.count(len(folds['folds']), 'fold')}",
        "target labels": f"{folds['labelled']} known to the scorer, {folds['unlabelled']} without a label",
        "seed": str(manifest["seeds"]["run"]),
        "checkpoint chosen by": manifest["selection"],
        "evidence of the parts": manifest["evidence"],
        "parameters": words.flat({name: f"{value:,}" for name, value in manifest.get("parameters", {}).items()}),
    }
    for number_, statement in enumerate(manifest["notes"].get("normalisation", []), 1):
        found["normalisation" if number_ == 1 else f"normalisation ({number_})"] = statement
    for name in ("task", "train", "features"):
        found[f"config: {name}"] = words.flat(record.config.get(name) or {})
    return {name: text for name, text in found.items() if text}


def _labelled(folds: Data, classes: Sequence[str]) -> str:
    """How many of S_l are of each class, in every fold."""
    counts = [Counter(fold["labelled"].values()) for fold in folds["folds"]]
    spans = []
    for place, name in enumerate(classes):
        low, high = min(each[place] for each in counts), max(each[place] for each in counts)
        spans.append(f"{name} {low}" if low == high else f"{name} {low} to {high}")
    return ", ".join(spans) + (" in each fold" if len(counts) > 1 else "")


def corpora(record: Record) -> Table | None:
    """How much of each corpus was used; None of a record that does not say."""
    lines = []
    for name, each in record.manifest.get("corpora", {}).items():
        part = " and ".join(part for part in ("source", "target") if record.folds[part] == name)
        cells = (part, ", ".join(each["languages"]), f"{each['utterances']:,}", str(each["speakers"] or "not known"))
        lines.append(words.line(name, *cells, _minutes(each["seconds"])))
    heads = (Column("corpus", text=True), Column("part", text=True), Column("language", text=True))
    columns = (*heads, Column("utterances"), Column("speakers"), Column("speech"))
    caption = "What the task used of each corpus; speech after silence at both ends was cut off."
    return Table("corpora", caption, columns, (tuple(lines),)) if lines else None


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def fold_table(source: Source) -> Table:
    """The streams of each fold, and its scores."""
    record, scored = source.record, {each["fold"]: each for each in source.record.scores["folds"]}
    lines = []
    for fold in record.folds["folds"]:
        cells = [f"{len(fold[name]):,}" for name in STREAMS]
        if found := scored.get(fold["index"]):
            cells += [number(found[name]) for name in ("uar", "war", "f1")]
            cells += [number(found["confidence"]["ece"], percent=False, digits=3)]
        lines.append(words.line(f"fold {fold['index'] + 1}", *cells))
    heads = [*STREAMS.values(), *(("UAR", "WAR", "macro F1", "ECE") if scored else ())]
    caption = "Utterances in each stream of a fold" + ("; scores in %, ECE from 0 to 1." if scored else ".")
    return Table("folds", caption, (Column("fold", text=True), *map(Column, heads)), (tuple(lines),))


def component_table(record: Record) -> Table:
    """What the run is made of."""
    lines = []
    for each in record.manifest["components"]:
        about = (
            each["name"],
            f"{each['distribution']}\u00a0{each['version']}",
            each["evidence"],
            each["cite"] or "-",
            words.flat(each["params"]) or "-",
        )
        lines.append(words.line(each["id"], *about))
    columns = (Column("part"), *(Column(head, text=True) for head in ("component", "of", "evidence", "from", "parameters")))
    return Table("components", "Evidence: how well an implementation is founded.", columns, (tuple(lines),))


def _score_tables(source: Source) -> list[Table]:
    return [table.scores(source.record), table.measures(source.record)] if source.scored else []


def class_table(source: Source) -> Table:
    """Recall, precision and F1 of each class, and what it is mostly taken for."""
    counts = np.array(source.record.scores["pooled"]["confusion"])
    lines = []
    for place, name in enumerate(source.classes):
        hits, support, predicted = (int(each) for each in (counts[place, place], counts[place].sum(), counts[:, place].sum()))
        wrong = counts[place].copy()
        wrong[place] = 0
        cells = [hits / support if support else None, hits / predicted if predicted else None]
        cells.append(2 * hits / (support + predicted) if support else None)
        mistaken = f"{source.classes[int(wrong.argmax())]} ({wrong.max()})" if wrong.any() else "-"
        lines.append(words.line(name, str(support), str(predicted), *map(number, cells), mistaken))
    columns = [Column(head) for head in ("class", "n", "predicted", "recall", "precision", "F1")]
    caption = "By true class, in %, all folds together."
    return Table("classes", caption, (*columns, Column("mostly taken for", text=True)), (tuple(lines),))


def _speakers(source: Source) -> list[tuple[str, str, int, Data]]:
    """Speaker, gender, fold from 1, and scores; the worst first."""
    found = []
    for fold in source.record.scores["folds"]:
        for each in fold["speakers"]:
            scores = vars(from_confusion(each["confusion"], source.classes))
            found.append((each["speaker"], each["gender"] or "-", fold["fold"] + 1, scores))
    return sorted(found, key=lambda each: (each[3]["uar"], each[0]))


def speaker_table(source: Source) -> Table | None:
    """None where speakers are not known."""
    lines = []
    for name, gender, fold, scores in _speakers(source):
        weak = min((recall, each) for each, recall in zip(source.classes, scores["recall"], strict=True) if recall is not None)
        cells = (
            gender,
            str(fold),
            str(scores["n"]),
            number(scores["uar"]),
            number(scores["war"]),
            f"{weak[1]} ({number(weak[0], digits=0)} %)",
        )
        lines.append(words.line(name, *cells))
    columns = (Column("speaker"), Column("gender", text=True), *map(Column, ("fold", "n", "UAR", "WAR")), Column("least recall", text=True))
    caption = "By test speaker, in %, the lowest first; UAR over the emotions that the speaker has."
    return Table("speakers", caption, columns, (tuple(lines),)) if lines else None


def step_table(source: Source) -> Table | None:
    """What a method reports that has no epochs; None of one that has a curve to show, or reports nothing."""
    curves = {**source.history["losses"], **source.history["diagnostics"]}
    if len(_stages(source.record)) > 1 or not curves:
        return None
    lines = [
        words.line(name, *(f"{value:.4g}" for value in (np.nanmean(curve), np.nanmin(curve), np.nanmax(curve))))
        for name, curve in curves.items()
    ]
    columns = (Column("number"), Column("mean"), Column("least"), Column("most"))
    return Table("steps", "What the method reports of its only step, over the folds.", columns, (tuple(lines),))


def evidence(record: Record) -> dict[str, str]:
    """What the posteriors of an unlabelled target say of themselves."""
    found = record.scores.get("evidence")
    return {name: f"{found[name]:.3f}: {words_}" for name, words_ in SELECTORS.items()} if found else {}


def draw_album(studio: Studio, source: Source) -> Album:
    """All that needs the record alone."""
    record, album = source.record, Album()
    whole, stages = source.history, _stages(record)
    for name, curve in whole["losses"].items() if len(stages) > 1 else ():
        album.losses.append(draw_by_fold(studio, f"loss-{name}", curve, stages, name.replace("_", " ")))
    for curve in whole["selection"].values() if len(stages) > 1 else ():
        note = f"Of {record.manifest['selection']}, by the target's posteriors alone; the epoch with the highest is kept."
        album.selection.append(draw_by_fold(studio, "selection", curve, stages, "selector score", note))
    glossary = Glossary.of_components(record.manifest["components"])
    if len(stages) > 1:
        album.diagnostics = draw_diagnostics(studio, record.manifest["name"], whole, {"": whole}, glossary.sentence, None)
    if source.scored:
        pooled = record.scores["pooled"]
        counts = np.array(pooled["confusion"])
        album.confusion = draw_matrix(studio, "confusion", record.manifest["name"], source.classes, counts, "", counted=True)
        if 0 < len(speakers := _speakers(source)) <= DRAWN:
            names, uars = [each[0] for each in speakers], [each[3]["uar"] for each in speakers]
            album.speakers = draw_speakers(studio, names, uars, pooled["chance"], record.scores["mean"]["uar"])
        rows, labels = source.posteriors()
        album.confidence = [
            draw_reliability(studio, reliability(rows, labels)),
            draw_risk_coverage(studio, risk_coverage(rows, labels)),
        ]
    else:
        rows = np.array([each.posteriors for each in record.predictions])
        album.shares = draw_shares(studio, record.scores["evidence"]["shares"], len(rows))
        album.confidence = [draw_confidences(studio, rows.max(axis=1), 1 / len(source.classes))]
    album.scored = _scored_map(studio, source)
    if (taken := _moved(source)) is not None:
        album.maps = draw_maps(studio, record.manifest["name"], taken, source.classes)
    return album


def _stages(record: Record) -> list[str]:
    """The stage of each epoch."""
    first = record.folds["folds"][0]["index"]
    return [line["stage"] for line in record.history if line["fold"] == first]


def _scored_map(studio: Studio, source: Source) -> list[Picture]:
    """Of the first fold."""
    record = source.record
    try:
        with np.load(record.path / "embeddings" / "fold-0.npz", allow_pickle=False) as held:
            parts = dict(held)
        tests, predicted = parts["embedding"], np.array(source.classes)[parts["predicted"]]
        ids = parts["id"].astype(str).tolist() if "id" in parts else [""] * len(tests)
        support = parts.get("support_embedding", tests[:0])
        labels = np.array(source.classes)[parts.get("support_label", np.zeros(0, np.int64))]
    except (OSError, ValueError, KeyError, IndexError):
        return []
    if not np.isfinite(tests).all() or len(tests) < 2:
        return []
    truths = {each.id: each.truth for each in record.predictions if each.fold == 0}
    truth = np.array([truths.get(id, "") for id in ids])
    return draw_scored(studio, flat(np.concatenate([tests, support])), predicted, truth, labels, source.classes)


def neighbours(source: Source) -> Table | None:
    """How neighbours agree, in the sample from before and after training."""
    taken = _moved(source)
    return None if taken is None else words.neighbours(agreements(taken, source.classes))


def _moved(source: Source) -> Sample | None:
    """The sample from before and after training; None where training changed nothing, as in a closed form on fixed vectors."""
    taken = sample(source.record.path)
    return None if taken is None or np.array_equal(taken.initial, taken.trained) else taken


def remarks(record: Record) -> list[str]:
    """Warnings first."""
    warnings = dict.fromkeys([*record.folds["warnings"], *record.manifest["notes"].get("warnings", [])])
    return [*(f"Warning: {each}" for each in warnings), *record.folds["notes"]]


def _resonance(source: Source, most: int) -> Iterator[Picture]:
    """The most confident right and the most confident wrong prediction of the last fold, each beside a labelled utterance of the class."""
    from sere_core.console import Speaker
    from sere_core.picture.files import write
    from sere_core.picture.pair import look, trained_folds
    from sere_core.picture.resonance import draw

    resolved, plan, folder = source.resolved, source.plan, source.record.path
    assert resolved is not None and plan is not None
    fold = plan.task.folds[max(trained_folds(folder, resolved, plan, ["sere-run", str(folder / "config.yaml")]))]
    chosen = list(_pairs(source, fold))[:most]
    looked = look(folder, resolved, plan, fold, [[("labelled", a), ("test", b)] for a, b, _ in chosen], Speaker(quiet=True))
    for place, ((_, _, said), pair) in enumerate(zip(chosen, looked, strict=True)):
        held = io.BytesIO()
        write(draw(pair), held, ".png", dpi=DPI)
        yield wide_image(f"resonance-{place}", held.getvalue(), "png", said)


def _pairs(source: Source, fold: Fold) -> Iterator[tuple[Recording, Recording, str]]:
    """(of S_l, of T_e, caption): first what was right, then what was wrong; without truths the most, then the least confident."""
    lines = listed((each for each in source.record.predictions if each.fold == fold.index), source.classes, source.recordings)
    tests = {recording.id: recording for recording in fold.test}
    if source.scored:
        right = next((line for line in lines if line.truth == line.predicted), None)
        wrong = next((line for line in lines if line.truth and line.truth != line.predicted), None)
        picked = [(right, "rightly taken for {0}"), (wrong, "taken for {0}, truly {1}")]
    else:
        picked = [(lines[0], "taken for {0}, the most confident"), (lines[-1], "taken for {0}, the least confident")]
    for line, text in picked:
        label = source.classes.index(line.predicted) if line else -1
        same = [recording for recording, each in zip(fold.labelled, fold.labels, strict=True) if each == label]
        if line is not None and line.id in tests and same:
            a = min(same, key=lambda recording: recording.id)
            said = text.format(line.predicted, line.truth)
            yield a, tests[line.id], f"{line.id}, {said}, aligned with {a.id}, labelled {line.predicted} (fold {fold.index + 1})"


def find_record(folder: Path) -> Path:
    """A record's folder: this one, or the only one in it.

    Raises:
        SereError: T505.
    """
    if (folder / "done").exists() or (folder / "config.yaml").exists():
        return folder
    inside = sorted(path.parent for path in folder.glob("*/done"))
    if len(inside) == 1:
        return inside[0]
    hint = f"name one of {', '.join(map(str, inside))}" if inside else "`sere compare` and `sere-run` make what has a report"
    raise error("T505", f"{folder} holds {'several records' if inside else 'no comparison and no record'}", hint)
