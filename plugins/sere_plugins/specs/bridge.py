"""Alignments of two Gaussians and of two subspaces, and whatever skada has."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from sere_plugins.specs import Declared, component
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


#: the classifiers of skada 0.6 that learn from S_l and T_u
Estimator = Literal[
    "ClassRegularizerOTMapping",
    "CORAL",
    "DensityReweight",
    "DiscriminatorReweight",
    "EntropicOTMapping",
    "GaussianReweight",
    "GradualEstimator",
    "JCPOTLabelProp",
    "JDOTClassifier",
    "KLIEPReweight",
    "KMMReweight",
    "LinearOTMapping",
    "MMDLSConSMapping",
    "MMDTarSReweight",
    "MultiLinearMongeAlignment",
    "NearestNeighborReweight",
    "OTLabelProp",
    "OTMapping",
    "SubspaceAlignment",
    "TransferComponentAnalysis",
    "TransferJointMatching",
    "TransferSubspaceLearning",
]
#: what else skada 0.6 adapts with a classifier inside, and why it is no method here
LEFT_OUT = {
    "DASVMClassifier": "two classes alone, and its probabilities are those of the classifier before it adapts",
    "JDOTRegressor": "it predicts numbers, not classes",
}


@component(
    "skada",
    "methods.skada:Skada",
    cite="Lalou, Gnassounou et al., SKADA-Bench, arXiv:2407.11676; each estimator's own source is in skada's documentation",
    tags=("closed form",),
    own_losses=True,
    needs=("skada",),
    extra="skada",
)
class SkadaParams(Declared):
    """any shallow domain adaptation of skada (extra `skada`), on the utterance vectors of S_l and T_u.

    Parameters of `skada`; all that `params` leaves out has skada's default.
    """

    estimator: Estimator = param("OTMapping", "the name of one of skada's estimators")
    params: dict[str, Any] = param({}, "its arguments, without base_estimator")
    classifier: Literal["logistic", "own"] = param(
        "logistic",
        "what classifies the adapted vectors: logistic regression, as in all closed-form methods, or the estimator's own choice, mostly "
        "a support vector machine with a Gaussian kernel, whose posteriors are the softmax of its decisions",
    )
    C: float = param(1.0, "of `logistic`: inverse weight of the squared norm; scikit-learn's default", gt=0, search=("log", 1e-4, 1e2))

    @field_validator("estimator", mode="before")
    @classmethod
    def _usable(cls, name: object) -> object:
        if isinstance(name, str) and name in LEFT_OUT:
            raise ValueError(f"{name} cannot be used: {LEFT_OUT[name]}")
        return name


LINEAR_OT = LinearOtParams.spec
SUBSPACE_ALIGNMENT = SubspaceAlignmentParams.spec
SKADA = SkadaParams.spec
