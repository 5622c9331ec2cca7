"""Training recipes: what they are called and how they are configured."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sere_plugins.specs import Declared, component
from sere_registry import Part, param
from sere_registry.spec import BY_TEXT


@component("joint", "methods.joint:Joint")
class JointParams(Declared):
    """one stage that minimises the weighted sum of the config's losses."""

    ema: float = param(0.0, "decay of the moving average that predicts; 0: the trained weights predict", ge=0, lt=1)


@component("student", "methods.student:Student", evidence="ours", tags=("self-training", "several stages", BY_TEXT))
class StudentParams(JointParams):
    """a network learns the pseudo-labels of teachers in closed form, beside the config's losses."""

    teachers: tuple[Part, ...] = param(
        (Part(use="sere.sere_plus"),),
        "methods on utterance vectors as {use, params}; several: their geometric mean",
        parts="method",
        min_length=1,
    )
    source_weight: float = param(
        1.0, "a: weight of the pseudo-labels of S_u; 0: none, as where `shots: all` leaves no S_u", ge=0, search=("log", 0.1, 10.0)
    )
    target_weight: float = param(1.0, "b: weight of those of T_u; 0: none", ge=0, search=("log", 0.1, 10.0))


@component("mcd", "methods.mcd:Mcd", cite="arXiv:1712.02560", tags=("adversarial", "several phases"), own_losses=True)
class McdParams(Declared):
    """maximum classifier discrepancy: two classifiers and a generator play on T_u."""

    generator_steps: int = param(4, "n: how often the generator steps for each step of the classifiers", ge=1, search=("int", 1, 8))
    class_balance: float = param(
        0.0,
        "weight of a term that pulls the mean prediction on T_u towards uniform; 0: none, as in the paper; 0.01: as in "
        "Transfer-Learning-Library. Above 0 it assumes that T_u is balanced",
        ge=0,
        search=("log", 1e-3, 1e-1),
    )


@component(
    "logistic",
    "methods.logistic:Logistic",
    cite="Pedregosa et al., Scikit-learn: Machine Learning in Python, JMLR 12, 2011",
    tags=("closed form", "source-only"),
    own_losses=True,
)
class LogisticParams(Declared):
    """multinomial logistic regression on the utterance vectors of S_l: a source-only floor."""

    C: float = param(
        1.0,
        "inverse weight of the squared norm; scikit-learn's default",
        gt=0,
        search=("log", 1e-4, 1e2),
    )
    class_weight: Literal["none", "balanced"] = param("none", "`balanced`: each utterance weighs inversely to the size of its class")
    iterations: int = param(1000, "steps of the solver, at most", ge=1)


@component(
    "logistic_ensemble",
    "methods.logistic_ensemble:LogisticEnsemble",
    cite="the mean of posteriors is the sum rule of Kittler et al., On Combining Classifiers, TPAMI 20, 1998",
    tags=("closed form", "source-only"),
    own_losses=True,
)
class LogisticEnsembleParams(LogisticParams):
    """a logistic regression for each encoder of a concatenation, and the mean of their posteriors: a source-only floor."""


@component(
    "svm",
    "methods.svm:Svm",
    cite="Cortes and Vapnik, Support-Vector Networks, Machine Learning 20, 1995; solved by scikit-learn's SVC",
    tags=("closed form", "source-only"),
    own_losses=True,
)
class SvmParams(Declared):
    """a support vector machine on the utterance vectors of S_l, one against one: a source-only floor."""

    C: float = param(1.0, "weight of the slack: small is soft, large is hard; scikit-learn's default", gt=0, search=("log", 1e-4, 1e2))
    kernel: Literal["linear", "rbf"] = param("linear", "linear, as in the ComParE baselines, or rbf", search=("choice", ["linear", "rbf"]))
    gamma: Literal["scale"] | Annotated[float, Field(gt=0)] = param(
        "scale", "of the kernel `rbf`: exp(-gamma ||x - y||^2); `scale`: one over the number of features times their variance"
    )
    class_weight: Literal["none", "balanced"] = param("none", "`balanced`: each utterance weighs inversely to the size of its class")


JOINT = JointParams.spec
STUDENT = StudentParams.spec
MCD = McdParams.spec
LOGISTIC = LogisticParams.spec
LOGISTIC_ENSEMBLE = LogisticEnsembleParams.spec
SVM = SvmParams.spec
