"""Subspace alignment (Fernando et al., ICCV 2013): principal components of the source are rotated onto the target's.

    M = argmin_M ||P_s M - P_t||_F^2 = P_s^T P_t                                                  (equations 1 to 3)
    A = P_s M,   B = P_t                                                                          in the notation of `aligned`

P_s and P_t `[F, d]` are the d leading principal components of the source (S_l and S_u) and of T_u.  M depends on the choice of
neither signs nor bases: A = P_s P_s^T P_t, the target's components within the source's subspace.

d is at most the number of components along which both domains vary; the trace says how many were taken.  The paper standardises
features of each domain, here the engine normalises as the config says; it classifies with the nearest neighbour or a linear
support vector machine, here with logistic regression, as all closed-form methods do.

Assumes of class shares: the means of both domains are brought together, which differ also where shares do.
"""

from __future__ import annotations

import numpy as np

from sere_plugins.methods.aligned import TINY, Aligned, Maps
from sere_plugins.methods.base import Array
from sere_plugins.specs.bridge import SubspaceAlignmentParams


def principal(centred: Array) -> Array:
    """The principal components of centred vectors `[n, F]` along which they vary, `[F, r]`, from the largest variance on."""
    _, deviations, components = np.linalg.svd(centred, full_matrices=False)
    found: Array = components[deviations**2 > TINY * deviations[0] ** 2].T
    return found


class SubspaceAlignment(Aligned):
    """One stage that aligns two subspaces and fits W and b to S_l there."""

    name = "subspace_alignment"
    params: SubspaceAlignmentParams

    def align(self, source: Array, target: Array) -> Maps:
        """A and B; `components` is d."""
        bases = principal(source), principal(target)
        count = min(self.params.components, *(base.shape[1] for base in bases))
        ours, theirs = (base[:, :count] for base in bases)
        return Maps(ours @ (ours.T @ theirs), theirs, {"components": [float(count)]})
