"""Prediction with a trained model: waveform -> features -> standardised frames -> posteriors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.config import Resolved, load
from sere_core.config.nodes import block_of
from sere_core.data.normalise import Statistics, scaling, speaker_statistics
from sere_core.data.texts import Texts
from sere_core.features import audio, contours
from sere_core.features.extract import Extractor
from sere_core.model import folder
from sere_core.model.folder import About
from sere_core.model.temperature import tempered
from sere_core.train.build import Builder
from sere_core.train.device import choose_device
from sere_core.train.fold import load_state
from sere_core.train.network import predicting
from sere_core.train.streams import Item, StreamSet
from sere_core.train.whole import output_means, predict
from sere_core.untrusted import read_stored, unusable, yaml_of
from sere_registry import BuildContext, Encoder, Method
from sere_registry.errors import error
from sere_registry.files import expanded
from sere_registry.protocols import networks_of, trained_networks_of

#: of a recording, at most
_CHANNELS = 64


@dataclass(frozen=True)
class Clip:
    """The features of one utterance, not yet standardised.

    Args:
        path: the id of the encoder that made them.
        frames: `[T, F]`.
        static: the contours as the dynamics prepared them, `[T', S]`.
        seconds: how long it is, after trimming and cutting.
        mean: over frames, `[F]`, and behind it that of what trained layers make of them: what statistics are made of.
        remarks: what is odd about its audio.
    """

    path: str
    frames: NDArray[np.float32]
    static: NDArray[np.float32]
    seconds: float
    mean: NDArray[np.float32]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """What a model takes an utterance for.

    Args:
        label: the most probable class.
        confidence: its posterior, at the model's temperature.
        posteriors: of every class.
    """

    label: str
    confidence: float
    posteriors: Mapping[str, float]


class Model:
    """A trained method with everything that it needs to predict; made by `load`.

    Attributes:
        classes: in the order of posteriors.
        rate: of the samples that its encoders read, in Hz.
        max_seconds: longer utterances are cut.
        languages: that it was adapted to.
        normalisation: "none", "corpus" or "speaker": what it was trained with.
        temperature: divides the logarithms of posteriors; 1 where none was fitted.
        speakers: whose statistics it knows.
        speaker_in_path: where the paths of the target corpus, a `folder`, tell the speaker; "" where they do not.
    """

    rate = audio.SAMPLE_RATE
    speaker_in_path = ""

    def __init__(self, resolved: Resolved, about: About, tensors: Mapping[str, Tensor], device: str = "auto") -> None:
        self._about, self.resolved = about, resolved
        self.device = choose_device(device)
        context = BuildContext(id="", classes=about.classes, input_dim=about.input_dim, languages=about.languages, speakers=about.speakers)
        self.method: Method = Builder(resolved, context, about.seed, about.encoders, self.device).method()
        load_state(self.method, _under(tensors, "method"), "another version of sere made this model: export it, or train it, again")
        cast(nn.Module, self.method).eval()
        backbone = predicting(self.method)
        self._encoders = {name: cast(Encoder, encoder) for name, encoder in backbone.encoders.items()}
        self._dynamics = backbone.dynamics
        names = {name: resolved.components[f"encoders.{name}"] for name in self._encoders}
        self._extractor = Extractor(
            {name: (self._encoders[name], bound.full_name, ()) for name, bound in names.items()},
            frozenset(self._dynamics.contours),
            resolved.config.features,
        )
        self._corpus = _statistics(tensors, "corpus")
        self._speakers = _statistics(tensors, "speaker")
        self._texts = {name: self._read_texts(_under(tensors, f"texts/{name}"), name) for name in set(about.paths.values())}
        self.support = self._read_support(_under(tensors, "support"), resolved.config.paths.labelled)

    def __repr__(self) -> str:
        return f"<Model {self._about.name}: {', '.join(self.classes)}; {', '.join(self.languages)}>"

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Model:
        """A model from its folder.

        Raises:
            SereError: T505 (no model, or a damaged one), P101 or R201 (a component that is not installed).
        """
        where = expanded(path)
        about, tensors = folder.read(where)
        resolved, corpora = _resolved(where)
        try:
            model = cls(resolved, about, tensors, device)
            model.speaker_in_path = _speaker_in_path(corpora, about.target)
            for name in about.paths.values():  # each with its statistics, where it needs some
                model._check_statistics(name)
        except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, MemoryError) as cause:
            raise unusable(where / "weights.safetensors", f"{type(cause).__name__}: {cause}", folder.ANEW) from cause
        return model

    @property
    def classes(self) -> tuple[str, ...]:
        return self._about.classes

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(self._about.paths)

    @property
    def max_seconds(self) -> float:
        return self.resolved.config.features.max_seconds

    @property
    def normalisation(self) -> str:
        return self._about.normalisation

    @property
    def temperature(self) -> float:
        return self._about.temperature

    @property
    def speakers(self) -> tuple[str, ...]:
        first = next(iter(self._about.paths.values()))
        return tuple(sorted(self._speakers.get(first, {})))

    def path_of(self, language: str = "") -> str:
        """The encoder of a language; the first of the target's where none is given.

        Raises:
            SereError: C311 for a language that the model has no encoder for.
        """
        paths = self._about.paths
        if language in paths or not language:
            return paths[language] if language else next(iter(paths.values()))
        if len(set(paths.values())) == 1:
            return next(iter(paths.values()))
        raise error("C311", f"the model has no encoder for the language '{language}'", f"it has: {', '.join(paths)}")

    def extract(self, samples: NDArray[np.floating], rate: int, *, language: str = "", place: str = "") -> Clip:
        """The features of one utterance: the costly part; threads may call it.

        Args:
            samples: `[N]` or `[N, channels]`, in [-1, 1].
            rate: in Hz.
            language: chooses the encoder, where there are several.
            place: what messages call it, such as its file.

        Raises:
            SereError: D603 to D606 (no samples, silence, no sound, or of another shape), D612 (too short).
        """
        channels = np.asarray(samples, dtype=np.float32)
        if channels.ndim == 1:
            channels = channels[:, None]
        if channels.ndim != 2 or (channels.size and channels.shape[1] > min(_CHANNELS, len(channels))):
            what = f"samples of shape {list(np.shape(samples))} are not [N], or [N, channels] with at most {_CHANNELS} channels"
            raise error("D606", what, "transpose them, as in predict(waveform.T, rate), where channels are first", place)
        return self.clip(audio.waveform(channels, rate, self.resolved.config.features, place), language=language, place=place)

    def clip(self, waveform: audio.Waveform, *, language: str = "", place: str = "") -> Clip:
        """What `extract` makes of a waveform.

        Raises:
            SereError: D612.
        """
        path = self.path_of(language)
        entries = self._extractor.extract(waveform, (path,), place)
        frames = entries[f"encoder {path}"].arrays["frames"]
        static = np.zeros((len(frames), 0), np.float32)
        if self._dynamics.contours:
            rows = {name: row for part, entry in entries.items() if part in contours.GROUPS for name, row in entry.arrays.items()}
            static = np.ascontiguousarray(self._dynamics.prepare(self._extractor.on_grid(rows, len(frames), path)), dtype=np.float32)
        mean = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
        if self.trained(path):
            encoder, given = self._encoders[path], [torch.from_numpy(frames)]
            mean = np.concatenate([mean, *output_means(cast(nn.Module, encoder), given, encoder.rate, self.device)])
        return Clip(path, frames, static, waveform.facts.seconds, mean, waveform.facts.remarks)

    def statistics(self, clips: Iterable[Clip]) -> Statistics | None:
        """Of one speaker's clips, each weighing the same; None for so few that the corpus's must do."""
        listed, shrinkage = list(clips), self.resolved.config.task.shrinkage
        if len(listed) < (1 if shrinkage else 2) or self.corpus(listed[0].path) is None:
            return None
        means = np.stack([clip.mean for clip in listed]).astype(np.float64)
        return speaker_statistics(means, self._corpus[listed[0].path][""], shrinkage)

    @property
    def target(self) -> str:
        """The corpus that was adapted to."""
        return self._about.target

    def known(self, speaker: str, path: str | None = None) -> Statistics | None:
        """The stored statistics of a speaker of the training; None where there are none."""
        return self._speakers.get(path or self.path_of(), {}).get(speaker)

    def encoder(self, path: str) -> Encoder:
        """The encoder of this id."""
        return self._encoders[path]

    def corpus(self, path: str) -> Statistics | None:
        """The target corpus's statistics of an encoder's features; None where they are not standardised."""
        return None if self.normalisation == "none" else self._corpus[path][""]

    def trained(self, path: str) -> bool:
        """Is what the encoder's trained layers return standardised, beside the means of its frozen output?"""
        return self.normalisation != "none" and not self._encoders[path].normalise and not self.method.vectors_only

    def networks(self, path: str) -> tuple[tuple[int, int], ...]:
        """Of what statistics are of, as `networks_of` an encoder."""
        encoder = self._encoders[path]
        return (*networks_of(encoder), *(trained_networks_of(encoder) if self.trained(path) else ()))

    def texts(self, path: str) -> Texts | None:
        """What is said in the target corpus, as an encoder hears it, and is taken off; None without lexical normalisation."""
        return self._texts[path]

    def standardised(self, clip: Clip, statistics: Statistics | None = None) -> Item:
        """A clip as the network reads it; by the target corpus's statistics where none are given."""
        frames, vector, corpus, trained = clip.frames, clip.mean, self.corpus(clip.path), None
        if corpus is not None:
            width = frames.shape[1]
            shift, factor = scaling(statistics or corpus, self.texts(clip.path), vector)
            vector = ((vector - shift) * factor)[:width]
            if self._encoders[clip.path].normalise:
                frames = (frames - shift) * factor
            elif self.trained(clip.path):
                trained = torch.from_numpy(np.stack([shift, factor])[:, width:]).float()
        values, mean = (torch.from_numpy(np.ascontiguousarray(each, dtype=np.float32)) for each in (frames, vector))
        return Item("", values, torch.from_numpy(clip.static), mean, domain=1, scaling=trained)

    def apply(self, clips: Sequence[Clip], statistics: Sequence[Statistics | None] = ()) -> dict[str, NDArray[np.float64]]:
        """`posteriors` `[n, C]` and `embeddings` `[n, D]` of clips.

        Args:
            clips: of one language's encoder.
            statistics: what standardises each; None, or nothing at all: the target corpus's.
        """
        items = tuple(self.standardised(clip, own) for clip, own in zip(clips, statistics or [None] * len(clips), strict=True))
        stream = StreamSet("test", clips[0].path, items, self._encoders[clips[0].path].rate)
        found = predict(self.method, stream, self.support if self.method.needs_support else None, self.device)
        return {name: value.double().numpy() for name, value in found.items()}

    def posteriors(self, clips: Sequence[Clip], statistics: Sequence[Statistics | None] = ()) -> NDArray[np.float64]:
        """`[n, C]`; see `apply`."""
        return self.apply(clips, statistics)["posteriors"]

    def tempered(self, posteriors: NDArray[np.float64]) -> NDArray[np.float64]:
        """Posteriors `[n, C]` at the model's temperature: p^(1/T), normalised."""
        return tempered(posteriors, self.temperature)

    def predict(self, waveform: NDArray[np.floating], rate: int, *, speaker: str = "", language: str = "") -> Prediction:
        """What one utterance is taken for.

        Args:
            waveform: `[N]` or `[N, channels]`, in [-1, 1].
            rate: in Hz.
            speaker: one of `speakers`, whose statistics are used; else those of the target corpus.
            language: chooses the encoder, where there are several.
        """
        clip = self.extract(waveform, rate, language=language)
        row = self.tempered(self.posteriors([clip], [self.known(speaker, clip.path)]))[0]
        best = int(row.argmax())
        return Prediction(self.classes[best], float(row[best]), dict(zip(self.classes, row.tolist(), strict=True)))

    def _check_statistics(self, path: str) -> None:
        """That there are some, as wide as what they standardise.

        Raises:
            KeyError, ValueError: not so.
        """
        wide = sum(states * width for states, width in self.networks(path))
        for who, found in {"": self._corpus[path][""], **self._speakers.get(path, {})}.items() if self.normalisation != "none" else ():
            if any(each.shape != (wide,) for each in found):
                raise ValueError(f"the statistics of {who or 'the corpus'} are not of {wide} values")

    def _read_texts(self, tensors: Mapping[str, Tensor], path: str) -> Texts | None:
        """None where none are taken off.

        Raises:
            ValueError: they are not as they are stored.
        """
        if not self.resolved.by_text or self.corpus(path) is None:
            return None
        return Texts.stored({name: value.numpy() for name, value in tensors.items()}, self.networks(path))

    def _read_support(self, tensors: Mapping[str, Tensor], path: str) -> StreamSet | None:
        if not tensors:
            return None
        labels, through = tensors["labels"], sorted({name.split("/")[1] for name in tensors if name.startswith("through/")})
        others = (self._read_support(_under(tensors, f"through/{other}"), other) for other in through)
        items = []
        for number in range(len(labels)):
            values = tensors[f"{number}/frames"]
            vector, trained = (tensors[f"{number}/{name}"] if self.trained(path) else None for name in ("vector", "scaling"))
            vector = values.mean(dim=0) if vector is None else vector
            items.append(Item(str(number), values, tensors[f"{number}/static"], vector, int(tensors["language"][number]), scaling=trained))
        return StreamSet("labelled", path, tuple(items), self._encoders[path].rate, labels, tuple(filter(None, others)))


def _resolved(where: Path) -> tuple[Resolved, Any]:
    """The config of a model's folder, with the checkpoints that lie in it, and without what prediction does not need; its corpora.

    Raises:
        SereError: T505 for a component that is a file, P101 or R201 for one that is not installed.
    """
    file = where / "config.yaml"
    data = yaml_of(read_stored(file, folder.ANEW), file, folder.ANEW)
    try:
        blocks = [*data["encoders"].values(), *data["losses"].values(), data["dynamics"], data["method"], data["resonance"]]
        named = [str(block["use"]) for block in blocks if block]
        pretrained = sorted({path.parent for path in where.glob("encoders/*/*")})
        params = {each: set(block_of(data, ("encoders", *each.name.split(".")))["params"]) for each in pretrained}
        corpora = list(data["corpora"])
    except (LookupError, TypeError, ValueError, AttributeError) as cause:
        raise unusable(file, f"it is not the config of a model: {cause!r}", folder.ANEW) from cause
    if any(name.startswith("file:") for name in named):
        raise error("T505", f"{file} names a component that is a file", "a model may only name what is installed")
    sets = ["views=null", "select={use: last}"]
    sets += [f"corpora.{name}={{use: sere.manifest, params: {{file: {name}}}}}" for name in corpora]
    for each, known in params.items():
        values = {"model": json.dumps(str(each.absolute())), "revision": "null"}
        sets += [f"encoders.{each.name}.params.{name}={value}" for name, value in values.items() if name in known]
    return load(file, sets=sets), data["corpora"]


def _speaker_in_path(corpora: Any, target: str) -> str:
    try:
        use, found = corpora[target]["use"], corpora[target]["params"]["speaker"]
    except (LookupError, TypeError):  # a corpus of another kind, or nothing that sere wrote
        return ""
    return found if use in ("folder", "sere.folder") and isinstance(found, str) and found.isprintable() else ""


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}/"): value for name, value in tensors.items() if name.startswith(f"{prefix}/")}


def _statistics(tensors: Mapping[str, Tensor], what: str) -> dict[str, dict[str, Statistics]]:
    """Encoder id -> speaker ("" for the corpus) -> statistics; stored as `statistics/<what>/<id>/<mean or divisor>/<speaker>`."""
    found: dict[str, dict[str, Statistics]] = {}
    for name, mean in _under(tensors, f"statistics/{what}").items():
        path, kind, speaker = name.split("/", 2)
        if kind == "mean":
            divisor = tensors[f"statistics/{what}/{path}/divisor/{speaker}"]
            found.setdefault(path, {})[speaker] = mean.numpy(), divisor.numpy()
    return found
