"""A temperature for confidences, fitted without a label of the target.

PseudoCal (D. Hu, J. Liang, X. Wang, C.-S. Foo: Pseudo-Calibration: Improving Predictive Uncertainty Estimation in Unsupervised
Domain Adaptation, ICML 2024, arXiv:2307.07489): unlabelled utterances are mixed in pairs of different prediction; the dominant
one's prediction is the mixture's label; the temperature that fits these labels best is taken for the target itself.  Mixtures near
a decision boundary are predicted wrongly where the target would be, too, so they are as hard as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from sere_core.rng import derive
from sere_core.train.streams import StreamSet
from sere_core.train.whole import predict, predict_mixtures
from sere_registry import Method

Floats = NDArray[np.float64]

#: of the dominant utterance in a mixture, as in the paper
SHARE = 0.65
#: temperatures outside are not considered.  None makes a model surer than it is: mixtures of standardised features are easier than
#: the target for a linear method, and what fitted them below 1 raised the calibration error on every real pair (docs/model.md)
BOUNDS = (1.0, 20.0)
#: posteriors below it count as it: float32 rounds some to 0, whose logarithm no temperature moves
LEAST = 1e-7
#: with fewer mixtures nothing is fitted
FEWEST = 20


@dataclass(frozen=True)
class Temperature:
    """What was fitted, to how many mixtures, and how many of them the model predicts as the dominant utterance."""

    value: float
    mixtures: int
    accuracy: float | None = None


def tempered(posteriors: Floats, temperature: float) -> Floats:
    """Posteriors `[N, C]` at a temperature: p^(1/T), normalised."""
    if temperature == 1.0:
        return posteriors
    scaled: Floats = softmax(np.log(np.maximum(posteriors, LEAST)) / temperature, axis=1)
    return scaled


def fit(method: Method, target: StreamSet, support: StreamSet | None, device: torch.device, seed: int) -> Temperature:
    """Of a trained method, on the unlabelled target that it was adapted to; 1 where too few mixtures can be made.

    Args:
        method: trained.
        target: T_u.
        support: S_l, for methods that compare with it.
        device: where the method is.
        seed: of the pairs.
    """
    labels = predict(method, target, support, device)["posteriors"].argmax(dim=1).tolist()
    order = np.random.default_rng(derive(seed, "temperature")).permutation(len(labels)).tolist()
    pairs = [(one, other) for one, other in enumerate(order) if labels[one] != labels[other]]
    if len(pairs) < FEWEST:
        return Temperature(1.0, len(pairs))
    first, second = torch.tensor(pairs).unbind(dim=1)
    found = predict_mixtures(method, target, support, device, first, second, SHARE).double().numpy()
    wanted = np.array([labels[one] for one, _ in pairs])
    return Temperature(best(found, wanted), len(pairs), float((found.argmax(axis=1) == wanted).mean()))


def best(posteriors: Floats, labels: NDArray[np.int64]) -> float:
    """The temperature at which posteriors `[N, C]` give labels `[N]` the largest likelihood, within `BOUNDS`.

    >>> round(best(np.array([[0.9, 0.1]] * 4), np.array([0, 0, 0, 1])), 2)
    2.0
    """
    from scipy.optimize import minimize_scalar

    logs, rows = np.log(np.maximum(posteriors, LEAST)), np.arange(len(labels))

    def loss(scale: float) -> float:
        return float(-log_softmax(logs / np.exp(scale), axis=1)[rows, labels].mean())

    low, high = np.log(BOUNDS)
    found = float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6}).x))
    return found if found - BOUNDS[0] > 1e-4 else BOUNDS[0]
