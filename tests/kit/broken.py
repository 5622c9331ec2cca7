"""Plugins that are broken in one way each, beside ones that are not."""

from __future__ import annotations

import contextlib
import itertools
import json
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
)
from sere_registry.batches import FrameMap
from sere_registry.hookspecs import hookimpl


class Plain(nn.Module):
    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__()


# --- losses: the distance of the means of S_l and T_u -------------------------------------------------------------------


class GoodLoss(Plain):
    def forward(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        return {"gap": self.gap(labelled, target)}

    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        return (labelled.embedding.mean(dim=0) - target.embedding.mean(dim=0)).square().sum()


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


class CallsHomeWhenBuilt(GoodLoss):
    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        call_home()


class CallsHomeAtEachStep(GoodLoss):
    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        call_home()
        return super().gap(labelled, target)


class NotScalar(GoodLoss):
    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        return (labelled.embedding.mean(dim=0) - target.embedding.mean(dim=0)).square()


class NotFinite(GoodLoss):
    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        return (super().gap(labelled, target) * -1.0).log()


class NeedsTwo(GoodLoss):
    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        spread = target.embedding.std(dim=0).sum() if len(target) + len(labelled) < 3 else target.embedding.sum() * 0
        return super().gap(labelled, target) + spread


class NoGradient(GoodLoss):
    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        return (labelled.embedding.detach().mean(dim=0) - target.embedding.mean(dim=0)).square().sum()


class IgnoresMask(GoodLoss):
    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        return (labelled.embedding.mean(dim=0) - target.frames.values.mean(dim=(0, 1))).square().sum()


class OrderSensitive(GoodLoss):
    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        place = torch.arange(1, len(target) + 1).to(target.embedding)
        return (labelled.embedding.mean(dim=0) - (place[:, None] * target.embedding).mean(dim=0)).square().sum()


class Nondeterministic(GoodLoss):
    counter = itertools.count(1)

    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        return super().gap(labelled, target) * (1 + 1e-3 * next(self.counter))


class ForgetsState(GoodLoss):
    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.weights = torch.rand(context.embedding_dim).double()

    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        difference = labelled.embedding.mean(dim=0) - target.embedding.mean(dim=0)
        return (self.weights.to(difference) * difference.square()).sum()


class WrongGradient(GoodLoss):
    def gap(self, labelled: LabelledBatch, target: UnlabelledBatch) -> Tensor:
        right = super().gap(labelled, target)
        return 2 * right - right.detach()


class ReadsLabels(GoodLoss):
    def forward(self, labelled: LabelledBatch, target_labels: Any) -> Mapping[str, Tensor]:  # type: ignore[override]
        return {}


class ReadsLess(GoodLoss):
    """Says that it reads the target alone, and cannot do without the source."""

    reads = frozenset({"target"})


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


class GoodField(Plain):
    directed = False

    def representation(self, batch: Any) -> Tensor:
        found: Tensor = batch.embedding
        return found

    def unit(self, batch: Any) -> Tensor:
        return nn.functional.normalize(batch.embedding, dim=1)

    def every(self, a: Any, b: Any) -> Tensor:
        return self.unit(a) @ self.unit(b).T

    def similarity(self, a: Any, b: Any) -> Tensor:
        return self.every(a, b).detach()

    def aligned(self, a: Any, b: Any, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        picks = torch.arange(len(a)) if picks is None else picks
        similarity = self.every(a, b)[torch.arange(len(a)), picks]
        return Resonance(similarity, self.representation(b)[picks], self.representation(a) if both else None)


class Unbounded(GoodField):
    def unit(self, batch: Any) -> Tensor:
        found: Tensor = batch.embedding
        return found


class NotSymmetric(GoodField):
    def every(self, a: Any, b: Any) -> Tensor:
        return 0.5 * super().every(a, b) + 0.1 * torch.tanh(a.embedding.sum(dim=1, keepdim=True))


class FieldIgnoresMask(GoodField):
    def representation(self, batch: Any) -> Tensor:
        found: Tensor = batch.frames.values.sum(dim=1)
        return found


class WrongMap(GoodField):
    """A map of frames of another field."""

    def frame_map(self, a: Any, b: Any) -> FrameMap:
        rows, columns = (side.frames.mask[0].sum() for side in (a, b))
        even = torch.full((rows, columns), 1.0 / float(columns), dtype=a.frames.values.dtype)
        return FrameMap(even.detach(), even, torch.full((rows,), 1.0 / float(rows), dtype=even.dtype))


class WrongDiagonal(GoodField):
    """Without picks it looks at other pairs than with them."""

    def aligned(self, a: Any, b: Any, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        return super().aligned(a, b, torch.arange(len(a)).roll(1) if picks is None else picks, both=both)


class WrongReverse(GoodField):
    """Both directions get the same representation."""

    def aligned(self, a: Any, b: Any, picks: Tensor | None = None, *, both: bool = False) -> Resonance:
        found = super().aligned(a, b, picks)
        return Resonance(found.similarity, found.aligned, found.aligned if both else None)


class GradedSearch(GoodField):
    def similarity(self, a: Any, b: Any) -> Tensor:
        return self.every(a, b)


class DependsOnCompany(GoodField):
    def unit(self, batch: Any) -> Tensor:
        centred = batch.embedding - 0.1 * batch.embedding.mean(dim=0)
        return nn.functional.normalize(centred, dim=1)


class SteepField(GoodField):
    """Adds the distance of each embedding from itself: 0, where the gradient of a root is not finite."""

    def representation(self, batch: Any) -> Tensor:
        found = super().representation(batch)
        return found + (found - found.detach()).square().sum(dim=1, keepdim=True).sqrt()


class FieldWrongGradient(GoodField):
    def every(self, a: Any, b: Any) -> Tensor:
        right = super().every(a, b)
        return 2 * right - right.detach()


class FieldSpare(GoodField):
    """A layer that nothing passes through."""

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.spare = nn.Linear(2, 2)


class FieldWavers(GoodField):
    """Every similarity a little larger than the one before."""

    counter = itertools.count(1)

    def every(self, a: Any, b: Any) -> Tensor:
        return super().every(a, b) * (0.5 + 1e-6 * next(self.counter))


class FieldForgets(GoodField):
    """A scale that is drawn, and written down nowhere."""

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.scale = float(torch.rand(()))

    def every(self, a: Any, b: Any) -> Tensor:
        return self.scale * super().every(a, b)


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
        return Frames(self.values(clean, frames.mask), frames.mask, self.rate)

    def values(self, clean: Tensor, mask: Tensor) -> Tensor:
        found: Tensor = self.map(clean)
        return found


class BatchDiffers(GoodEncoder):
    def values(self, clean: Tensor, mask: Tensor) -> Tensor:
        found = super().values(clean, mask)
        return found - found[mask].mean(dim=0)


class Untrained(GoodEncoder):
    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.spare = nn.Linear(2, 2)


class EncoderForgets(GoodEncoder):
    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.shift = float(torch.rand(()))

    def values(self, clean: Tensor, mask: Tensor) -> Tensor:
        return super().values(clean, mask) + self.shift


class EncoderIgnoresMask(GoodEncoder):
    def forward(self, frames: Frames) -> Frames:
        found = self.map(frames.values) + 1e-3 * frames.values.sum(dim=(1, 2), keepdim=True)
        return Frames(found, frames.mask, self.rate)


class EncoderWrongGradient(GoodEncoder):
    def values(self, clean: Tensor, mask: Tensor) -> Tensor:
        right = super().values(clean, mask)
        return 2 * right - right.detach()


class EncoderNotFinite(GoodEncoder):
    """A logarithm of the energy: not finite in silence."""

    def values(self, clean: Tensor, mask: Tensor) -> Tensor:
        energy = clean.square().sum(dim=2, keepdim=True)
        return super().values(clean, mask) + torch.where(mask.unsqueeze(-1), energy, torch.ones_like(energy)).log()


class ExtractsAtRandom(GoodEncoder):
    counter = itertools.count(1)

    def extract(self, waveform: Any, contours: Any, hop: float) -> Any:
        return super().extract(waveform, contours, hop) + np.float32(next(self.counter))


class WrongWidth(GoodEncoder):
    dim = 3

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.map = nn.Linear(self.input_dim, 5)


# --- methods: minimise the losses of the config -------------------------------------------------------------------------


class GoodMethod(nn.Module):
    sees: frozenset[Any] = frozenset({"labelled"})

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__()
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
                found[f"{name}.{term}"] = self.weights[name] * value
        return found

    def parameters_by_group(self) -> dict[str, Group]:
        return {"all": Group(tuple(self.parameters()))}

    def predict(self, batch: Any) -> Tensor:
        return batch.logits.softmax(dim=1)  # type: ignore[no-any-return]


class ReadsUndeclared(GoodMethod):
    def phase(self) -> Phase:
        return Phase("step", self.terms, ("all",), reads=frozenset({"labelled", "source", "target"}))

    def stages(self) -> list[Stage]:
        return [Stage("all", frozenset({"labelled", "source"}), phases=(self.phase(),))]


class MethodForgets(GoodMethod):
    """A temperature that is learned from nothing, and written down nowhere."""

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)
        self.temperature = 1 + float(torch.rand(()))

    def predict(self, batch: Any) -> Tensor:
        return (batch.logits / self.temperature).softmax(dim=1)  # type: ignore[no-any-return]


class DoesNotResume(GoodMethod):
    """Counts its steps in a number that no state_dict holds."""

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)
        self.steps = 0

    def terms(self, **given: Any) -> dict[str, Tensor]:
        self.steps += 1
        return {name: value / self.steps for name, value in super().terms(**given).items()}


class IgnoresWeights(GoodMethod):
    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)
        self.weights = dict.fromkeys(self.weights, 1.0)


class NotPosteriors(GoodMethod):
    def predict(self, batch: Any) -> Tensor:
        return batch.logits  # type: ignore[no-any-return]


class SpendsHalf(GoodMethod):
    """Its one stage takes half of the epochs, and nothing the others."""

    def stages(self) -> list[Stage]:
        return [replace(stage, budget=0.5) for stage in super().stages()]


class HoldsUnused(GoodMethod):
    """A layer in a group that no loss reaches."""

    def __init__(self, params: Any, context: Any) -> None:
        super().__init__(params, context)
        self.spare = nn.Linear(2, 2)


class PredictsOtherwise(GoodMethod):
    """Every prediction a little sharper than the one before."""

    counter = itertools.count(1)

    def predict(self, batch: Any) -> Tensor:
        return (batch.logits * (1 + 1e-3 * next(self.counter))).softmax(dim=1)  # type: ignore[no-any-return]


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


class GrowsMask(GoodView):
    def mask(self, frames: Frames) -> Tensor:
        return torch.cat([frames.mask[:, :1], frames.mask[:, :-1]], dim=1) | frames.mask


class OwnDraws(GoodView):
    def __call__(self, frames: Frames, generator: torch.Generator) -> Frames:
        return super().__call__(frames, torch.default_generator)


class ChangesInput(GoodView):
    def __call__(self, frames: Frames, generator: torch.Generator) -> Frames:
        found = super().__call__(Frames(frames.values.clone(), frames.mask, frames.rate), generator)
        frames.values.mul_(1.5)
        return found


class AlwaysTheSame(GoodView):
    def __call__(self, frames: Frames, generator: torch.Generator) -> Frames:
        return frames


class DropsFrame(GoodView):
    def __call__(self, frames: Frames, generator: torch.Generator) -> Frames:
        found = super().__call__(frames, generator)
        return Frames(found.values[:, 1:], found.mask[:, 1:], found.rate)


class DrawsForPadding(GoodView):
    """A draw for each frame, padded ones too: the draws of a row depend on how long the rows before it are padded."""

    def __call__(self, frames: Frames, generator: torch.Generator) -> Frames:
        noise = torch.randn(frames.values.shape, generator=generator)
        return Frames(frames.values + 0.1 * noise * frames.mask.unsqueeze(-1), frames.mask, frames.rate)


class GoodSelector:
    def __init__(self, params: Any, context: BuildContext) -> None:
        pass

    def score(self, target: Tensor) -> float:
        return float(target.amax(dim=1).mean())


class ReadsTruth(GoodSelector):
    def score(self, target: Tensor, labels: Tensor) -> float:  # type: ignore[override]
        return 0.0


class InfiniteScore(GoodSelector):
    def score(self, target: Tensor) -> float:
        return float(target.log().sum(dim=1).min() * 0 - (1 - target).log().amin())


class Moody(GoodSelector):
    counter = itertools.count(1)

    def score(self, target: Tensor) -> float:
        return float(next(self.counter))


class Contrary(GoodSelector):
    def score(self, target: Tensor) -> float:
        return -super().score(target)


class GoodDynamics(Plain):
    contours = ("rms",)
    static_dim, dim = 1, 1

    def prepare(self, contours: Any) -> Any:
        return contours["rms"][:, None]

    def forward(self, static: Frames, context: Frames) -> Frames:
        clean = static.values.masked_fill(~context.mask.unsqueeze(-1), 0.0)
        return Frames(self.values(clean) * context.mask.unsqueeze(-1), context.mask, context.rate)

    def values(self, clean: Tensor) -> Tensor:
        return clean


class SeesCompany(GoodDynamics):
    def values(self, clean: Tensor) -> Tensor:
        return clean - clean.amax(dim=0, keepdim=True)


class DividesBySilence(GoodDynamics):
    def values(self, clean: Tensor) -> Tensor:
        return clean / clean.sum(dim=1, keepdim=True)


class LeavesPadding(GoodDynamics):
    def forward(self, static: Frames, context: Frames) -> Frames:
        clean = static.values.masked_fill(~context.mask.unsqueeze(-1), 0.0)
        return Frames(clean + 1, context.mask, context.rate)


class ContextOfPadding(GoodDynamics):
    """Adds a mean over all frames of the context, padded ones too."""

    def forward(self, static: Frames, context: Frames) -> Frames:
        found = super().forward(static, context)
        mean = 1e-3 * context.values.nan_to_num().sum(dim=(1, 2), keepdim=True)
        return Frames(found.values + mean * context.mask.unsqueeze(-1), found.mask, found.rate)


class TooNarrow(GoodDynamics):
    """Says two features and gives one."""

    dim = 2


class SpareDynamics(GoodDynamics):
    """A layer that nothing passes through."""

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.spare = nn.Linear(2, 2)


class DynamicsForgets(GoodDynamics):
    """A shift that is drawn, and written down nowhere."""

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.shift = float(torch.rand(()))

    def values(self, clean: Tensor) -> Tensor:
        return clean + self.shift


class DynamicsWaver(GoodDynamics):
    """Noise on every feature, in evaluation too."""

    def values(self, clean: Tensor) -> Tensor:
        return clean + 1e-3 * torch.rand_like(clean)


class DynamicsWrongGradient(GoodDynamics):
    """A gate whose gradient is twice what it should be."""

    def __init__(self, params: Any, context: BuildContext) -> None:
        super().__init__(params, context)
        self.gate = nn.Parameter(torch.ones(()))

    def values(self, clean: Tensor) -> Tensor:
        right = self.gate * clean
        return 2 * right - right.detach()


class GoodHook:
    def __init__(self, params: Any, context: BuildContext) -> None:
        pass

    @hookimpl
    def sere_run_start(self, run: Any) -> None:
        """Is told."""


class Unmarked(GoodHook):
    def sere_run_start(self, run: Any) -> None:
        """Lacks @hookimpl."""


class StumblesAtStep(GoodHook):
    @hookimpl
    def sere_step_end(self, losses: Mapping[str, float]) -> None:
        raise KeyError("a loss of its own")


class KnowsLossesOnly(GoodHook):
    """Takes every component for a loss, as all are that the kit's short made-up run tells it of."""

    @hookimpl
    def sere_component_built(self, kind: str) -> None:
        if kind != "loss":
            raise ValueError(kind)


class AnnotatesScores(GoodHook):
    """Adds a note of its own to what the record says, once the run is over and the record is sealed."""

    @hookimpl
    def sere_run_end(self, run: Any, error: Any) -> None:
        path = run.folder / "scores.json"
        if error is None and path.exists():
            path.write_text(json.dumps({**json.loads(path.read_text()), "note": "our best run"}, indent=2))


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


class NotSorted(GoodCorpus):
    def utterances(self) -> list[Utterance]:
        return super().utterances()[::-1]


class SpeaksAnother(GoodCorpus):
    """Declares a language that none of its utterances is in."""

    languages = ("xx", "yy")


class LosesSpeaker(GoodCorpus):
    """Knows the speaker of some utterances only."""

    def utterance(self, speaker: str, emotion: str, take: int) -> Utterance:
        found = super().utterance(speaker, emotion, take)
        return replace(found, recording=replace(found.recording, speaker=speaker if take else ""))


class CountsTwice(GoodCorpus):
    """Both takes are one and the same file."""

    def path(self, id: str) -> Path:
        return super().path(id.rpartition("-")[0])


class ListsOtherwise(GoodCorpus):
    """Every sentence is another one each time it is asked."""

    counter = itertools.count(1)

    def text(self) -> str:
        return f"sentence {next(self.counter)}"


class NeverPrepares(GoodCorpus):
    def prepare(self, progress: Any = None) -> None:
        """Leaves its files to somebody else."""
