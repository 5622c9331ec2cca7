"""Linear optimal transport between two Gaussians (Flamary, Lounici and Ferrari, arXiv:1905.10155), then a linear classifier.

    T(x) = m_t + A (x - m_s),   A = S_s^{-1/2} (S_s^{1/2} S_t S_s^{1/2})^{1/2} S_s^{-1/2},   B = I

in the notation of `aligned`; S_s and S_t `[F, F]` are the covariances of the source (S_l and S_u) and of T_u, divided by n.  Of all
maps that take one Gaussian to the other T moves vectors least, in the mean of squares; A is symmetric and positive.  The classifier
is fitted to T(x_i) of S_l, and target vectors stay as they are.

Covariances are shrunk, (1 - rho) S + rho tr(S) / F I, since there may be fewer utterances than features; the paper adds a small
constant to the diagonal.  A maps directions in which the source does not vary to 0.

Assumes of class shares: a target in which they differ has another mean and covariance, and T moves the classes to where they are not.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.covariance import ledoit_wolf

from sere_plugins.methods.aligned import TINY, Aligned, Maps
from sere_plugins.methods.base import Array
from sere_plugins.specs.bridge import LinearOtParams


def covariance(centred: Array, shrinkage: Literal["auto"] | float) -> tuple[Array, float]:
    """The shrunk covariance `[F, F]` of centred vectors `[n, F]`, divided by n, and rho."""
    plain = centred.T @ centred / len(centred)
    rho = float(ledoit_wolf(centred, assume_centered=True)[1]) if shrinkage == "auto" else shrinkage
    return (1 - rho) * plain + rho * np.trace(plain) / len(plain) * np.eye(len(plain)), rho


def power(matrix: Array, exponent: float) -> Array:
    """A power of a symmetric matrix without negative eigenvalues; those that are 0 stay 0, so that -1 gives the pseudo-inverse."""
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    kept = values > TINY * values.max()
    found: Array = (vectors[:, kept] * values[kept] ** exponent) @ vectors[:, kept].T
    return found


def bures_map(source: Array, target: Array) -> Array:
    """A `[F, F]` from the two covariances."""
    root, inverse = power(source, 0.5), power(source, -0.5)
    return inverse @ power(root @ target @ root, 0.5) @ inverse


class LinearOt(Aligned):
    """One stage that maps S_l to the target and fits W and b to it there."""

    name = "linear_ot"
    params: LinearOtParams

    def align(self, source: Array, target: Array) -> Maps:
        """A and the identity; `shrinkage` is rho of the source and of the target."""
        (its, rho), (theirs, other) = (covariance(each, self.params.shrinkage) for each in (source, target))
        return Maps(bures_map(its, theirs), np.eye(len(its)), {"shrinkage": [rho, other]})
