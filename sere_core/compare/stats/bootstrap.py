"""The speaker-clustered bootstrap of a mean over folds, in matrix products.

Utterances of one speaker are not independent, so speakers are resampled, not utterances (the cluster bootstrap:
A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, section 3.8).  One draw of speakers serves all
seeds, rows and pairs with that target corpus: differences of replicates are paired, and pairs that share their test
speakers vary together.

What an interval from these replicates covers is the choice of the test speakers.  It does not cover the choice of the
training shots, of the folds and of the initial weights: these show in the spread over seeds and in the paired tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_core.rng import derive

Array = NDArray[np.float64]


def draw_speakers(speakers: int, replicates: int, seed: int, target: str) -> Array:
    """How often each speaker was drawn: `[B, S]`, S draws with replacement in each of B replicates.

    Args:
        speakers: S.
        replicates: B.
        seed, target: name the draw; the same name gives the same draw.

    >>> draw_speakers(4, 3, 0, "emovo").sum(axis=1)
    array([4., 4., 4.])
    """
    generator = np.random.default_rng(derive(seed, "bootstrap", target))
    return generator.multinomial(speakers, np.full(speakers, 1 / speakers), size=replicates).astype(np.float64)


def fold_mean_uar(weights: Array, by_speaker: NDArray[Any], folds: Sequence[int]) -> Array:
    """The mean over folds of the UAR, in each replicate, of R runs that scored the same utterances in the same folds.

    A class without utterances is left out of a fold's UAR, and a fold of whose speakers none was drawn is left out of
    the mean.  Runs differ only in their hits, so everything else is computed once for all of them and the runs are the
    columns of one matrix product.

    Args:
        weights: `[B, S]`, how often each speaker counts.
        by_speaker: `[R, S, C, C]`, counts, rows true, columns answered; the true counts are the same for all R.
        folds: `[S]`, the fold that scored each speaker.

    Returns:
        `[B, R]` in [0, 1]; NaN where no speaker was drawn at all.

    Raises:
        ValueError: the runs did not score the same utterances.

    >>> counts = np.array([[[[3, 1], [1, 1]], [[2, 0], [0, 4]]]])
    >>> fold_mean_uar(np.array([[1.0, 1.0], [2.0, 0.0]]), counts, [0, 1])
    array([[0.8125],
           [0.625 ]])
    """
    support = by_speaker[0].sum(axis=-1).astype(np.float64)
    if not (by_speaker.sum(axis=-1) == support).all():
        raise ValueError("runs that are resampled together must have scored the same utterances")
    hits = np.diagonal(by_speaker, axis1=-2, axis2=-1).astype(np.float64)
    fold_of = np.asarray(folds)
    share = np.zeros((len(weights), *support.shape))  # [B, S, C]: what one hit of a speaker adds to the mean over folds
    scored = np.zeros(len(weights))
    for fold in np.unique(fold_of):
        members = np.flatnonzero(fold_of == fold)
        drawn = weights[:, members] @ support[members]
        present = (drawn > 0).sum(axis=1, keepdims=True)
        each = np.divide(1.0, drawn * present, out=np.zeros_like(drawn), where=drawn > 0)
        share[:, members] = weights[:, members, None] * each[:, None, :]
        scored += present[:, 0] > 0
    found: Array = share.reshape(len(weights), -1) @ hits.reshape(len(hits), -1).T
    return np.divide(found, scored[:, None], out=np.full_like(found, np.nan), where=scored[:, None] > 0)


def binomial_recalls(uniforms: Array, support: NDArray[Any], recall: NDArray[Any]) -> Array:
    """Recalls with utterances resampled within each true class: `[B, C]`, for corpora that do not know speakers.

    Resampling n utterances of which a share r was right gives a binomial(n, r) number of hits; `uniforms` are turned into it
    by inversion, so that equal uniforms make replicates vary together.

    Args:
        uniforms: `[B, C]` in (0, 1).
        support: `[C]`, utterances by class, at least 1 each.
        recall: `[C]` in [0, 1].

    >>> binomial_recalls(np.array([[0.5, 0.5]]), np.array([10, 4]), np.array([0.5, 1.0]))
    array([[0.5, 1. ]])
    """
    from scipy.special import bdtr

    hits = np.empty_like(uniforms)
    for column, (size, rate) in enumerate(zip(support, recall, strict=True)):
        hits[:, column] = np.searchsorted(bdtr(np.arange(float(size)), size, rate), uniforms[:, column])
    found: Array = hits / support
    return found
