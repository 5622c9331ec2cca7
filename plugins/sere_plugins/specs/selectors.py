"""Selectors: which epoch is kept, decided without a target label."""

from __future__ import annotations

from sere_plugins.specs import Declared, component
from sere_registry import param


@component("snd", "selectors:SoftNeighbourhoodDensity", cite="arXiv:2108.10860")
class SndParams(Declared):
    """the epoch with the densest soft neighbourhoods of posteriors on T_u."""

    temperature: float = param(0.05, "tau, by which similarities are divided", gt=0, search=("log", 0.01, 0.5))


@component("last", "selectors:Last")
class LastParams(Declared):
    """the last epoch."""


@component("entropy", "selectors:Entropy", cite="arXiv:1711.10288")
class EntropyParams(Declared):
    """the epoch with the least mean entropy of the posteriors on T_u."""


@component("information_max", "selectors:InformationMax", cite="arXiv:2002.08546")
class InformationMaxParams(Declared):
    """the epoch with the most mutual information between utterance and prediction on T_u; assumes classes
    of about equal size.
    """


LAST = LastParams.spec
ENTROPY = EntropyParams.spec
INFORMATION_MAX = InformationMaxParams.spec
SND = SndParams.spec
