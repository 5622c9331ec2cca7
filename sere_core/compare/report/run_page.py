"""`report.html` of one run: what went in, what came out, and how far to trust it."""

from __future__ import annotations

import io
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sere_core.compare.report import words
from sere_core.compare.report.figures import draw_diagnostics, draw_maps, draw_matrix
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
from sere_core.compare.report.run_source import Source
from sere_core.compare.report.run_tables import (
    class_table,
    component_table,
    corpora,
    evidence,
    facts,
    fold_table,
    moved,
    neighbours,
    remarks,
    score_tables,
    speaker_table,
    speakers_of,
    stages_of,
    step_table,
)
from sere_core.compare.report.studio import Picture, Studio, wide_image
from sere_core.compare.report.utterances import Player, listed
from sere_core.data.plan import Fold
from sere_core.picture.embeddings import HUGE, flat
from sere_core.score import table
from sere_core.score.calibration import reliability, risk_coverage
from sere_core.score.interval import uar_interval
from sere_core.score.records import read_arrays
from sere_registry.errors import SereError, counted
from sere_registry.files import write_atomically
from sere_registry.utterances import Recording

#: utterances with a player, and further ones that are only named
PLAYED, NAMED = 20, 200
#: speakers in a figure; where there are more, the table has to do
DRAWN = 40
#: dots per inch of a resonance map
DPI = 110


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
    folder: Path,
    output: Path | None = None,
    *,
    clips: bool = True,
    resonance: int = 2,
    trust: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[Path, list[str]]:
    """Write the page of a record, beside it or to `output`.

    Args:
        folder: of the record.
        output: another file.
        clips: may the page hold the voices of the target's speakers?
        resonance: how many maps of resonance; they need the audio and the network.
        trust: as in `sere_core.plan.recorded`.
        tell: hears what is being done.

    Returns:
        The file, and what is missing on the page and why.

    Raises:
        SereError: T505 if the folder holds no finished run; X704 or X705.
    """
    tell("reading the record")
    source = Source.of(folder, trust)
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
        stages=stages_of(record),
        steps=step_table(source),
        tables=score_tables(source),
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
        yield f"It predicts {counted(found['n'], 'utterance')}; which of the predictions are right is not known."
        top, share = max(found["shares"].items(), key=lambda item: item[1])
        yield f"Most are taken for {top} ({100 * share:.0f} %); the mean confidence is {100 * found['confidence']:.0f} %."
        return
    mean, spread, interval, folds = scores["mean"]["uar"], scores["std"]["uar"], uar_interval(scores), len(scores["folds"])
    over = f" over {folds} folds (standard deviation {100 * spread:.1f})" if spread is not None else " in one fold"
    ends = ""
    if interval is not None:
        of = f"over {counted(interval.n, interval.how.removesuffix('s'))}"
        ends = f", 95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f} ({of})"
    chance = scores["pooled"]["chance"]
    yield f"UAR {100 * mean:.1f} %{over}{ends}. Guessing reaches {100 * chance:.1f} %."
    if interval is not None and interval.low <= chance <= interval.high:
        yield "The interval holds chance: nothing shows that the network does better than guessing."
    if "trained" in record.label_use:
        yield "It was trained on labels of the target: a ceiling, not a method."
    if "chosen" in record.label_use:
        yield "Its epochs were chosen by labels of the target: an oracle, for study, not a method."
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


def draw_album(studio: Studio, source: Source) -> Album:
    """All that needs the record alone."""
    record, album = source.record, Album()
    whole, stages = source.history, stages_of(record)
    for name, curve in whole["losses"].items() if len(stages) > 1 else ():
        album.losses.append(draw_by_fold(studio, f"loss-{name}", curve, stages, name.replace("_", " ")))
    for curve in whole["selection"].values() if len(stages) > 1 else ():
        note = f"Of {record.manifest['selection']}, of the target's posteriors; the highest epoch is kept."
        album.selection.append(draw_by_fold(studio, "selection", curve, stages, "selector score", note))
    glossary = Glossary.of_components(record.manifest["components"])
    if len(stages) > 1:
        album.diagnostics = draw_diagnostics(studio, record.manifest["name"], whole, {"": whole}, glossary.sentence, None)
    if source.scored:
        pooled = record.scores["pooled"]
        counts = np.array(pooled["confusion"])
        album.confusion = draw_matrix(studio, "confusion", record.manifest["name"], source.classes, counts, "", counted=True)
        if 0 < len(speakers := speakers_of(source)) <= DRAWN:
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
    if (taken := moved(source)) is not None:
        album.maps = draw_maps(studio, record.manifest["name"], taken, source.classes)
    return album


def _scored_map(studio: Studio, source: Source) -> list[Picture]:
    """Of the first fold."""
    record = source.record
    parts = read_arrays(record.path, "fold-0")
    if parts is None:
        return []
    tests, predicted = parts["embedding"], np.array(source.classes)[parts["predicted"]]
    points = np.concatenate([tests, parts.get("support_embedding", tests[:0])])
    labels = np.array(source.classes)[parts.get("support_label", np.zeros(0, np.int64))]
    if not (np.abs(points, dtype=np.float64) < HUGE).all() or len(tests) < 2:
        return []
    truths = {each.id: each.truth for each in record.predictions if each.fold == 0}
    truth = np.array([truths.get(id, "") for id in parts["id"].tolist()])
    return draw_scored(studio, flat(points), predicted, truth, labels, source.classes)


def _resonance(source: Source, most: int) -> Iterator[Picture]:
    """Of the last fold the most confident right and wrong prediction, each beside a labelled utterance."""
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
    """(of S_l, of T_e, caption): the right, then the wrong one; without truths the most, then the least confident."""
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
