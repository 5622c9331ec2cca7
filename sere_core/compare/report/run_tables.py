"""Tables and lists of the report of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from sere_core.compare.report import words
from sere_core.compare.report.figures import Sample, agreements, sample
from sere_core.compare.report.run_source import Source
from sere_core.score import table
from sere_core.score.metrics import from_confusion
from sere_core.score.records import Data, Record
from sere_core.tables.model import Column, Table, number
from sere_registry.errors import counted

#: what a stream is called
STREAMS = {
    "labelled": "labelled source (S_l)",
    "source": "unlabelled source (S_u)",
    "target": "unlabelled target (T_u)",
    "test": "test (T_e)",
}
#: what the score of each selector says of posteriors without labels
SELECTORS = {
    "entropy": "minus the mean entropy of the posteriors: near 0 where nothing is in doubt",
    "information_max": "how sure and at the same time how evenly spread over the classes the predictions are",
    "snd": "soft neighbourhood density: do utterances with similar posteriors lie in tight groups?",
}


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
        "setting": f"{folds['setting']}, {counted(len(folds['folds']), 'fold')}",
        "target labels": f"{folds['labelled']} known to the scorer, {folds['unlabelled']} without a label",
        "seed": str(manifest["seeds"]["run"]),
        "checkpoint chosen by": manifest["selection"],
        "evidence of the parts": manifest["evidence"],
        "parameters": words.flat({name: f"{value:,}" for name, value in manifest.get("parameters", {}).items()}),
    }
    for number_, statement in enumerate(manifest["notes"].get("normalisation", []), 1):
        found["normalisation" if number_ == 1 else f"normalisation ({number_})"] = statement
    found["texts taken off"] = "; ".join(manifest["notes"].get("texts", []))
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


def score_tables(source: Source) -> list[Table]:
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


def speakers_of(source: Source) -> list[tuple[str, str, int, Data]]:
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
    for name, gender, fold, scores in speakers_of(source):
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
    if len(stages_of(source.record)) > 1 or not curves:
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


def neighbours(source: Source) -> Table | None:
    """How neighbours agree, in the sample from before and after training."""
    taken = moved(source)
    return None if taken is None else words.neighbours(agreements(taken, source.classes))


def moved(source: Source) -> Sample | None:
    """The sample before and after training; None where training changed nothing, as in a closed form."""
    taken = sample(source.record.path)
    return None if taken is None or np.array_equal(taken.initial, taken.trained) else taken


def stages_of(record: Record) -> list[str]:
    """The stage of each epoch."""
    first = record.folds["folds"][0]["index"]
    return [line["stage"] for line in record.history if line["fold"] == first]


def remarks(record: Record) -> list[str]:
    """Warnings first."""
    warnings = dict.fromkeys([*record.folds["warnings"], *record.manifest["notes"].get("warnings", [])])
    return [*(f"Warning: {each}" for each in warnings), *record.folds["notes"]]
