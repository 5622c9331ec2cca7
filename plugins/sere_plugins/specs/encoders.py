"""The encoders that need no download: acoustic descriptors, and a small network on log-mel bands."""

from __future__ import annotations

from typing import Literal

from sere_registry import ComponentSpec, Params, param


class AcousticParams(Params):
    """Parameters of acoustic."""

    rate: Literal[10, 20, 25, 50, 100] = param(25, "frames per second", search=("choice", [10, 25, 50]))


class LogMelParams(Params):
    """Parameters of logmel."""

    bands: int = param(64, "mel bands", ge=8, le=128)
    dim: int = param(128, "channels of the network, and its output's width", ge=1, search=("int", 32, 256))
    layers: int = param(3, "convolutions after the first", ge=0, le=12, search=("int", 1, 5))
    kernel: Literal[3, 5, 7, 9, 11] = param(5, "frames that a convolution sees", search=("choice", [3, 5, 9]))
    dropout: float = param(0.1, "dropout of channels after each convolution", ge=0, lt=1, search=("uniform", 0.0, 0.5))


ACOUSTIC = ComponentSpec(
    kind="encoder",
    name="acoustic",
    factory="sere_plugins.encoders.acoustic:Acoustic",
    params=AcousticParams,
    summary="descriptors of voice, spectrum and rhythm with their context; frozen, no download; the default",
)
LOGMEL = ComponentSpec(
    kind="encoder",
    name="logmel",
    factory="sere_plugins.encoders.logmel:LogMel",
    params=LogMelParams,
    summary="a small convolutional network, trained from scratch on log-mel bands",
)
