"""What the folds of a run are made of: audio that is there, features on disk, and the streams made of them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.console import Speaker
from sere_core.data.folds import rank
from sere_core.data.leakage import audio_warnings
from sere_core.data.normalise import Normaliser
from sere_core.data.plan import Fold
from sere_core.data.texts import Texts
from sere_core.features.origin import encoder_origin
from sere_core.features.store import FeatureSet, extract_all
from sere_core.plan import Plan, build_corpus
from sere_core.train.build import Builder
from sere_core.train.device import computes_in, give_back_memory
from sere_core.train.layer_choice import Choice, choose_layers
from sere_core.train.network import network, predicting
from sere_core.train.streams import Item, Room, StreamSet, Unread, fold_seed
from sere_core.train.whole import output_means
from sere_registry import BuildContext, Dynamics, Encoder, Method, Recording, SereError, error
from sere_registry.guard import warn
from sere_registry.protocols import networks_of, trained_networks_of

Array = NDArray[np.float32]
#: bytes of a fold's standardised frames that are kept: 45 minutes of 512 float32 at 50 a second; others are read for each batch
_KEPT = 1 << 29
#: stream -> the encoder id of its path, and who is in it
Members = Mapping[str, tuple[str, Sequence[Recording]]]


class Material:
    """The features of a run, the streams of its folds, and what builds their methods.

    Args:
        plan: of the run, with every layer chosen.
        features: of every recording of the task.
        encoders: by id, for their frame grids; nothing is trained here.
        dynamics: prepares contours.
        layers: of encoders that left theirs to the run.

    Attributes:
        digests: recording -> digest of its samples.
        warnings: of the audio itself: the same recording trained on and scored, odd recordings; of texts that are not looked for.
        statements: whose statistics standardised the features of the streams so far.
        names: what an unlabelled item is called -> the recording, for messages to the user.
        texts: fold -> path -> corpus -> the texts that are taken off, of the folds so far.
    """

    def __init__(
        self,
        plan: Plan,
        features: FeatureSet,
        encoders: Mapping[str, Encoder],
        dynamics: Dynamics,
        layers: Sequence[Choice] = (),
    ) -> None:
        self.layers = layers
        self.plan, self.features, self.encoders, self.dynamics = plan, features, encoders, dynamics
        self.digests = {key: features.audio_digest(recording) for key, (recording, _) in plan.recordings.items()}
        self.warnings = (*audio_warnings(plan.task.folds, self.digests), *features.warnings)
        if plan.resolved.by_text and plan.resolved.config.task.normalise == "none":
            what = "takes texts off features that are standardised, and `normalise: none` leaves them as they are"
            self.warnings += (f"by_text, which the method asks for, {what}",)
        self.statements: list[str] = []
        self.names: dict[str, str] = {}
        self.texts: dict[int, dict[str, Mapping[str, Texts]]] = {}
        self._salt = secrets.token_bytes(16)  # of this process: no plugin can tell a name by hashing a corpus's names
        self._static: dict[tuple[str, str], Unread] = {}
        self._found: dict[tuple[str, tuple[Recording, ...]], Texts] = {}  # folds share a source
        self._outputs: dict[tuple[str, str], Array] = {}  # (recording, path) -> the mean of what the trained encoder made of it
        self._scaling: dict[tuple[str, str], Tensor] = {}  # the same -> what the streams made last standardise that by
        self._room = Room(_KEPT // 4)

    @property
    def trains_encoder(self) -> bool:
        """Is an encoder trained?  If not, the engine's own layers are too small to be worth several threads."""
        parameters = [each for encoder in self.encoders.values() for each in cast(nn.Module, encoder).parameters()]
        return any(parameter.requires_grad for parameter in parameters)

    def corpora(self) -> dict[str, dict[str, object]]:
        """What the task uses of each corpus; seconds are those left after trimming and cutting."""
        used: dict[str, list[Recording]] = {}
        for recording, _ in self.plan.recordings.values():
            used.setdefault(recording.corpus, []).append(recording)
        return {
            name: {
                "utterances": len(recordings),
                "speakers": len({recording.speaker for recording in recordings} - {""}),
                "seconds": round(sum(map(self.features.seconds, recordings)), 3),
                "languages": sorted({recording.language for recording in recordings}),
            }
            for name, recordings in used.items()
        }

    def counted(self) -> str:
        """How many utterances there are, and what was done to them."""
        report, longest = self.features.report, self.plan.resolved.config.features.max_seconds
        counted = f"{report.recordings} utterances, {report.seconds / 60:.1f} minutes"
        counted += f"; {report.extracted} extracted, {report.cached} from the cache"
        return f"{counted}; {report.trimmed} trimmed, {report.cut} cut at {longest:g} s"

    def builder(self, fold: Fold, device: torch.device) -> Builder:
        """Builds the methods of a fold."""
        plan = self.plan
        context = BuildContext(
            id="",
            classes=plan.task.classes,
            input_dim=self.encoders[self._predicted(fold)].input_dim,
            languages=plan.languages,
            speakers=len(_speakers(fold)),
        )
        return Builder(plan.resolved, context, fold_seed(plan.resolved.config.seed, fold.index), plan.paths, device)

    def streams(self, fold: Fold) -> dict[str, StreamSet]:
        """The streams `labelled`, `source`, `target`, `test` and `validation` of the fold, without the empty ones.

        Only `labelled` and `validation` have labels, which are the source's.
        """
        self._outputs, self._scaling = {}, {}
        languages, speakers, members, task = self.plan.languages, _speakers(fold), self._members(fold), self.plan.task
        normalisers, predicted = self.normalisers(fold), self._predicted(fold)
        labels = {"labelled": fold.labels, "validation": fold.validation_labels}
        frames: dict[tuple[str, str], Unread] = {}  # streams share recordings: each is standardised once
        vectors: dict[tuple[str, str], Tensor] = {}
        room = Room(_KEPT)

        def item(stream: str, recording: Recording, path: str) -> Item:
            key, pooled = (recording.key, path), predicted if self._supervised else path
            if key not in frames:
                if path in self._trained:
                    self._scaling[key] = torch.full((2, self.encoders[path].dim), torch.nan)  # until `standardise` is called
                source = partial(self._frames, recording, path, normalisers[path])
                frames[key] = Unread(self.features.lengths(recording, path)[0], source, room)
            if (recording.key, pooled) not in vectors:
                vectors[recording.key, pooled] = self._vector(recording, pooled, normalisers[pooled])
            name = recording.key if stream in labels else self._opaque(recording)
            speaker = -1 if stream == "test" else speakers.get((recording.corpus, recording.speaker), -1)
            domain = int(stream in ("target", "test") or task.source != recording.corpus == task.target)
            vector, language = vectors[recording.key, pooled], languages.index(recording.language)
            return Item(name, frames[key], self._contours(recording, path), vector, language, speaker, domain, self._scaling.get(key))

        def stream(name: str, path: str, others: Iterable[str] = ()) -> StreamSet:
            return StreamSet(
                name,
                path,
                tuple(item(name, recording, path) for recording in members[name][1]),
                self.encoders[path].rate,
                torch.tensor(labels[name], dtype=torch.long) if name in labels else None,
                tuple(stream(name, other) for other in others if other != path),
            )

        through = {"labelled": self.plan.paths} if self._supervised else {}
        config = self.plan.resolved.config.paths
        through |= {"source": (predicted,)} if config.field_path == "own" else {}
        through |= dict.fromkeys(("target", "test"), self.plan.paths) if config.predict == "mean" else {}
        return {name: stream(name, path, through.get(name, ())) for name, (path, _) in members.items()}

    def standardise(self, fold: Fold, method: Method, training: bool = False) -> None:
        """Take the statistics of trained encoders' outputs anew, for the streams made last, as the network now is.

        Args:
            method: one that reads vectors alone needs none.
            training: are they of the network that is trained, or of the one that predicts, which may be its average?
        """
        trained = [name for name, encoder in self.encoders.items() if not encoder.normalise]
        if method.vectors_only and trained:
            names = ", ".join(f"'{name}'" for name in trained)
            warn("vectors_only", names, f"the method reads means of what encoders extract: what {names} would train does not count")
        if method.vectors_only or not self._trained:
            return
        backbone = network(method.backbone) if training else predicting(method)
        device = next(backbone.parameters()).device
        half = computes_in(self.plan.resolved.config.train.precision, device) == "bfloat16"
        every = {recording.key: recording for _, recordings in self._members(fold).values() for recording in recordings}
        for path in self._trained:
            read = [each for each in every.values() if path in self.plan.recordings[each.key][1]]
            read.sort(key=lambda each: self.features.lengths(each, path)[0])  # less padding
            frames = (_tensor(self.features.frames(each, path)) for each in read)
            means = output_means(backbone.encoders[path], frames, self.encoders[path].rate, device, half)
            self._outputs |= {(each.key, path): mean for each, mean in zip(read, means, strict=True)}
            if wrong := [each.key for each in read if not np.isfinite(self._outputs[each.key, path]).all()]:
                what, place = f"encoder '{path}' returns values that are not finite, of {wrong[0]} for one", f"encoders.{path}"
                raise error("B403", what, "after some steps: lower train.encoder_rate", self.plan.resolved.place(place))
        give_back_memory()
        normalisers = self.normalisers(fold)
        for (key, path), kept in self._scaling.items():
            found = normalisers[path].scaling(every[key], self._mean(every[key], path))
            kept.copy_(torch.from_numpy(found[:, self.encoders[path].input_dim :]))

    @property
    def _trained(self) -> tuple[str, ...]:
        """The paths of which what `forward` returns is standardised."""
        standardises = self.plan.resolved.config.task.normalise != "none"
        return tuple(name for name, encoder in self.encoders.items() if standardises and not encoder.normalise)

    def _mean(self, recording: Recording, path: str) -> Array:
        """Over frames, `[F]`; once outputs were standardised, behind that of the frozen part that of the trained one."""
        frozen, trained = self.features.mean(recording, path), self._outputs.get((recording.key, path))
        return frozen if trained is None else np.concatenate([frozen, trained])

    @property
    def _supervised(self) -> bool:
        """Do labels teach every path?"""
        return self.plan.resolved.config.paths.supervise == "all"

    def _predicted(self, fold: Fold) -> str:
        """The encoder id of T_u and T_e."""
        return self.plan.resolved.encoder_of(fold.test[0].language)

    def _members(self, fold: Fold) -> Members:
        resolved = self.plan.resolved
        members: dict[str, tuple[str, Sequence[Recording]]] = {"labelled": (resolved.config.paths.labelled, fold.labelled)}
        for name, recordings in (("source", fold.source), ("target", fold.target), ("test", fold.test)):
            if recordings:
                members[name] = (resolved.encoder_of(recordings[0].language), recordings)
        if fold.validation:
            members["validation"] = (self.plan.path_of_validation(fold), fold.validation)
        return members

    def normalisers(self, fold: Fold) -> dict[str, Normaliser]:
        """By path: what standardises the features of the fold, and takes off what is said.

        Of an encoder that is trained, whose outputs were standardised (`standardise`), both the frozen part and the outputs.
        """
        members = self._members(fold)
        paths = [*(path for path, _ in members.values()), *(self.plan.paths if self._supervised else ())]
        found = {path: self._fit(path, members) for path in dict.fromkeys(paths)}
        self.texts[fold.index] = {path: each.texts for path, each in found.items() if each.texts}
        return found

    def _fit(self, path: str, members: Members) -> Normaliser:
        """The statistics of a path; S_u lends the labelled path its own even where it takes another itself.

        Where labels teach every path, S_l and S_u lend theirs to each.
        """
        config = self.plan.resolved.config
        mode, lends = config.task.normalise, {"source"} if path == config.paths.labelled else set()
        lends = set() if mode == "none" else {"labelled", "source"} if self._supervised else lends
        lends |= {"target", "test"} if config.paths.predict == "mean" else set()

        def means(name: str) -> list[tuple[Recording, Array]]:
            here, recordings = members.get(name, ("", ()))
            return [(each, self._mean(each, path)) for each in recordings if here == path or name in lends]

        task, labelled = self.plan.task, means("labelled")
        source = [*(each for each in labelled if each[0].corpus == task.source), *means("source")]
        taught = [each for each in labelled if each[0].corpus != task.source]
        normaliser = Normaliser.fit(mode, source, means("target"), means("test"), task.setting, taught, config.task.shrinkage)
        if self.plan.resolved.by_text and mode != "none":
            normaliser = self._without_texts(path, normaliser, [each for each, _ in (*source, *taught, *means("target"))])
        statement = f"{path}: {normaliser.statement}" if len(self.encoders) > 1 else normaliser.statement
        if statement not in self.statements:
            self.statements.append(statement)
        return normaliser

    def _without_texts(self, path: str, normaliser: Normaliser, recordings: Iterable[Recording]) -> Normaliser:
        """The same, which also takes off the texts of each corpus, as they are found in these recordings."""
        groups: dict[str, dict[Recording, None]] = {}
        for each in recordings:
            groups.setdefault(each.corpus, {})[each] = None
        texts = {name: self._texts_of(path, normaliser, tuple(members)) for name, members in groups.items()}
        named = ", ".join(name for name, each in texts.items() if each.count)
        return replace(normaliser, texts=texts, statement=normaliser.statement + (f"; texts of {named} are taken off" if named else ""))

    def _texts_of(self, path: str, normaliser: Normaliser, members: tuple[Recording, ...]) -> Texts:
        vectors, encoder = np.stack([normaliser.apply(each, self._mean(each, path)[None])[0] for each in members]), self.encoders[path]
        if (path, members) not in self._found:
            self._found[path, members] = Texts.find(vectors, [each.speaker for each in members], networks_of(encoder))
        found, networks = self._found[path, members], (*networks_of(encoder), *trained_networks_of(encoder))
        return found.widened(vectors, networks) if path in self._trained and self._outputs else found

    def texts_of_target(self, fold: Fold) -> dict[str, Tensor]:
        """What a model of a fold, whose streams were made, keeps of the target's texts: `path/name`."""
        target = self.plan.task.target
        found = {path: texts[target] for path, texts in self.texts[fold.index].items() if target in texts}
        return {f"{path}/{name}": torch.from_numpy(part) for path, texts in found.items() for name, part in texts.parts().items()}

    def texts_told(self) -> list[str]:
        """How many texts were taken off which corpus, in which folds."""
        told: dict[str, list[str]] = {}
        for number, paths in sorted(self.texts.items()):
            for path, texts in paths.items():
                counts = ", ".join(f"{found.count or 'none'} of {name}" for name, found in texts.items())
                told.setdefault(f"{path}: {counts}" if len(self.encoders) > 1 else counts, []).append(str(number + 1))
        return [f"{line} (fold {', '.join(folds)})" for line, folds in told.items()]

    def texts_missing(self) -> list[str]:
        """Off which corpora no text was taken, in which folds, and why."""
        told: dict[tuple[str, str, str], list[str]] = {}
        for number, paths in sorted(self.texts.items()):
            for path, texts in paths.items():
                for name, one in texts.items():
                    if one.why:
                        told.setdefault((name, path, one.why), []).append(str(number + 1))
        weak = {self.plan.task.target: "; methods that trust the target's own clusters are weak then (docs/texts.md)"}
        what = "by_text: no text is taken off"
        return [f"{what} {name} ({path}, fold {', '.join(folds)}): {why}{weak.get(name, '')}" for (name, path, why), folds in told.items()]

    def _frames(self, recording: Recording, path: str, normaliser: Normaliser) -> Tensor:
        """`[T, F]`, standardised unless trained layers read them; in half precision where the cache holds them so."""
        frames = self.features.frames(recording, path)
        standardised = self.encoders[path].normalise
        values = _tensor(normaliser.apply(recording, frames, self.features.mean(recording, path)) if standardised else frames)
        return values.half() if frames.dtype == np.float16 else values

    def _vector(self, recording: Recording, path: str, normaliser: Normaliser) -> Tensor:
        """The standardised mean of the frozen frames, `[F]`: no frame is read for it."""
        return _tensor(normaliser.apply(recording, self.features.mean(recording, path)[None])[0])

    def _contours(self, recording: Recording, path: str) -> Unread:
        """As the dynamics prepare them, `[T', S]`."""
        key = (recording.key, path)
        if key not in self._static:
            count = self.features.lengths(recording, path)[1]

            def static() -> Tensor:
                if self.dynamics.contours:
                    return _tensor(self.dynamics.prepare(self.features.contours(recording, path)))
                return torch.zeros(count, 0)

            self._static[key] = Unread(count, static, self._room)
        return self._static[key]

    def _opaque(self, recording: Recording) -> str:
        """A name that tells nothing: file names tell the emotion."""
        name = hashlib.blake2b(recording.key.encode(), key=self._salt, digest_size=12).hexdigest()
        self.names[name] = recording.key
        return name


def gather(plan: Plan, device: torch.device, speaker: Speaker) -> Material:
    """Make the audio of corpora that are made, and extract every feature that is not in the cache.

    Raises:
        SereError: the problems of all files together, or a cache that cannot be written.
    """
    for name in plan.corpora:
        with speaker.bar(f"corpus {name}") as tell:
            build_corpus(plan.resolved, name).prepare(tell)
    layers = choose_layers(plan, device, speaker)
    for choice in layers:
        speaker.say(f"encoders.{choice}")
    resolved = plan.resolved.with_layers({choice.encoder: choice.layer for choice in layers})
    config = resolved.config
    bounds = {name: resolved.components[f"encoders.{name}"] for name in plan.paths}
    encoders = {name: bound.build(BuildContext(id=name)).to(device) for name, bound in bounds.items()}
    dynamics = resolved.components["dynamics"].build(BuildContext(id="dynamics", dim=config.network.dim))
    with speaker.bar("features") as tell, _or_without_damaged(config.task.skip is None):
        features = extract_all(
            list(plan.recordings.values()),
            {name: (encoder, bounds[name].full_name, encoder_origin(bounds[name], plan.contents)) for name, encoder in encoders.items()},
            frozenset(dynamics.contours),
            config.features,
            plan.contents,
            progress=tell,
        )
    plan.check_unchanged()
    return Material(replace(plan, resolved=resolved), features, encoders, dynamics, layers)


@contextmanager
def _or_without_damaged(possible: bool) -> Iterator[None]:
    """Problems of files without a hint of their own get the one that leaves such files out."""
    try:
        yield
    except SereError as found:
        hint = "`task: {skip: damaged}` goes on without such files" if possible else ""
        of_files = {"D603", "D604", "D605", "D606", "D612"}
        raise SereError(*(replace(each, hint=each.hint or hint) if each.code in of_files else each for each in found.problems)) from found


def _speakers(fold: Fold) -> dict[tuple[str, str], int]:
    """(corpus, speaker) -> an index, in an order that tells nothing, of the training streams; none of T_e's."""
    known = {(each.corpus, each.speaker) for each in (*fold.labelled, *fold.source, *fold.target) if each.speaker}
    ordered = sorted(known, key=lambda name: rank("speakers", 0, "/".join(name)))
    return {name: index for index, name in enumerate(ordered)}


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.require(values, np.float32, ["C", "W"]))
