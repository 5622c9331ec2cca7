"""How far posteriors can be trusted: are they calibrated, and what is gained by leaving out the utterances they are unsure of?

The prediction is the class with the largest posterior, which is its confidence.  Everything takes posteriors `[N, C]`, whose rows
sum to 1, and labels `[N]`, positions of classes, with N at least 1, and is computed in float64.  No result depends on the order
of the utterances beyond rounding: those of equal confidence are kept or left out together.

    C. Guo, G. Pleiss, Y. Sun, K. Weinberger: On calibration of modern neural networks.  ICML 2017.
    G. Brier: Verification of forecasts expressed in terms of probability.  Monthly Weather Review 78, 1950.
    Y. Geifman, R. El-Yaniv: Selective classification for deep neural networks.  NeurIPS 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from sere_core.score.metrics import uar

Floats = NDArray[np.float64]

#: bins of confidence, as in Guo et al.
BINS = 15
#: the shares of utterances for which UAR is tabulated
COVERAGES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
#: points of the risk-coverage curve that a record holds
POINTS = 20
#: posteriors below it count as it in the NLL, which else is infinite for a posterior that float32 rounded to 0
LEAST = float(np.finfo(np.float32).eps)
#: the numbers that have a mean and a deviation over folds
MEASURES = ("ece", "brier", "nll", "aurc")


@dataclass(frozen=True)
class Calibration:
    """How well posteriors agree with how often they are right; 0 is best for each.

    Args:
        ece: expected calibration error over `BINS` bins, 0 to 1 (Guo et al., eq. 3).
        brier: the mean over utterances of the squared distance between posteriors and the one-hot label, 0 to 2 (Brier, eq. 2).
        nll: the mean negative log posterior of the true class, in nats.
    """

    ece: float
    brier: float
    nll: float


@dataclass(frozen=True)
class Reliability:
    """The bins of a reliability diagram: bin m holds confidences in (edges[m], edges[m + 1]].

    Args:
        edges: `[M + 1]`, from 0 to 1.
        count: `[M]`, utterances.
        confidence: `[M]`, their mean confidence; NaN in an empty bin.
        accuracy: `[M]`, the share of them that is predicted rightly; NaN in an empty bin.
    """

    edges: Floats
    count: NDArray[np.int64]
    confidence: Floats
    accuracy: Floats

    @property
    def ece(self) -> float:
        """The mean distance between confidence and accuracy, bins weighted by their utterances (Guo et al., eq. 3)."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((gaps * self.count).sum() / self.count.sum())


@dataclass(frozen=True)
class RiskCoverage:
    """The share of wrong predictions among the most confident k of N utterances, for k = 1 to N.

    Args:
        coverage: `[N]`, k / N.
        risk: `[N]`; within a tie of confidences, errors count as spread evenly.
    """

    coverage: Floats
    risk: Floats

    @property
    def aurc(self) -> float:
        """The area under the curve: the mean risk over k; 0 where nothing is wrong, the error rate where confidence says nothing."""
        return float(self.risk.mean())


@dataclass(frozen=True)
class Selection:
    """The utterances kept at one coverage.

    Args:
        coverage: the share that was to be kept.
        uar: of those kept, over the classes that are among them.
        n: how many are kept: more than the share where confidences are tied.
        classes: how many classes are among them.
    """

    coverage: float
    uar: float
    n: int
    classes: int


def calibration(posteriors: NDArray[np.floating], labels: Sequence[int]) -> Calibration:
    """Expected calibration error, Brier score and negative log likelihood.

    >>> calibration(np.array([[0.9, 0.1], [0.4, 0.6]]), [0, 0]).brier
    0.37
    """
    rows, given = _checked(posteriors, labels)
    true = np.arange(len(given)), given
    targets = np.zeros_like(rows)
    targets[true] = 1.0
    return Calibration(
        ece=reliability(rows, labels).ece,
        brier=float(np.square(rows - targets).sum(axis=1).mean()),
        nll=float(-np.log(np.clip(rows[true], LEAST, 1.0)).mean()),
    )


def reliability(posteriors: NDArray[np.floating], labels: Sequence[int], bins: int = BINS) -> Reliability:
    """Confidence and accuracy in bins of equal width."""
    rows, given = _checked(posteriors, labels)
    confidence, right = rows.max(axis=1), rows.argmax(axis=1) == given
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.digitize(confidence, edges[1:-1], right=True)
    count = np.bincount(place, minlength=bins)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(place, values, minlength=bins) / count for values in (confidence, right)]
    return Reliability(edges, count, *means)


def risk_coverage(posteriors: NDArray[np.floating], labels: Sequence[int]) -> RiskCoverage:
    """The risk-coverage curve (Geifman and El-Yaniv, eq. 1 and 2, with the 0/1 loss).

    >>> risk_coverage(np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]]), [0, 0, 1]).risk.round(3).tolist()
    [0.0, 0.0, 0.333]
    """
    rows, given = _checked(posteriors, labels)
    _, tie, size = np.unique(-rows.max(axis=1), return_inverse=True, return_counts=True)
    wrong = np.bincount(tie, rows.argmax(axis=1) != given)
    kept = np.arange(1, len(given) + 1)
    errors = np.interp(kept, np.append(0, size.cumsum()), np.append(0, wrong.cumsum()))
    return RiskCoverage(kept / len(given), errors / kept)


def selective_uar(posteriors: NDArray[np.floating], labels: Sequence[int], coverages: Sequence[float] = COVERAGES) -> tuple[Selection, ...]:
    """UAR of the most confident utterances, for each share that is kept."""
    rows, given = _checked(posteriors, labels)
    confidence, classes = rows.max(axis=1), rows.shape[1]
    ranked = np.sort(confidence)[::-1]
    found = []
    for coverage in coverages:
        kept = confidence >= ranked[_kept(coverage, len(given)) - 1]
        cells = np.bincount(given[kept] * classes + rows[kept].argmax(axis=1), minlength=classes**2)
        counts = cells.reshape(classes, classes)
        found.append(Selection(coverage, float(uar(counts)), int(kept.sum()), int(counts.any(axis=1).sum())))
    return tuple(found)


def confidence(posteriors: NDArray[np.floating], labels: Sequence[int]) -> dict[str, object]:
    """What a record holds of all this: `MEASURES`, the curve at `POINTS` coverages, and `selective`, the UAR at `COVERAGES`."""
    curve = risk_coverage(posteriors, labels)
    places = [_kept(point / POINTS, len(labels)) - 1 for point in range(1, POINTS + 1)]
    return {
        **asdict(calibration(posteriors, labels)),
        "aurc": curve.aurc,
        "risk_coverage": {"coverage": curve.coverage[places].tolist(), "risk": curve.risk[places].tolist()},
        "selective": [asdict(each) for each in selective_uar(posteriors, labels)],
    }


def _kept(coverage: float, n: int) -> int:
    """How many of n utterances are this share, at least 1; 0.7 of 10 are 7, whatever their product in floating point."""
    return max(1, int(np.ceil(round(coverage * n, 6))))


def _checked(posteriors: NDArray[np.floating], labels: Sequence[int]) -> tuple[Floats, NDArray[np.int64]]:
    rows, given = np.asarray(posteriors, dtype=np.float64), np.asarray(labels, dtype=np.int64)
    if rows.ndim != 2 or given.shape != (len(rows),) or not len(rows) or given.min() < 0 or given.max() >= rows.shape[1]:
        raise ValueError("posteriors must be [N, C] and labels [N], positions of classes, with at least one utterance")
    return rows, given
