"""Encoders: acoustic descriptors, a small network on log-mel bands, and pretrained networks for speech."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, Field, ValidationInfo, field_validator, model_validator

from sere_plugins.specs import Declared, component
from sere_registry import param
from sere_registry.files import expanded, read_file

_MODEL = "a name on the Hugging Face hub, or a local folder with the same files"


@component("acoustic", "encoders.acoustic:Acoustic")
class AcousticParams(Declared):
    """descriptors of voice, spectrum and rhythm with their context; frozen, no download; the default."""

    rate: Literal[10, 20, 25, 50, 100] = param(25, "frames per second", search=("choice", [10, 25, 50]))


@component("logmel", "encoders.logmel:LogMel")
class LogMelParams(Declared):
    """a small convolutional network, trained from scratch on log-mel bands."""

    bands: int = param(64, "mel bands", ge=8, le=128)
    dim: int = param(128, "channels of the network, and its output's width", ge=1, search=("int", 32, 256))
    layers: int = param(3, "convolutions after the first", ge=0, le=12, search=("int", 1, 5))
    kernel: Literal[3, 5, 7, 9, 11] = param(5, "frames that a convolution sees", search=("choice", [3, 5, 9]))
    dropout: float = param(0.1, "dropout of channels after each convolution", ge=0, lt=1, search=("uniform", 0.0, 0.5))


class _Checkpoint(BaseModel):
    """What is read of a config.json."""

    layers: int = Field(validation_alias=AliasChoices("num_hidden_layers", "encoder_layers"))


def _layers_of(model: str) -> int | None:
    """How many layers a local checkpoint says it has; None for a name on the hub, or where it does not say."""
    try:
        return _Checkpoint.model_validate_json(read_file(expanded(model) / "config.json")).layers
    except (OSError, ValueError):
        return None


Layer = Annotated[int, Field(strict=True, ge=0)]


class PretrainedParams(Declared):
    """Which checkpoint, which of its layers, and how much of it is trained."""

    model: str = param(..., _MODEL, path=True, min_length=1)
    revision: str | None = param(None, "branch, tag or commit of a hub name; a local folder has none")
    layer: Literal["last", "mix", "auto"] | Layer | Annotated[tuple[Layer, ...], Field(min_length=1)] = param(
        "last",
        "whose output: a layer from 1 (0: what enters the first), a list of them, side by side (of which `train: top` trains the "
        "first, and leaves the others frozen), `last` (with the final norm), "
        "`mix`: a learned sum of all, or `auto`: the layer that the source's labelled utterances speak for",
    )
    pool: bool = param(False, "is the mean over time kept, one row for each utterance? for methods that are fitted to vectors")
    train: Literal["frozen", "top", "all"] = param("frozen", "what is trained: nothing, the top layers, or all layers")
    top_layers: int | None = param(None, "how many layers `train: top` trains", ge=1, search=("int", 1, 6))
    train_cnn: bool = param(False, "with `train: all`: is the convolutional front trained too?")
    precision: Literal["float32", "bfloat16"] = param(
        "float32",
        "of the frozen part; in `bfloat16` two to three times as fast on a processor that multiplies it, pooled frames nearly the same, "
        "and refused on others",
    )

    @field_validator("layer")
    @classmethod
    def _layer_is_there(cls, layer: Any, info: ValidationInfo) -> Any:
        highest = max(layer) if isinstance(layer, tuple) else layer if isinstance(layer, int) else 0
        layers = _layers_of(info.data.get("model", ""))
        if layers is not None and highest > layers:
            raise ValueError(f"there is no layer {highest}: {info.data['model']!r} has {layers} layers")
        return layer

    @field_validator("top_layers")
    @classmethod
    def _top_layers_are_there(cls, top: int | None, info: ValidationInfo) -> int | None:
        layer = info.data.get("layer")
        layer = layer[0] if isinstance(layer, tuple) else layer
        depth = layer if isinstance(layer, int) else _layers_of(info.data.get("model", ""))
        if top is not None and depth is not None and top > depth:
            raise ValueError(f"the top {top} layers cannot be trained: up to layer {depth} there are {depth}")
        return top

    @model_validator(mode="after")
    def _fits(self) -> PretrainedParams:
        if self.train == "top" and self.top_layers is None:
            raise ValueError("train: top needs top_layers, the number of layers to train")
        if self.train != "top" and self.top_layers is not None:
            raise ValueError(f"top_layers is only for train: top, not for train: {self.train}")
        if self.train_cnn and self.train != "all":
            raise ValueError(f"train_cnn is only for train: all, not for train: {self.train}")
        for key, made in (("layer: mix", self.layer == "mix"), ("pool", self.pool)):
            if made and self.train != "frozen":
                raise ValueError(f"{key} is made of frozen layers, and needs train: frozen, not train: {self.train}")
        if isinstance(self.layer, tuple) and self.train == "all":
            raise ValueError("a list of layers is of frozen ones; only `train: top` trains some, which end with the first of the list")
        if isinstance(self.layer, tuple) and sorted({*self.layer}) != list(self.layer):
            raise ValueError("a list of layers goes from the lowest to the highest, each once")
        if self.precision != "float32" and self.train == "all":
            raise ValueError("precision is of the frozen part, and train: all has none")
        return self


@component("wav2vec2", "encoders.speech:Wav2Vec2", cite="arXiv:2006.11477")
class Wav2Vec2Params(PretrainedParams):
    """wav2vec 2.0: frozen, a mix of layers, or trained in part."""

    model: str = param("facebook/wav2vec2-base", _MODEL, path=True, min_length=1)


@component("hubert", "encoders.speech:Hubert", cite="arXiv:2106.07447")
class HubertParams(PretrainedParams):
    """HuBERT: frozen, a mix of layers, or trained in part."""

    model: str = param("facebook/hubert-base-ls960", _MODEL, path=True, min_length=1)


@component("wavlm", "encoders.speech:WavLM", cite="arXiv:2110.13900")
class WavLMParams(PretrainedParams):
    """WavLM: frozen, a mix of layers, or trained in part."""

    model: str = param("microsoft/wavlm-base-plus", _MODEL, path=True, min_length=1)


@component("whisper", "encoders.whisper:Whisper", cite="arXiv:2212.04356")
class WhisperParams(PretrainedParams):
    """the encoder half of Whisper: frozen, a mix of layers, or trained in part."""

    model: str = param("openai/whisper-base", _MODEL, path=True, min_length=1)
    window: Literal["utterance", "full"] = param(
        "utterance",
        "what is encoded at once and attended to: the utterance, or Whisper's own window (30 s), padded with silence, which takes "
        "many times as long and, with `train: top`, 1500 rows of cache for each utterance",
    )

    @model_validator(mode="after")
    def _whole_windows(self) -> WhisperParams:
        if self.window == "full" and self.train == "top" and isinstance(self.layer, tuple):
            raise ValueError("a list of layers with train: top needs window: utterance, since whole windows have no mean of the utterance")
        return self


ACOUSTIC = AcousticParams.spec
LOGMEL = LogMelParams.spec
WAV2VEC2 = Wav2Vec2Params.spec
HUBERT = HubertParams.spec
WAVLM = WavLMParams.spec
WHISPER = WhisperParams.spec
