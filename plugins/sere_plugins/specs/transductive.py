"""Methods that fit T_u as a whole, on utterance vectors: what they are called and how they are configured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sere_plugins.specs import Declared, component
from sere_registry import param

#: shares of the classes, in the order of the task's classes
Given = Annotated[tuple[Annotated[float, Field(ge=0)], ...], Field(min_length=2)]
_LISTED = "or a list of them in the order of the classes, from knowledge of one's own: never from target labels"


class EstimateParams(Declared):
    """How class shares are estimated."""

    damping: float = param(
        0.2,
        "of `estimated`: what the shares in S_l count in every step of EM (ours); 0: the paper's, which may take a class for empty",
        ge=0,
        le=1,
        search=("uniform", 0.0, 1.0),
    )


class SharesParams(EstimateParams):
    """What is taken for the class shares of T_u."""

    shares: Literal["equal", "estimated"] | Given = param("equal", f"class shares of T_u: equal, estimated by EM (label_shift), {_LISTED}")


class GraphParams(Declared):
    """A graph of nearest neighbours."""

    neighbours: int = param(10, "k: nearest neighbours that an utterance is linked with (ours)", ge=1, search=("int", 3, 30))


@component(
    "label_propagation",
    "methods.label_propagation:LabelPropagation",
    cite="Zhou et al., Learning with Local and Global Consistency, NeurIPS 2003; class mass: Zhu et al., ICML 2003",
    tags=("closed form", "transductive"),
    own_losses=True,
)
class LabelPropagationParams(GraphParams, EstimateParams):
    """the labels of S_l spread over a graph of nearest neighbours; assumes nothing of class shares unless `shares` is set."""

    shares: Literal["none", "equal", "estimated"] | Given = param(
        "none",
        f"class shares of T_u that its mass is scaled to: none, equal, estimated by EM (label_shift), {_LISTED}",
        search=("choice", ["none", "equal"]),
    )
    alpha: float = param(
        0.99, "how much of its neighbours' labels an utterance takes; Zhou et al.'s", gt=0, lt=1, search=("uniform", 0.5, 0.999)
    )
    use_source: bool = param(True, "S_u is in the graph, too")
    rounds: int = param(1000, "of spreading, at most", ge=1)
    tolerance: float = param(1e-6, "the largest change of a label at which spreading ends", ge=0)


LABEL_PROPAGATION = LabelPropagationParams.spec
