"""Plugins that are not broken, and the table of faults that make a broken one of each: one fault, one check that fails."""

from __future__ import annotations

import contextlib
import functools
import json
import random
import socket
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn

from sere_core.functional import frozen_copy, reverse_gradient, update_average
from sere_registry import (
    BuildContext,
    Frames,
    Group,
    LabelledBatch,
    Phase,
    Progress,
    Recording,
    Resonance,
    Schedule,
    Stage,
    UnlabelledBatch,
    Utterance,
    WorkOrder,
    error,
)
from sere_registry.batches import FrameMap
from sere_registry.hookspecs import hookimpl
from sere_registry.processes import Child, Children


class Plain(nn.Module):
    """What `touch` does to its results is where the faults below that all kinds may have come in."""

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__()

    def touch(self, value: Tensor) -> Tensor:
        return value


# --- losses: the distance of the means of S_l and T_u -------------------------------------------------------------------


class GoodLoss(Plain):
    def forward(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        return {"gap": self.touch(self.gap(labelled, target))}

    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        return squared(labelled.embedding.mean(dim=0) - target.embedding.mean(dim=0))


def squared(gap: Tensor) -> Tensor:
    return gap.square().sum()


class Adversary(nn.Module):
    """A domain classifier behind a gradient reversal, trained in a group of its own."""

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__()
        self.domains = nn.Linear(context.embedding_dim, 2)

    def forward(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        rows = reverse_gradient(torch.cat([labelled.embedding, target.embedding]), 0.5)
        domain = torch.cat([torch.zeros(len(labelled)), torch.ones(len(target))]).long()
        return {"domain": nn.functional.cross_entropy(self.domains(rows), domain)}

    def parameters_by_group(self) -> Mapping[str, Group]:
        return {"domains": Group(list(self.domains.parameters()), scale=10.0, schedule=Schedule(use="inverse_decay"))}


def call_home() -> None:
    """What a component does that fetches something and makes do where it cannot."""
    with contextlib.suppress(OSError):
        socket.create_connection(("192.0.2.1", 9), 0.1)


class Teaches(GoodLoss):
    """Mean Teacher: an average of the network encodes what the student has encoded; it says what it reads, and is nothing but good."""

    reads = frozenset({"target"})

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.teacher, self.student = frozen_copy(context.backbone), [context.backbone]  # a list: the student is not a part of the loss

    def forward(self, **given: Any) -> Mapping[str, Tensor]:  # type: ignore[override]
        (target,) = given.values()
        with torch.no_grad():
            goal = self.teacher.encode(target).logits.softmax(dim=1)
        return {"consistency": (target.logits.softmax(dim=1) - goal).square().mean()}

    def after_step(self, progress: Progress) -> None:
        update_average(self.teacher, self.student[0], 0.99, progress.step)


# --- resonance fields: products of embeddings ---------------------------------------------------------------------------


class GoodResonance(Plain):
    directed = False

    def representation(self, batch: Any) -> Tensor:
        found: Tensor = batch.embedding
        return found

    def unit(self, batch: Any) -> Tensor:
        return nn.functional.normalize(batch.embedding, dim=1)

    def every(self, a: Any, b: Any) -> Tensor:
        return self.touch(self.unit(a) @ self.unit(b).T)

    def similarity(self, a: Any, b: Any) -> Tensor:
        return self.every(a, b).detach()

    def aligned(self, a: Any, b: Any, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        picks = torch.arange(len(a)) if picks is None else picks
        similarity = self.every(a, b)[torch.arange(len(a)), picks]
        return Resonance(similarity, self.representation(b)[picks], self.representation(a) if both else None)


# --- encoders: a linear map of frames of 320 samples --------------------------------------------------------------------


class GoodEncoder(Plain):
    input_dim, dim = 4, 3
    rate, offset = 50.0, 0.01
    contours: tuple[str, ...] = ()
    normalise = True

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.map = nn.Linear(self.input_dim, self.dim)

    def fingerprint(self) -> dict[str, Any]:
        return {"step": 320}

    def extract(self, waveform: Any, contours: Any, hop: float) -> Any:
        whole = np.pad(waveform, (0, -len(waveform) % 320)).reshape(-1, 4, 80)
        return whole.mean(axis=2).astype(np.float32)

    def lengths(self, lengths: Tensor) -> Tensor:
        return lengths

    def forward(self, frames: Frames) -> Frames:
        clean = frames.values.masked_fill(~frames.mask.unsqueeze(-1), 0.0)
        return Frames(self.touch(self.map(clean)), frames.mask, self.rate)


# --- methods: minimise the losses of the config -------------------------------------------------------------------------


class GoodMethod(Plain):
    sees: frozenset[Any] = frozenset({"labelled"})

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)
        self.backbone = context.backbone
        self.losses = nn.ModuleDict({name: weighted.loss for name, weighted in context.losses.items()})
        self.weights = {name: weighted.weight(0.0) for name, weighted in context.losses.items()}

    def stages(self) -> list[Stage]:
        return [Stage("all", self.sees | ({"source", "target"} if "adapt" in self.losses else set()), phases=(self.phase(),))]

    def phase(self) -> Phase:
        reads = frozenset({"labelled"}) | ({"source", "target"} if "adapt" in self.losses else set())
        return Phase("step", self.terms, ("all",), reads=reads)

    def terms(self, **given: Any) -> dict[str, Tensor]:
        found = {}
        for name, loss in self.losses.items():
            named = {"classify": ("labelled",), "adapt": ("source", "target")}.get(name, ("labelled",))
            for term, value in loss(**{stream: given[stream] for stream in named}).items():
                found[f"{name}.{term}"] = self.share(name) * value
        return found

    def share(self, name: str) -> float:
        return self.weights[name]  # type: ignore[no-any-return]

    def parameters_by_group(self) -> dict[str, Group]:
        return {"all": Group(tuple(self.parameters()))}

    def predict(self, batch: Any) -> Tensor:
        return self.touch(batch.logits).softmax(dim=1)


# --- views, selectors, dynamics, hooks ----------------------------------------------------------------------------------


class GoodView:
    level = "frames"

    def __init__(self, params: Any, context: BuildContext) -> None:
        pass

    def __call__(self, frames: Frames, generator: torch.Generator) -> Frames:
        noise = torch.stack([torch.randn(frames.values.shape[2], generator=generator) for _ in range(len(frames.values))])
        return Frames(frames.values + 0.1 * noise[:, None] * frames.mask.unsqueeze(-1), self.mask(frames), frames.rate)

    def mask(self, frames: Frames) -> Tensor:
        return frames.mask


class GoodSelector:
    def __init__(self, params: Any, context: BuildContext) -> None:
        pass

    def score(self, target: Tensor) -> float:
        return float(target.amax(dim=1).mean())


class GoodExecutor:
    workers = 2
    crew = Children

    def __init__(self, params: Any, context: BuildContext) -> None:
        pass

    def start(self, order: WorkOrder) -> Children:
        return self.crew([Child(order.words) for _ in range(self.count(order))])

    def count(self, order: WorkOrder) -> int:
        return min(self.workers, order.jobs)


class Content(Children):
    def problem(self) -> str:
        return ""


class Deaf(Children):
    def stop(self) -> None:
        pass


class GoodDynamics(Plain):
    contours = ("rms",)
    static_dim, dim = 1, 1

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.gate = nn.Parameter(torch.ones(()))

    def prepare(self, contours: Any) -> Any:
        return contours["rms"][:, None]

    def forward(self, static: Frames, context: Frames) -> Frames:
        inside = context.mask.unsqueeze(-1)
        clean = static.values.masked_fill(~inside, 0.0)
        return Frames(self.touch(self.gate * clean) * inside, context.mask, context.rate)


class GoodHook:
    def __init__(self, params: Any, context: BuildContext) -> None:
        pass

    @hookimpl
    def sere_run_start(self, run: Any) -> None:
        """Is told."""


# --- corpora: tones of two speakers and two emotions --------------------------------------------------------------------


class GoodCorpus:
    languages: tuple[str, ...] = ("xx",)

    def __init__(self, params: Any, context: BuildContext) -> None:
        assert context.cache is not None
        self.id, self.root = context.id, context.cache / "broken-corpus" / type(self).__name__

    def utterances(self) -> list[Utterance]:
        return [self.utterance(speaker, word, take) for speaker in "ab" for word in ("anger", "sadness") for take in (0, 1)]

    def utterance(self, speaker: str, emotion: str, take: int) -> Utterance:
        id = f"{speaker}-{emotion}-{take}"
        return Utterance(Recording(id, self.path(id), self.id, "xx", speaker, text=self.text()), emotion)

    def path(self, id: str) -> Path:
        return self.root / f"{id}.wav"

    def text(self) -> str:
        return "la la"

    def findings(self) -> list[Any]:
        return []

    def prepare(self, progress: Any = None) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        for number, utterance in enumerate(self.utterances()):
            if not utterance.recording.path.exists():
                soundfile.write(utterance.recording.path, 0.1 * np.sin(np.arange(6400) * (0.05 + 0.01 * number)), 16000)


# --- faults of any kind ---------------------------------------------------------------------------------------------------


class Forgets:
    """A scale that is drawn, and written down nowhere."""

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)  # type: ignore[call-arg]
        self.scale = float(torch.rand(()))

    def touch(self, value: Tensor) -> Tensor:
        return self.scale * value


class Wavers:
    """Every result another one than the one before, whatever was seeded."""

    def touch(self, value: Tensor) -> Tensor:
        return random.SystemRandom().uniform(0.5, 1.0) * value


class Steeper:
    """A gradient that is twice what it should be."""

    def touch(self, value: Tensor) -> Tensor:
        return 2 * value - value.detach()


class Spare:
    """A layer that nothing passes through."""

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)  # type: ignore[call-arg]
        self.spare = nn.Linear(2, 2)


class SeesCompany:
    """Results that depend on the rest of the batch."""

    def touch(self, value: Tensor) -> Tensor:
        return value - value.mean(dim=0, keepdim=True)


class CallsHome:
    """When it is built."""

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)  # type: ignore[call-arg]
        call_home()


class Refuses:
    """The losses of a config, without announcing that it brings its own."""

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)  # type: ignore[call-arg]
        if context.losses:
            raise error("C311", "no losses, please")


# --- faults of one kind ----------------------------------------------------------------------------------------------------


def calls_home(self: GoodLoss, value: Tensor) -> Tensor:
    call_home()
    return value


def needs_two(self: GoodLoss, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
    spread = target.embedding.std(dim=0).sum() if len(target) + len(labelled) < 3 else target.embedding.sum() * 0
    return GoodLoss.gap(self, labelled, target) + spread


def order_sensitive(self: GoodLoss, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
    place = torch.arange(1, len(target) + 1).to(target.embedding)[:, None]
    return squared(labelled.embedding.mean(dim=0) - (place * target.embedding).mean(dim=0))


def map_of_another(self: GoodResonance, a: Any, b: Any) -> FrameMap:
    rows, columns = (side.frames.mask[0].sum() for side in (a, b))
    even = torch.full((rows, columns), 1.0 / float(columns), dtype=a.frames.values.dtype)
    return FrameMap(even.detach(), even, torch.full((rows,), 1.0 / float(rows), dtype=even.dtype))


def wrong_diagonal(self: GoodResonance, a: Any, b: Any, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
    """Without picks it looks at other pairs than with them."""
    return GoodResonance.aligned(self, a, b, torch.arange(len(a)).roll(1) if picks is None else picks, both=both)


def wrong_reverse(self: GoodResonance, a: Any, b: Any, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
    """Both directions get the same representation."""
    found = GoodResonance.aligned(self, a, b, picks)
    return replace(found, reverse=found.aligned if both else None)


def steep(self: GoodResonance, batch: Any) -> Tensor:
    """Adds the distance of each embedding from itself: 0, where the gradient of a root is not finite."""
    found: Tensor = batch.embedding
    return found + (found - found.detach()).square().sum(dim=1, keepdim=True).sqrt()


def sums_padding(self: GoodEncoder, frames: Frames) -> Frames:
    found = self.map(frames.values) + 1e-3 * frames.values.sum(dim=(1, 2), keepdim=True)
    return Frames(found, frames.mask, self.rate)


def log_energy(self: GoodEncoder, frames: Frames) -> Frames:
    """Not finite in silence."""
    found, inside = GoodEncoder.forward(self, frames), frames.mask.unsqueeze(-1)
    energy = frames.values.square().sum(dim=2, keepdim=True)
    return replace(found, values=found.values + torch.where(inside, energy, 1.0).log())


def counts_steps(self: GoodMethod, **given: Any) -> dict[str, Tensor]:
    """In a number that no state_dict holds."""
    steps = getattr(self, "steps", 0) + 1
    setattr(self, "steps", steps)  # noqa: B010
    return {name: value / steps for name, value in GoodMethod.terms(self, **given).items()}


def changes_input(self: GoodView, frames: Frames, generator: torch.Generator) -> Frames:
    found = GoodView.__call__(self, replace(frames, values=frames.values.clone()), generator)
    frames.values.mul_(1.5)
    return found


def drops_frame(self: GoodView, frames: Frames, generator: torch.Generator) -> Frames:
    found = GoodView.__call__(self, frames, generator)
    return Frames(found.values[:, 1:], found.mask[:, 1:], found.rate)


def draws_for_padding(self: GoodView, frames: Frames, generator: torch.Generator) -> Frames:
    """A draw for each frame, padded ones too: the draws of a row depend on how long the rows before it are padded."""
    noise = torch.randn(frames.values.shape, generator=generator)
    return replace(frames, values=frames.values + 0.1 * noise * frames.mask.unsqueeze(-1))


def means_of_padding(self: GoodDynamics, static: Frames, context: Frames) -> Frames:
    """Adds a mean over all frames of the context, padded ones too."""
    found = GoodDynamics.forward(self, static, context)
    mean = 1e-3 * context.values.nan_to_num().sum(dim=(1, 2), keepdim=True)
    return replace(found, values=found.values + mean * context.mask.unsqueeze(-1))


def leaves_padding(self: GoodDynamics, static: Frames, context: Frames) -> Frames:
    found = GoodDynamics.forward(self, static, context)
    return replace(found, values=found.values + 1)


@hookimpl
def stumbles(self: GoodHook, losses: Mapping[str, float]) -> None:
    raise KeyError("a loss of its own")


@hookimpl
def knows_losses_only(self: GoodHook, kind: str) -> None:
    """Takes every component for a loss, as all are that the kit's short made-up run tells it of."""
    if kind != "loss":
        raise ValueError(kind)


@hookimpl
def annotates(self: GoodHook, run: Any, error: Any) -> None:
    """Adds a note of its own to what the record of a comparison says, once the run is over and the record is sealed."""
    path = run.folder / "scores.json"
    if error is None and run.folder.parent.name == "records":
        path.write_text(json.dumps({**json.loads(path.read_text()), "note": "our best run"}, indent=2))


def loses_speaker(self: GoodCorpus, speaker: str, emotion: str, take: int) -> Utterance:
    """Knows the speaker of some utterances only."""
    found = GoodCorpus.utterance(self, speaker, emotion, take)
    return replace(found, recording=replace(found.recording, speaker=speaker if take else ""))


ALL = frozenset({"labelled", "source", "target"})
UNDECLARED = {
    "phase": lambda self: Phase("step", self.terms, ("all",), reads=ALL),
    "stages": lambda self: [Stage("all", frozenset({"labelled", "source"}), phases=(self.phase(),))],
}
#: name -> the one check that fails, the component that it would otherwise be, and its fault: a class, or other members
FAULTS: dict[str, tuple[str, type, type | dict[str, Any]]] = {
    **{
        f"{fault.__name__}{good.__name__}": (f"{kind}.{check}", good, fault)
        for kind, good in (("loss", GoodLoss), ("resonance", GoodResonance), ("encoder", GoodEncoder), ("dynamics", GoodDynamics))
        for check, fault in (("state", Forgets), ("deterministic", Wavers), ("float64", Steeper), ("gradient", Spare))
    },
    "NotScalar": ("loss.scalar", GoodLoss, {"gap": lambda self, a, b: a.embedding.mean(dim=0) - b.embedding.mean(dim=0)}),
    "NotFinite": ("loss.finite", GoodLoss, {"touch": lambda self, gap: (-gap).log()}),
    "NeedsTwo": ("loss.batch_of_one", GoodLoss, {"gap": needs_two}),
    "NoGradient": (
        "loss.gradient",
        GoodLoss,
        {"gap": lambda self, a, b: squared(a.embedding.detach().mean(dim=0) - b.embedding.mean(dim=0))},
    ),
    "IgnoresMask": (
        "loss.padding",
        GoodLoss,
        {"gap": lambda self, a, b: squared(a.embedding.mean(dim=0) - b.frames.values.mean(dim=(0, 1)))},
    ),
    "OrderSensitive": ("loss.permutation", GoodLoss, {"gap": order_sensitive}),
    "ReadsLabels": ("loss.reads", GoodLoss, {"forward": lambda self, labelled, target_labels: {}}),
    "ReadsLess": ("loss.reads", GoodLoss, {"reads": frozenset({"target"})}),
    "NoModule": ("build.defaults", GoodSelector, {}),
    "CallsHomeWhenBuilt": ("build.defaults", GoodLoss, CallsHome),
    "CallsHomeAtEachStep": ("loss.scalar", GoodLoss, {"touch": calls_home}),
    "WorksNot": ("executor.workers", GoodExecutor, {"workers": 0}),
    "StartsTooMany": ("executor.starts", GoodExecutor, {"count": lambda self, order: order.jobs + 1}),
    "SeesNoProblem": ("executor.problem", GoodExecutor, {"crew": Content}),
    "StopsNothing": ("executor.stops", GoodExecutor, {"crew": Deaf}),
    "Unbounded": ("resonance.bounded", GoodResonance, {"unit": lambda self, batch: batch.embedding}),
    "NotSymmetric": (
        "resonance.symmetry",
        GoodResonance,
        {"every": lambda self, a, b: 0.5 * GoodResonance.every(self, a, b) + 0.1 * a.embedding.sum(dim=1, keepdim=True).tanh()},
    ),
    "FieldIgnoresMask": ("resonance.padding", GoodResonance, {"representation": lambda self, batch: batch.frames.values.sum(dim=1)}),
    "WrongDiagonal": ("resonance.aligned", GoodResonance, {"aligned": wrong_diagonal}),
    "WrongReverse": ("resonance.aligned", GoodResonance, {"aligned": wrong_reverse}),
    "GradedSearch": ("resonance.shapes", GoodResonance, {"similarity": GoodResonance.every}),
    "WrongMap": ("resonance.map", GoodResonance, {"frame_map": map_of_another}),
    "DependsOnCompany": (
        "resonance.batched_is_single",
        GoodResonance,
        {"unit": lambda self, batch: nn.functional.normalize(batch.embedding - 0.1 * batch.embedding.mean(dim=0), dim=1)},
    ),
    "NoField": ("resonance.shapes", GoodLoss, {}),
    "SteepField": ("resonance.finite", GoodResonance, {"representation": steep}),
    "BatchDiffers": ("encoder.batched_is_single", GoodEncoder, SeesCompany),
    "LogEnergy": ("encoder.finite", GoodEncoder, {"forward": log_energy}),
    "EncoderIgnoresMask": ("encoder.padding", GoodEncoder, {"forward": sums_padding}),
    "ExtractsAtRandom": (
        "encoder.deterministic",
        GoodEncoder,
        {"extract": lambda self, *given: GoodEncoder.extract(self, *given) + np.float32(random.random())},
    ),
    "WrongWidth": ("encoder.shapes", GoodEncoder, {"touch": lambda self, values: values.repeat(1, 1, 2)}),
    "ReadsUndeclared": ("method.sees", GoodMethod, UNDECLARED),
    "TeachesOnePath": ("method.paths", GoodMethod, {"phase": lambda self: replace(GoodMethod.phase(self), each_path=False)}),
    "MethodForgets": ("method.state", GoodMethod, Forgets),
    "DoesNotResume": ("method.resumes", GoodMethod, {"terms": counts_steps}),
    "IgnoresWeights": ("method.zero_weight", GoodMethod, {"share": lambda self, name: 1.0}),
    "NotPosteriors": ("method.sees", GoodMethod, {"predict": lambda self, batch: batch.logits}),
    "SpendsHalf": (
        "method.declares",
        GoodMethod,
        {"stages": lambda self: [replace(stage, budget=0.5) for stage in GoodMethod.stages(self)]},
    ),
    "RefusesLosses": ("method.declares", GoodMethod, Refuses),
    "SolvesUntagged": (
        "method.declares",
        GoodMethod,
        {"stages": lambda self: [Stage("solved", sees=frozenset({"labelled"}), solve=lambda data: {})]},
    ),
    "HoldsUnused": ("method.groups", GoodMethod, Spare),
    "PredictsOtherwise": ("method.deterministic", GoodMethod, Wavers),
    "GrowsMask": ("view.mask", GoodView, {"mask": lambda self, frames: frames.mask | frames.mask.roll(1, dims=1)}),
    "OwnDraws": (
        "view.generator",
        GoodView,
        {"__call__": lambda self, frames, _: GoodView.__call__(self, frames, torch.default_generator)},
    ),
    "ChangesInput": ("view.input", GoodView, {"__call__": changes_input}),
    "AlwaysTheSame": ("view.varies", GoodView, {"__call__": lambda self, frames, generator: frames}),
    "DropsFrame": ("view.shapes", GoodView, {"__call__": drops_frame}),
    "DrawsForPadding": ("view.padding", GoodView, {"__call__": draws_for_padding}),
    "ReadsTruth": ("selector.reads", GoodSelector, {"score": lambda self, target, labels: 0.0}),
    "InfiniteScore": ("selector.finite", GoodSelector, {"score": lambda self, target: float(-(1 - target).log().amin())}),
    "Moody": ("selector.deterministic", GoodSelector, {"score": lambda self, target: random.random()}),
    "Contrary": ("selector.prefers", GoodSelector, {"score": lambda self, target: -GoodSelector.score(self, target)}),
    "SeesOthers": ("dynamics.batched_is_single", GoodDynamics, SeesCompany),
    "DividesBySilence": (
        "dynamics.finite",
        GoodDynamics,
        {"touch": lambda self, clean: clean / clean.sum(dim=1, keepdim=True)},
    ),
    "LeavesPadding": ("dynamics.shapes", GoodDynamics, {"forward": leaves_padding}),
    "ContextOfPadding": ("dynamics.padding", GoodDynamics, {"forward": means_of_padding}),
    "TooNarrow": ("dynamics.shapes", GoodDynamics, {"dim": 2}),
    "Unmarked": ("hook.known", GoodHook, {"sere_run_start": lambda self, run: None}),
    "StumblesAtStep": ("hook.lives", GoodHook, {"sere_step_end": stumbles}),
    "KnowsLossesOnly": ("integration.run", GoodHook, {"sere_component_built": knows_losses_only}),
    "AnnotatesScores": ("integration.comparison", GoodHook, {"sere_run_end": annotates}),
    "NotSorted": ("corpus.listing", GoodCorpus, {"utterances": lambda self: GoodCorpus.utterances(self)[::-1]}),
    "SpeaksAnother": ("corpus.labels", GoodCorpus, {"languages": ("xx", "yy")}),
    "LosesSpeaker": ("corpus.speakers", GoodCorpus, {"utterance": loses_speaker}),
    "CountsTwice": ("corpus.counts", GoodCorpus, {"path": lambda self, id: GoodCorpus.path(self, id.rpartition("-")[0])}),
    "ListsOtherwise": ("corpus.deterministic", GoodCorpus, {"text": lambda self: f"sentence {random.random()}"}),
    "NeverPrepares": ("corpus.prepare", GoodCorpus, {"prepare": lambda self, progress=None: None}),
}


@functools.cache
def __getattr__(name: str) -> type:
    """The broken component of that name."""
    if name not in FAULTS:
        raise AttributeError(name)
    _, good, fault = FAULTS[name]
    return type(name, (good,), fault) if isinstance(fault, dict) else type(name, (fault, good), {})
