"""Losses: what they are called and how they are configured."""

from __future__ import annotations

from sere_registry import ComponentSpec, Params, param


class CoralParams(Params):
    """Parameters of `coral`."""

    use_source: bool = param(True, "the source side is S_l and S_u together; false: S_l alone")


CORAL = ComponentSpec(
    kind="loss",
    name="coral",
    factory="sere_plugins.losses.coral:build",
    params=CoralParams,
    summary="Deep CORAL: the covariances of source and target embeddings move together",
    cite="arXiv:1607.01719",
    tags=("domain alignment",),
)


class FixMatchParams(Params):
    """Parameters of `fixmatch`."""

    threshold: float = param(
        0.95,
        "tau: the least confidence of the weak view that teaches the strong one; above 1: none does",
        gt=0,
        search=("uniform", 0.5, 0.99),
    )


FIXMATCH = ComponentSpec(
    kind="loss",
    name="fixmatch",
    factory="sere_plugins.losses.fixmatch:FixMatch",
    params=FixMatchParams,
    summary="FixMatch: confident guesses on a weak view of T_u supervise a strong view",
    cite="arXiv:2001.07685",
    tags=("consistency",),
)
