"""Joint and balanced distribution adaptation: TCA whose components also draw the means of classes together.

    JDA   M = C M_0 + sum_c M_c                    Long et al., ICCV 2013 (the factor C as in transferlearning's `JDA.m`)
    BDA   M = (1 - b) C M_0 + b sum_c M_c          Wang et al., ICDM 2017 (arXiv:1807.00516); b is their mu
    WBDA  the same, e_c on T_u times P_t(c) / P_s(c)

M_0 is TCA's M; M_c = e_c e_c^T, e_c = 1/n_{s,c} on S_l's utterances of class c and -1/n_{t,c} on those of T_u with that pseudo-label;
M is divided by its Frobenius norm.  The classifier of the common space assigns pseudo-labels; components and pseudo-labels take
turns until the labels stay.  The first round has no pseudo-labels, so that it is TCA.  BDA with b = 0 is TCA, with b = 1/2 JDA.
A class that no target utterance gets has no M_c (the MATLAB code leaves its source part in).

`balance: estimated` sets b anew in each round to d_c / (d_c + d_0), with proxy A-distances d = 2 (1 - 2 err) of a linear
support vector machine that tells source from target, d_0 of all vectors and d_c the mean over classes.  Here err is the mean of
both domains' error rates, where the public code counts all utterances alike: it would call a few shots and a whole T_u far apart
because guessing T_u throughout is almost always right.

The public Python code has two defects: `JDA.py` and `BDA.py` overwrite e within the loop over classes (from its third round on
BDA's M_0 is the last class's matrix), and `JDA.py` adds each round's matrices to those of the round before.  Done here is what
the papers and `JDA.m` say; the numbers of `BDA.py` are reached in the two rounds in which it is right.

Of class shares: pseudo-labels are the classifier's, nothing evens them out.  M_0 takes shares to be equal in both domains;
WBDA weighs classes as they are frequent among the pseudo-labels, and its rows of M_c do not sum to 0 then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.svm import LinearSVC
from torch import Tensor

from sere_plugins.methods.base import shared_classes, until_labels_stay
from sere_plugins.methods.projected import Given
from sere_plugins.methods.tca import Tca, contrasts
from sere_plugins.specs.closed_form import BdaParams, JdaParams


def weighted_contrasts(given: Given, guesses: Tensor | None, marginal: float, conditional: float, *, shares: bool = False) -> Tensor:
    """E `[n, 1..C+1]` of `E E^T = marginal C M_0 + conditional sum_c M_c`; the marginal alone without pseudo-labels.

    Args:
        guesses: pseudo-labels `[n_t]`, or None.
        shares: multiply the target's part of e_c by P_t(c) / P_s(c).
    """
    e = contrasts(given, guesses)
    if guesses is None:
        return e
    if shares:
        for column, c in enumerate(shared_classes(given.labels, guesses), start=1):
            e[len(given.source) :, column] *= (guesses == c).double().mean() / (given.known == c).double().mean()
    weights = torch.full((e.shape[1],), conditional, dtype=e.dtype)
    weights[0] = marginal * len(set(given.known.tolist()))
    return e * weights.sqrt()


def proxy_distance(source: Tensor, target: Tensor) -> float:
    """`2 (1 - 2 err)` of vectors `[n, m]` and `[k, m]`: 2 where a linear machine tells them apart, 0 where it cannot."""
    vectors = torch.cat([source, target]).double().numpy()
    domain = np.repeat([0, 1], [len(source), len(target)])
    guessed = LinearSVC(random_state=0, class_weight="balanced", max_iter=10_000).fit(vectors, domain).predict(vectors)
    return float(2 * (2 * balanced_accuracy_score(domain, guessed) - 1))


def estimated_balance(source: Tensor, labels: Tensor, target: Tensor, guesses: Tensor) -> float:
    """b in [0, 1] from mapped vectors `[n_s, m]`, `[n_t, m]`; 1/2 where neither all nor classes can be told apart."""
    classes = [max(proxy_distance(source[labels == c], target[guesses == c]), 0.0) for c in shared_classes(labels, guesses)]
    whole, conditional = max(proxy_distance(source, target), 0.0), float(np.mean(classes))
    return conditional / (conditional + whole) if conditional + whole else 0.5


class Jda(Tca):
    """Components for all and for classes, in rounds."""

    name = "jda"
    params: JdaParams

    def fit(self, given: Given) -> Mapping[str, Sequence[float]]:
        """Alternate components and pseudo-labels; by round, what `project` returns, what `contrast` traces, and `until_labels_stay`."""
        space = self.space(given)

        def fit(guesses: Tensor | None) -> tuple[Tensor, dict[str, float]]:
            e, numbers = self.contrast(given, guesses)
            numbers = {**self.project(given, space, e), **numbers}
            return self.posteriors(given.target).argmax(dim=1).cpu(), numbers

        return until_labels_stay(self.params.rounds, given.known, fit)

    def contrast(self, given: Given, guesses: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        """E of a round, from the pseudo-labels of the round before, and numbers for the trace."""
        return weighted_contrasts(given, guesses, 1.0, 1.0), {}


class Bda(Jda):
    """The two parts are weighted; traces the `balance` b, 0 in the first round."""

    name = "bda"
    shares: ClassVar[bool] = False
    params: BdaParams

    def contrast(self, given: Given, guesses: Tensor | None) -> tuple[Tensor, dict[str, float]]:
        b = 0.0
        if guesses is not None:
            mapped = [self.embed(vectors.to(self.projection)).cpu() for vectors in (given.source, given.target)]
            chosen = self.params.balance
            b = estimated_balance(mapped[0], given.labels, mapped[1], guesses) if chosen == "estimated" else chosen
        return weighted_contrasts(given, guesses, 1 - b, b, shares=self.shares), {"balance": b}


class Wbda(Bda):
    """Classes of T_u weigh as they are frequent."""

    name = "wbda"
    shares = True
