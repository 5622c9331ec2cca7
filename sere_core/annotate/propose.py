"""From a folder of unlabelled speech to the questions of the page: every piece is looked at by the model, k are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sere_core.annotate.choose import choose
from sere_core.annotate.labels import Labels, Question
from sere_core.config.yaml_text import flow
from sere_core.model import Clip, Model
from sere_core.predict.inputs import Source
from sere_core.predict.job import in_order
from sere_core.predict.pieces import Cutting, Part, cut, hear
from sere_core.predict.speakers import Standardiser
from sere_registry.errors import SereError, error
from sere_registry.processes import cores


def propose(
    model: Model,
    sources: Sequence[Source],
    cutting: Cutting,
    k: int,
    labels: Labels,
    standardiser: Standardiser,
    *,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[Question], list[Question], list[SereError]]:
    """Which `k` pieces to label: those that have a label already, and for the rest of k those that would help most.

    Args:
        model: looks at the pieces.
        sources: files and folders.
        cutting: how long files are cut.
        k: how many labels there are to be.
        labels: what was labelled before.
        standardiser: chooses the statistics of each piece, of these sources.

    Returns:
        The questions, all pieces, and what is wrong with files that cannot be used.

    Raises:
        SereError: D602 where no piece can be used.
    """
    pieces, broken = list[Question](), list[SereError]()
    embeddings, posteriors = [], []
    for piece, found in _seen(model, sources, cutting, standardiser, progress):
        if isinstance(found, SereError):
            broken.append(found)
            continue
        guess = model.classes[int(found["posteriors"][0].argmax())]
        pieces.append(Question(piece.path, piece.start, piece.end, piece.speaker, guess))
        embeddings.append(found["embeddings"][0])
        posteriors.append(model.tempered(found["posteriors"])[0])
    if not pieces:
        raise error("D602", "no utterance can be used", str(broken[0].problems[0]) if broken else "")
    known = np.array([bool(labels.of(each)) for each in pieces])
    more = max(k - int(known.sum()), 0)
    chosen = choose(np.stack(embeddings), np.stack(posteriors), more, labelled=known) if more else []
    asked = [each for each, done in zip(pieces, known, strict=True) if done] + [pieces[each] for each in chosen]
    return asked, pieces, broken


def _seen(
    model: Model, sources: Sequence[Source], cutting: Cutting, standardiser: Standardiser, progress: Callable[[int, int], None]
) -> Iterator[tuple[Source, dict[str, NDArray[np.float64]] | SereError]]:
    """Each piece with its posterior and embedding, or what is wrong with it; heard twice where the standardiser looks ahead."""
    torch.set_num_threads(1)  # pieces run side by side
    steps = len(sources) * (1 + standardiser.looks_ahead)

    def parts() -> Iterator[tuple[int, tuple[int, Part]]]:
        return enumerate((number, part) for number, source in enumerate(sources, 1) for part in cut(source, cutting))

    def listen(each: tuple[int, tuple[int, Part]]) -> tuple[int, Source, Clip | SereError]:
        number, part = each[1]
        return number, part.source, hear(model, part, cutting)[0]

    def look(each: tuple[int, tuple[int, Part]]) -> tuple[int, Source, dict[str, NDArray[np.float64]] | SereError]:
        number, piece, clip = listen(each)
        if isinstance(clip, SereError):
            return number, piece, clip
        return number, piece, model.apply([clip], [standardiser.of(each[0], piece, clip)[1]])

    def first() -> Iterator[tuple[Source, Clip | None]]:
        for number, piece, clip in in_order(listen, parts(), cores()):
            progress(number, steps)
            yield piece, None if isinstance(clip, SereError) else clip

    if standardiser.looks_ahead:
        standardiser.look(first())
    for number, piece, found in in_order(look, parts(), cores()):
        progress(steps - len(sources) + number, steps)
        yield piece, found


def manifest_config(labels: Path, target: Path | None, language: str) -> str:
    """The lines of a config that train on the labels.

    Args:
        labels: their manifest.
        target: that of the utterances; None where the corpus that is the target has them.
        language: of both.

    >>> print(manifest_config(Path("labels.csv"), None, "ur"))
    corpora: {labels: {use: manifest, params: {file: labels.csv, language: ur}}}
    task: {target_labels: labels}
    """
    files = {"labels": labels} if target is None else {"labels": labels, "pieces": target}
    corpora = {name: {"use": "manifest", "params": {"file": str(file), "language": language}} for name, file in files.items()}
    task = {"target_labels": "labels"} if target is None else {"target": "pieces", "target_labels": "labels"}
    return f"corpora: {flow(corpora)}\ntask: {flow(task)}"
