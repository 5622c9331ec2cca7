"""Resonance fields: what they are called and how they are configured."""

from __future__ import annotations

from typing import Literal

from sere_registry import ComponentSpec, NoParams, Params, param

_CITE = "arXiv:2604.07417"


class IrfParams(Params):
    """Parameters of `irf`."""

    temperature: float = param(0.5, "tau of equation 4, in units of the burst strength e", gt=0, search=("log", 0.05, 10.0))
    alpha: Literal["free", "softplus"] = param(
        "free", "[R] the weights alpha_k of equation 3: unconstrained, or positive", search=("choice", ["free", "softplus"])
    )
    alpha_init: float = param(0.25, "the value at which every alpha_k starts", gt=0, search=("log", 0.05, 1.0))
    burst: Literal["abs", "signed"] = param(
        "abs", "[R] what equation 3 sums: |d_t^k|, or d_t^k with its sign", search=("choice", ["abs", "signed"])
    )
    sync: Literal["exp_abs", "exp_square"] = param(
        "exp_abs", "[R] burst synchrony: exp(-|de| / tau), or exp(-de^2 / tau)", search=("choice", ["exp_abs", "exp_square"])
    )
    combine: Literal["product", "sum"] = param(
        "product", "[R] how equation 4 joins cosine and synchrony", search=("choice", ["product", "sum"])
    )
    highlight: Literal["above_mean", "top_quantile", "all"] = param(
        "above_mean",
        "[R] the highlight frames of equation 6: burst strength of at least the mean, or in the top (1 - quantile), or all",
        search=("choice", ["above_mean", "top_quantile", "all"]),
    )
    quantile: float = param(
        0.75, "for `top_quantile`: the share of frames that are no highlights", ge=0, lt=1, search=("uniform", 0.5, 0.95)
    )


IRF = ComponentSpec(
    kind="resonance",
    name="irf",
    factory="sere_plugins.resonance.irf:Irf",
    params=IrfParams,
    summary="SERE's instantaneous resonance field: frame cosine times burst synchrony, best match for each frame",
    cite=_CITE,
    evidence="reconstructed",
    tags=("sere",),
)

COSINE = ComponentSpec(
    kind="resonance",
    name="cosine",
    factory="sere_plugins.resonance.cosine:Cosine",
    params=NoParams,
    summary="the field without its burst term: best frame cosine, every frame a highlight",
    tags=("ablation",),
)

MEAN = ComponentSpec(
    kind="resonance",
    name="mean",
    factory="sere_plugins.resonance.mean:Mean",
    params=NoParams,
    summary="the field switched off: cosine of utterance embeddings",
    tags=("ablation",),
)
