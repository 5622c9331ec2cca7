"""Selectors: which epoch is kept, decided without a target label."""

from __future__ import annotations

from typing import Literal

from sere_plugins.specs import Declared, component
from sere_registry import param
from sere_registry.spec import BY_TARGET_LABELS

Risk = Literal["error", "cross_entropy"]


@component("snd", "selectors.posteriors:SoftNeighbourhoodDensity", cite="arXiv:2108.10860")
class SndParams(Declared):
    """the epoch with the densest soft neighbourhoods of posteriors on T_u."""

    temperature: float = param(0.05, "tau, by which similarities are divided", gt=0, search=("log", 0.01, 0.5))


@component("last", "selectors.posteriors:Last")
class LastParams(Declared):
    """the last epoch."""


@component("entropy", "selectors.posteriors:Entropy", cite="arXiv:1711.10288")
class EntropyParams(Declared):
    """the epoch with the least mean entropy of the posteriors on T_u."""


@component("information_max", "selectors.posteriors:InformationMax", cite="arXiv:2002.08546")
class InformationMaxParams(Declared):
    """the epoch with the most mutual information between utterance and prediction on T_u; assumes classes
    of about equal size.
    """


@component("source_validation", "selectors.validation:SourceValidation", cite="common practice, e.g. arXiv:2007.01434")
class SourceValidationParams(Declared):
    """the epoch with the best accuracy on labelled source utterances that are held out by `task.validation`."""

    loss: Risk = param("error", "what is counted: the error (as accuracy), or the cross-entropy")


@component("importance_weighting", "selectors.validation:ImportanceWeighting", cite="Sugiyama et al., JMLR 8 (2007), 985-1005")
class ImportanceWeightingParams(Declared):
    """the epoch with the least risk on held-out source utterances (`task.validation`), weighted by how much of the
    target is like them; the weights are of the features that enter the network.
    """

    loss: Risk = param("error", "the risk; the paper's for classification is the error")
    C: float = param(
        1.0, "inverse strength of the domain classifier's squared norm (scikit-learn's default)", gt=0, search=("log", 0.01, 100.0)
    )


@component("dev", "selectors.validation:DeepEmbeddedValidation", cite="You et al., ICML 2019, PMLR 97:7124-7133")
class DevParams(Declared):
    """deep embedded validation: the epoch with the least risk on held-out source utterances (`task.validation`), weighted
    by how much of the target is like them in the epoch's embedding, with a control variate.
    """

    loss: Risk = param("error", "the risk; the authors' code counts errors")
    C: float = param(
        1.0, "inverse strength of the domain classifier's squared norm (scikit-learn's default)", gt=0, search=("log", 0.01, 100.0)
    )


@component("mixval", "selectors.mixval:MixVal", cite="Hu et al., NeurIPS 2023")
class MixValParams(Declared):
    """the epoch whose predictions of mixtures of two target utterances agree most with that of the one that prevails."""

    share: float = param(0.55, "s, of the utterance that prevails (the authors' code)", gt=0.5, lt=1, search=("uniform", 0.51, 0.9))
    pairs: Literal["both", "within", "between"] = param("both", "pairs of one predicted class, of two, or the mean over both")


@component("oracle", "selectors.posteriors:Oracle", tags=(BY_TARGET_LABELS,))
class OracleParams(Declared):
    """for study only: the epoch with the best UAR on the scored utterances, which the scorer finds in their labels after
    training; a run that uses it is marked, and no sweep takes it.
    """


LAST = LastParams.spec
ENTROPY = EntropyParams.spec
INFORMATION_MAX = InformationMaxParams.spec
SND = SndParams.spec
SOURCE_VALIDATION = SourceValidationParams.spec
IMPORTANCE_WEIGHTING = ImportanceWeightingParams.spec
DEV = DevParams.spec
MIXVAL = MixValParams.spec
ORACLE = OracleParams.spec
