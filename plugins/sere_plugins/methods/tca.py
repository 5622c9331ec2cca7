"""Transfer component analysis (Pan et al., IEEE Transactions on Neural Networks 22, 2011): directions in which both domains have one mean.

    min_W  tr(W^T K M K^T W) + mu tr(W^T W)   subject to   W^T K H K^T W = I,      z = W^T k(x) / ||W^T k(x)||
    M = e e^T / ||e e^T||_F,  e = 1/n_s on the source, -1/n_t on T_u,   H = I - 1 1^T / n

K holds what the n unit vectors of both domains are expressed in: themselves `[F, n]` (kernel `primal`), their products `[n, n]`
(`linear`) or exp(-gamma ||x - x'||^2) (`rbf`); the first two differ in what mu weighs.  The source is S_l and, with `use_source`,
S_u.  `primal` is solved in an orthonormal basis of the vectors' span, at the smaller of F and n, since W has nothing outside it.

W are the leading solutions of K H K^T w = nu (K M K^T + mu I) w, the same pencil as the paper's with the sides exchanged: the right
side is positive definite however many vectors there are or how alike, and nothing need be added to it.  Directions in which nothing
varies (nu = 0) cannot meet the constraint and are left out; where fewer than `dim` are left, the other components are 0.

Defaults are those of the public code (transferlearning `TCA.py`), as are unit vectors, M divided by its norm and unit z.  It deviates
in one: its eigenvectors have length 1 and do not meet the constraint, which is `scale: unit` here; 1-NN tells them apart.  By the
constraint W does no more than whiten where `dim` is the number of dimensions in which the vectors vary, or more: M then has no say.
Nothing is said of class shares, but where they differ, so do means.  What is kept is W as a map of vectors, and with `rbf` the vectors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from scipy.linalg import eigh
from torch import Tensor

from sere_core.functional import ResizableBuffers, distances, unit_rows
from sere_plugins.methods.base import class_gaps
from sere_plugins.methods.projected import Given, Projected
from sere_plugins.specs.closed_form import TcaParams
from sere_registry import MethodContext
from sere_registry.guard import warn


def contrasts(given: Given, guesses: Tensor | None = None) -> Tensor:
    """E `[n, 1..C+1]`: e, and with pseudo-labels an e_c for each class that both sides have; each sums to 0."""
    eye = torch.eye(len(given.source) + len(given.target), dtype=given.source.dtype)
    count = len(given.source)
    return class_gaps(eye[:, :count], given.labels, eye[:, count:], guesses)


def components(k: Tensor, e: Tensor, mu: float, dim: int, scale: Literal["constraint", "unit"] = "constraint") -> Tensor:
    """W `[r, m <= dim]` for K `[r, n]` and M = E E^T / ||E E^T||_F, E `[n, G]`."""
    centred, gaps = k - k.mean(dim=1, keepdim=True), k @ e
    right = gaps @ gaps.T / (e.T @ e).norm() + mu * torch.eye(len(k), dtype=k.dtype)
    found = eigh((centred @ centred.T).numpy(), right.numpy(), subset_by_index=[max(len(k) - dim, 0), len(k) - 1])
    values, vectors = (torch.as_tensor(part).flip(-1) for part in found)
    kept = values > 1e-10 * max(float(values[0]), 1e-10)
    w = vectors[:, kept]
    return w / values[kept].sqrt() if scale == "constraint" else w / w.norm(dim=0)


class Space(NamedTuple):
    """K `[r, n]` of all training vectors, and what W is a combination of: `basis` `[F, r]`, or None for kernel values."""

    k: Tensor
    basis: Tensor | None

    @classmethod
    def of(cls, vectors: Tensor, kernel: Literal["primal", "linear", "rbf"], gamma: float) -> Space:
        """Of unit vectors `[n, F]`."""
        if kernel == "rbf":
            return cls(rbf(vectors, vectors, gamma), None)
        if kernel == "linear":
            return cls(vectors @ vectors.T, vectors.T)
        u, values, axes = torch.linalg.svd(vectors, full_matrices=False)
        return cls((u * values).T, axes.T)


def rbf(a: Tensor, b: Tensor, gamma: float) -> Tensor:
    """`exp(-gamma ||a_i - b_j||^2)`, `[n, m]`."""
    return torch.exp(-gamma * distances(a, b).square())


class Tca(ResizableBuffers, Projected):
    """The common space is spanned by m = `dim` components.

    Buffers: `projection` `[F, m]`, or with the kernel `rbf` `[n, m]` over the training `rows` `[n, F]`.
    """

    name = "tca"
    params: TcaParams
    projection: Tensor
    rows: Tensor

    def __init__(self, params: TcaParams, context: MethodContext) -> None:
        super().__init__(params, context, params.dim)
        self.resizable = {"projection": 0, "rows": 0} if params.kernel == "rbf" else {}
        self.register_buffer("projection", torch.zeros(0 if params.kernel == "rbf" else self.width, params.dim))
        self.register_buffer("rows", torch.zeros(0, self.width))

    def fit(self, given: Given) -> Mapping[str, Sequence[float]]:
        """Solve for W and fit the classifier; traces what `project` returns."""
        return {name: [value] for name, value in self.project(given, self.space(given), contrasts(given)).items()}

    def space(self, given: Given) -> Space:
        """K of source and T_u; with `rbf` the vectors are kept."""
        vectors = unit_rows(torch.cat([given.source, given.target]))
        if self.params.kernel == "rbf":
            self.rows = vectors.to(self.rows)
        return Space.of(vectors, self.params.kernel, self.params.gamma)

    def project(self, given: Given, space: Space, e: Tensor) -> dict[str, float]:
        """Take over W for the contrasts E `[n, G]`; how many `components` there are, and the squared `gap` of the means in them."""
        w = components(space.k, e, self.params.mu, self.params.dim, self.params.scale)
        if not w.shape[1]:
            warn(self.name, "components", f"{self.name}: all training vectors are equal: there is no component")
        mapped = w if space.basis is None else space.basis @ w
        self.projection = torch.nn.functional.pad(mapped, (0, self.params.dim - w.shape[1])).to(self.projection)
        self.classifier.fit(self.embed(given.labelled.to(self.projection)), given.known)
        gap = w.T @ space.k @ contrasts(given)
        return {"components": float(w.shape[1]), "gap": float(gap.square().sum())}

    def embed(self, vectors: Tensor) -> Tensor:
        unit = unit_rows(vectors)
        kernel = rbf(unit, self.rows, self.params.gamma) if self.params.kernel == "rbf" else unit
        return unit_rows(kernel @ self.projection)
