"""Selectors: which epoch is kept, decided without a target label."""

from __future__ import annotations

from sere_registry import ComponentSpec, Params, param


class SndParams(Params):
    temperature: float = param(0.05, "tau, by which similarities are divided", gt=0, search=("log", 0.01, 0.5))


LAST = ComponentSpec(
    kind="selector",
    name="last",
    factory="sere_plugins.selectors:Last",
    summary="the last epoch",
)

ENTROPY = ComponentSpec(
    kind="selector",
    name="entropy",
    factory="sere_plugins.selectors:Entropy",
    summary="the epoch with the least mean entropy of the posteriors on T_u",
    cite="arXiv:1711.10288",
)

INFORMATION_MAX = ComponentSpec(
    kind="selector",
    name="information_max",
    factory="sere_plugins.selectors:InformationMax",
    summary="the epoch with the most mutual information between utterance and prediction on T_u; assumes classes of about equal size",
    cite="arXiv:2002.08546",
)

SND = ComponentSpec(
    kind="selector",
    name="snd",
    factory="sere_plugins.selectors:SoftNeighbourhoodDensity",
    params=SndParams,
    summary="the epoch with the densest soft neighbourhoods of posteriors on T_u",
    cite="arXiv:2108.10860",
)
