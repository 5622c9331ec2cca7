"""Resonance fields: what they are called and how they are configured."""

from __future__ import annotations

from typing import Literal

from sere_plugins.specs import Declared, component
from sere_registry import param

_CITE = "arXiv:2604.07417"
_FIELD = {
    "alpha": "Weight of each contour's bursts in the burst strength (equation 3).",
    "alpha_drift": "Largest distance of these weights from where they started.",
    "highlight_share": "Share of frames that are highlights, the ones that S compares.",
    "burst_spread": "Spread of burst strengths over tau; far above 1 most frames have synchrony 0, far below 1 all have 1.",
    "synchrony": "Burst synchrony of pairs of frames: quantiles (q05, q50, q95) and the shares below 0.05 (low) and above 0.95 (high).",
    "resonance": "Resonance R of pairs of frames: the quantiles q05, q50 and q95.",
}


class BurstFieldParams(Declared):
    """What every field of equations 3 to 6 has."""

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


@component("irf", "resonance.variants:build", cite=_CITE, evidence="reconstructed", tags=("sere",), diagnostics=_FIELD)
class IrfParams(BurstFieldParams):
    """SERE's instantaneous resonance field: frame cosine times burst synchrony, best match for each frame."""

    control: Literal["none", "shuffled"] = param(
        "none", "`shuffled`: a negative control, each frame is matched with another frame of b than the one that resonates with it"
    )


@component("irf_adaptive", "resonance.variants:AdaptiveIrf", cite=_CITE, evidence="ours", tags=("sere",), diagnostics=_FIELD)
class IrfAdaptiveParams(BurstFieldParams):
    """a variant of `irf`, not the paper's: burst strengths in units of each utterance; use it where
    languages or speakers differ in how strong their bursts are.
    """

    temperature: float = param(1.0, "tau of equation 4, in standard deviations of an utterance's own e", gt=0, search=("log", 0.1, 10.0))


@component("attention", "resonance.neighbours:Attention", cite="arXiv:1706.03762", tags=("ablation",))
class AttentionParams(Declared):
    """soft argmax over frame cosines; use it to ask whether the hard choice of the best frame matters."""

    temperature: float = param(
        0.1, "tau of the softmax over b's frames, in units of the cosine; near 0 it is `cosine`", gt=0, search=("log", 0.01, 1.0)
    )


@component("dtw", "resonance.dtw:Dtw", cite="doi:10.1109/TASSP.1978.1163055", tags=("ablation",))
class DtwParams(Declared):
    """frames aligned in the order of time; use it to ask whether order matters, or where both sides say the
    same sentence.
    """

    band: float = param(
        1.0,
        "how far apart matched frames may be, as a share of their utterances; 1: anywhere",
        gt=0,
        le=1,
        search=("uniform", 0.1, 1.0),
    )


@component("sinkhorn", "resonance.neighbours:Sinkhorn", cite="arXiv:1306.0895", tags=("ablation",))
class SinkhornParams(Declared):
    """relaxed optimal transport between frames; use it where a few frames would win most of the matches."""

    epsilon: float = param(0.1, "weight of the plan's entropy, in units of the cosine", gt=0, search=("log", 0.02, 1.0))
    balance: float = param(
        0.5,
        "rho / (rho + epsilon), how evenly b's frames must be matched: at 0 it is `attention`, towards 1 all are matched alike",
        ge=0,
        lt=1,
        search=("uniform", 0.0, 0.95),
    )
    iterations: int = param(10, "rounds of scaling", ge=1, le=200, search=("int", 5, 50))


@component("cosine", "resonance.neighbours:Cosine", tags=("ablation",))
class CosineParams(Declared):
    """the field without its burst term: best frame cosine, every frame a highlight."""


@component("mean", "resonance.neighbours:Mean", tags=("ablation",))
class MeanParams(Declared):
    """the field switched off: cosine of utterance embeddings."""


IRF = IrfParams.spec
IRF_ADAPTIVE = IrfAdaptiveParams.spec
COSINE = CosineParams.spec
MEAN = MeanParams.spec
ATTENTION = AttentionParams.spec
DTW = DtwParams.spec
SINKHORN = SinkhornParams.spec
