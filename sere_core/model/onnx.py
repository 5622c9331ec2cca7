"""A model as one ONNX graph, from samples to posteriors, held against torch on real utterances before it may stay.

    waveform    [samples] float32, 16 kHz mono in [-1, 1], without digital silence at its ends, of at most `max_seconds`
    posteriors  [classes] float32, before the temperature

In the graph are the encoder's front end and layers, the target corpus's statistics and texts, the projection, the dynamics and the method.
A method that compares with S_l has S_l in it.  Features that are not computed by torch cannot be in a graph.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.config.resolved import Bound
from sere_core.console import Speaker
from sere_core.features import audio
from sere_core.model import folder
from sere_core.model.model import Model
from sere_core.plan import recorded
from sere_core.score.records import Record
from sere_core.train.network import predicting
from sere_core.train.streams import Raw
from sere_core.train.whole import encode_support
from sere_registry import Frames, Inputs, Recording, error

Samples = NDArray[np.float32]

#: the graph, in the model's folder
NAME = "model.onnx"
#: how many utterances are compared, and by how much a posterior may differ
CHECKED, LARGEST = 100, 1e-4
_OPSET = 18


class Traceable(Protocol):
    """An encoder whose `extract` can be traced."""

    def traced(self, samples: Tensor) -> Tensor:
        """Samples `[N]` -> `[T, F]`."""


@dataclass(frozen=True)
class Parity:
    """How far the graph is from torch: the largest difference of a posterior, and over how many utterances."""

    difference: float
    utterances: int


class Graph(nn.Module):
    """A model of one encoder as a function of one waveform `[N]`.

    Raises:
        SereError: T509 for a part that cannot be in a graph.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        paths = sorted({model.path_of(language) for language in model.languages})
        if len(paths) > 1:
            raise error("T509", f"the target's languages take several encoders: {', '.join(paths)}", "adapt to one language")
        self.path = paths[0]
        self.method = cast(nn.Module, model.method)
        self.backbone = predicting(model.method)
        self.encoder, dynamics = model.encoder(self.path), self.backbone.dynamics
        bounds = model.resolved.components
        _check_traceable(self.encoder, self.path, bounds)
        _check_without_contours(dynamics.contours, bounds)
        statistics = model.corpus(self.path)
        self.statistics = None if statistics is None else [torch.from_numpy(each) for each in statistics]
        self.texts, self.trained = model.texts(self.path), model.trained(self.path)
        self.support = None
        if model.method.needs_support:
            assert model.support is not None
            self.support = encode_support(model.support, self.backbone, torch.device("cpu"))

    def forward(self, waveform: Tensor) -> Tensor:
        """Posteriors `[C]`."""
        frames = cast(Traceable, self.encoder).traced(waveform)
        values, vector, scaling = frames[None], frames.mean(dim=0), None
        mask = torch.ones_like(values[..., 0]) > 0
        if self.statistics is not None:
            if self.trained:
                made = self.backbone.encoders[self.path](Frames(values, mask, self.encoder.rate))
                vector = torch.cat([vector, made.values[0].mean(dim=0)])
            shift, factor = self.scaling(vector)
            vector = ((vector - shift) * factor).float()[: frames.shape[1]]
            if self.encoder.normalise:
                values = ((values - shift) * factor).float()
            elif self.trained:
                scaling = torch.stack([shift, factor]).float()[None, :, frames.shape[1] :]
        read, static = (Frames(each, mask, self.encoder.rate) for each in (values, values[..., :0]))
        inputs = Inputs(self.path, read, static, scaling)
        one = torch.ones(1, dtype=torch.long)
        raw = Raw(inputs, vector[None], one * 0, ("",), domain=one, language=one * 0, speaker=-one)
        batch = self.backbone.encode(raw)
        given = () if self.support is None else (self.support,)
        posteriors: Tensor = self.method.predict(batch, *given)  # type: ignore[operator]
        return posteriors[0].float()

    def scaling(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """`sere_core.data.normalise.scaling` by the target corpus's statistics, in operations that ONNX has; float64."""
        assert self.statistics is not None
        mean, divisor = self.statistics
        if self.texts is None:
            return mean, 1 / divisor
        keep, texts = torch.ones_like(divisor), self.texts
        keep[texts.columns] = 0
        if texts.count:
            axes, centres, means, reach = (torch.from_numpy(each).float() for each in (texts.axes, texts.centres, texts.means, texts.reach))
            standardised = ((vector - mean) / divisor).float()
            distance = (standardised[torch.from_numpy(texts.columns)] @ axes - centres).square().sum(dim=1).sqrt()
            nearest = (distance == distance.min()).float()
            mean = mean + ((nearest * (distance <= reach)) @ means) * divisor
        return mean, keep / divisor


def check(record: Record, trust: bool) -> None:
    """What is in the way of a graph of this record's model, as far as it shows before the model is made.

    Args:
        trust: may what the record names be imported, beside sere's own?

    Raises:
        SereError: P108 or T509.
    """
    _check_installed()
    resolved = recorded(record.path, trust)
    bounds = resolved.components
    for language in record.manifest["corpora"][record.folds["target"]]["languages"]:
        path = resolved.encoder_of(language)
        if (encoder := _class_of(bounds[f"encoders.{path}"])) is not None:
            _check_traceable(encoder, path, bounds)
    _check_without_contours(getattr(_class_of(bounds["dynamics"]), "contours", ()), bounds)


def _class_of(bound: Bound) -> type | None:
    """What builds it, where that is a class that may be imported."""
    factory = None if bound.unread else bound.spec.load()
    return factory if isinstance(factory, type) else None


def _check_traceable(encoder: object, path: str, bounds: Mapping[str, Bound]) -> None:
    if not hasattr(encoder, "traced"):
        what = f"the features of encoder '{path}' ({bounds[f'encoders.{path}'].full_name}) are not computed by torch"
        raise error("T509", what, "export without --onnx, or train with another encoder: logmel, whisper, wav2vec2, ...")


def _check_without_contours(contours: Sequence[str], bounds: Mapping[str, Bound]) -> None:
    if contours:
        what = f"the dynamics '{bounds['dynamics'].full_name}' read contours ({', '.join(contours)}): not computed by torch"
        raise error("T509", what, "export without --onnx, or train with dynamics: {use: none}")


def _check_installed() -> None:
    for name in ("onnx", "onnxruntime"):
        if importlib.util.find_spec(name) is None:
            raise error("P108", f"--onnx needs the distribution '{name}'", 'pip install "sere[onnx]"')


def add(path: Path, recordings: Sequence[Recording], speaker: Speaker) -> Parity:
    """Put the graph of a model into its folder.

    Args:
        path: the model's folder.
        recordings: which it is held against torch on.
        speaker: shows how far that is.

    Raises:
        SereError: P108 (onnx or onnxruntime is not installed), T509 (a part cannot be exported, or predicts otherwise in the graph).
    """
    _check_installed()
    model = Model.load(path, device="cpu")
    graph, file = Graph(model).eval(), path / NAME
    waveforms = [audio.read(each, model.resolved.config.features) for each in recordings]
    _write(graph, model, file, waveforms[0].samples)
    try:
        with speaker.bar("graph against torch") as tell:
            parity = compare(model, file, waveforms, tell)
    except BaseException:
        file.unlink()  # of which nobody knows how it predicts
        raise
    if not parity.difference <= LARGEST:
        file.unlink()
        what = f"on {parity.utterances} utterances a posterior of the graph differs from torch's by {parity.difference:.2g}"
        blame = _blame(graph, [each.samples for each in waveforms])
        raise error("T509", f"{what}, more than {LARGEST:g}; {blame}", f"the model without a graph is in {path}")
    folder.seal(path)
    return parity


def _write(graph: Graph, model: Model, file: Path, example: Samples) -> None:
    import onnx

    samples = torch.from_numpy(example)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: what it gets wrong is found by comparing
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            graph(samples)  # what is read from the disk at first use must not be read while it is traced
            torch.onnx.export(
                graph,
                (samples,),
                str(file),
                input_names=["waveform"],
                output_names=["posteriors"],
                dynamic_axes={"waveform": {0: "samples"}},
                opset_version=_OPSET,
                dynamo=False,
            )
    except (RuntimeError, torch.onnx.errors.OnnxExporterError) as cause:
        file.unlink(missing_ok=True)
        what = f"torch cannot make a graph of this model: {str(cause).splitlines()[0]}"
        raise error("T509", what, f"the model without a graph is in {file.parent}") from cause
    made = onnx.load(file)
    told = {"classes": list(model.classes), "rate": model.rate, "max_seconds": model.max_seconds, "temperature": model.temperature}
    onnx.helper.set_model_props(made, {name: json.dumps(value) for name, value in told.items()})
    onnx.save(made, file)


def compare(model: Model, file: Path, waveforms: Sequence[audio.Waveform], tell: Callable[[int, int], object]) -> Parity:
    """The graph against the model, which extracts its features as ever, of the same samples."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    largest = 0.0
    for done, waveform in enumerate(waveforms, start=1):
        wanted = model.posteriors([model.clip(waveform)])[0]
        (found,) = session.run(None, {"waveform": waveform.samples})
        largest = max(largest, float(np.abs(found - wanted).max())) if np.isfinite(found).all() else np.inf
        tell(done, len(waveforms))
    return Parity(largest, len(waveforms))


def _blame(graph: Graph, waveforms: Sequence[Samples]) -> str:
    """Which part it is: the encoder's traced features, or what follows."""
    encoder = graph.encoder
    differences = []
    for waveform in waveforms[:5]:
        wanted = encoder.extract(waveform, {}, 0.0)
        with torch.no_grad():
            found = cast(Traceable, encoder).traced(torch.from_numpy(waveform)).numpy()
        differences.append(float(np.abs(found - wanted).max()) if found.shape == wanted.shape else np.inf)
    what = f"the features of encoder '{graph.path}' in torch differ by {max(differences):.2g}"
    return what if max(differences) > LARGEST else "the encoder's layers or the method cannot be traced"
