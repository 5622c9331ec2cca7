"""Alignments of two Gaussians and of two subspaces, and whatever skada has."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sere_plugins.specs import component
from sere_plugins.specs.methods import LogisticParams
from sere_registry import param


class AlignedParams(LogisticParams):
    """What the two alignments share."""

    use_source: bool = param(
        True,
        "the source's mean and covariance are of S_l and S_u, as they are of the whole labelled source in the papers; "
        "false: of S_l alone, a few shots",
    )


@component(
    "linear_ot",
    "methods.linear_ot:LinearOt",
    cite="arXiv:1905.10155",
    tags=("closed form",),
    own_losses=True,
)
class LinearOtParams(AlignedParams):
    """optimal transport of the source's Gaussian to the target's, a linear map, then logistic regression."""

    shrinkage: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = param(
        "auto",
        "rho: how far covariances are drawn to a multiple of the identity; `auto`: by the formula of Ledoit and Wolf (ours; the "
        "paper adds a constant to the diagonal)",
    )


@component(
    "subspace_alignment",
    "methods.subspace_alignment:SubspaceAlignment",
    cite="Fernando et al., Unsupervised Visual Domain Adaptation Using Subspace Alignment, ICCV 2013",
    tags=("closed form",),
    own_losses=True,
)
class SubspaceAlignmentParams(AlignedParams):
    """the source's principal components are rotated onto the target's, then logistic regression."""

    components: int = param(
        30,
        "d: the dimension of both subspaces, at most; ours (the paper bounds it by the stability of eigenvectors)",
        ge=1,
        search=("int", 5, 100),
    )


LINEAR_OT = LinearOtParams.spec
SUBSPACE_ALIGNMENT = SubspaceAlignmentParams.spec
