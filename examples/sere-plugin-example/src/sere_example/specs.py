"""What the plugin announces; nothing heavy is imported here."""

from __future__ import annotations

from sere_registry import ComponentSpec, NoParams, Params, param


class MmdParams(Params):
    """Parameters of `mmd`."""

    kernels: int = param(5, "how many Gaussian kernels, each twice as wide as the one before", ge=1, le=16, search=("int", 1, 7))


class EnvelopeParams(Params):
    """Parameters of `envelope`."""

    dim: int = param(16, "the width of what it puts out", ge=1, search=("int", 8, 64))


MMD = ComponentSpec(
    kind="loss",
    name="mmd",
    factory="sere_example.losses:Mmd",
    params=MmdParams,
    summary="the squared maximum mean discrepancy of source and target embeddings",
    cite="Gretton et al., A Kernel Two-Sample Test, JMLR 13, 2012",
    tags=("domain alignment",),
)
CHAMFER = ComponentSpec(
    kind="resonance",
    name="chamfer",
    factory="sere_example.resonance:Chamfer",
    params=NoParams,
    summary="the mean cosine of each frame with its best match, both ways",
)
ENVELOPE = ComponentSpec(
    kind="encoder",
    name="envelope",
    factory="sere_example.encoders:Envelope",
    params=EnvelopeParams,
    summary="loudness and zero crossings at 50 frames per second, and a trained linear map",
)
