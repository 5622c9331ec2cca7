"""A network that learns what teachers in closed form say of the unlabelled speech, beside the config's losses (ours).

    pi_j = the normalised geometric mean of the teachers' posteriors of utterance j,   c_j = argmax pi_j,   q_j = max pi_j

    L = sum_i w_i L_i + a 1/|B_s| sum_{j in B_s} -q_j log p(c_j | j) + b 1/|B_t| sum_{k in B_t} -q_k log p(c_k | k)

w_i L_i are the config's losses (`joint`), with cross-entropy on S_l among them; B_s and B_t are batches of S_u and T_u; a is
`source_weight` and b `target_weight`.  The teachers, methods on utterance vectors, are fitted first and once; what they read never
changes, so neither do their pseudo-labels.  The network reads frames, and may train the top of its encoder (`train: top`), which no
closed form can.  With b = 0 it learns those of S_u alone, and a loss on T_u (`mcc`, say) leads from there.

What teachers assume of T_u, such as equal shares, is in their pseudo-labels of S_u, too: both are what they predict once they are fitted.

Self-training of a student on a teacher's weighted pseudo-labels is that of noisy student (arXiv:1911.04252) without its noise, and of
distillation (arXiv:1503.02531) with hard labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import ResizableBuffers, wide
from sere_plugins.methods.joint import Joint
from sere_plugins.specs.methods import StudentParams
from sere_registry import Frames, Method, MethodContext, Progress, Stage, StageData, UnlabelledBatch, error
from sere_registry.protocols import completed
from sere_registry.training import Stream


class Taught(ResizableBuffers):
    """pi of S_u and of T_u, each `[n, C]`; empty before the teachers were fitted."""

    resizable: Mapping[str, int] = {"source": 0, "target": 0}
    source: Tensor
    target: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        for name in self.resizable:
            self.register_buffer(name, torch.zeros(0, classes))


def of_vectors(vectors: Tensor) -> UnlabelledBatch:
    """A batch of vectors `[n, F]` and nothing else."""
    nothing = vectors.new_zeros(len(vectors), 0, 0)
    frames, index = Frames(nothing, nothing.flatten(1) > 0, 1.0), torch.arange(len(vectors), device=vectors.device)
    return UnlabelledBatch(frames, nothing, vectors, nothing.flatten(1), vectors, index, ("",) * len(vectors))


class Student(Joint):
    """A stage in which the teachers are fitted, and one by gradient."""

    def __init__(self, params: StudentParams, context: MethodContext) -> None:
        super().__init__(params, context)
        # off the module tree: only what they say is kept
        self.teachers = tuple(completed(cast(Method, each), Method) for each in context.parts("teachers"))
        for number, teacher in enumerate(self.teachers):
            if not teacher.vectors_only or any(stage.solve is None for stage in teacher.stages()):
                what = "a teacher is a method that is fitted to utterance vectors in closed form"
                raise error("C302", what, "such as sere_plus, balanced_self_training or logistic", f"method.params.teachers.{number}")
        weights: dict[Stream, float] = {"source": params.source_weight, "target": params.target_weight}
        self.taught, self.shares = Taught(len(context.classes)), {name: weight for name, weight in weights.items() if weight}

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """Also moves the teachers."""
        for teacher in self.teachers:
            cast(nn.Module, teacher)._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def names(self) -> frozenset[str]:
        return super().names() | frozenset(self.shares)

    def stages(self) -> Sequence[Stage]:
        of_teachers = [stage for teacher in self.teachers for stage in teacher.stages()]
        seen: frozenset[Stream] = frozenset(self.shares).union(*(stage.sees for stage in of_teachers))
        optional = seen.difference(self.shares, *(stage.sees - stage.optional for stage in of_teachers))
        return [Stage("teachers", seen, solve=self.teach, optional=optional, budget=0.0), *super().stages()]

    def teach(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Fit the teachers, and keep what they say; their traces, by number."""
        traces: dict[str, Sequence[float]] = {}
        for number, teacher in enumerate(self.teachers):
            for stage in teacher.stages():
                assert stage.solve is not None
                traces |= {f"{number}.{name}": list(map(float, series)) for name, series in stage.solve(data).items()}  # type: ignore
        for name in self.shares:
            batch = of_vectors(data.vectors(name))
            logs = torch.stack([teacher.predict(batch).double().clamp(min=1e-30).log() for teacher in self.teachers])
            setattr(self.taught, name, logs.mean(dim=0).softmax(dim=1).float())
        return traces

    def loss(self, *, progress: Progress, **batches: Any) -> Mapping[str, Tensor]:
        """The config's terms, and `taught.source` and `taught.target`."""
        terms = dict(super().loss(progress=progress, **batches))
        for name, weight in self.shares.items():
            terms[f"taught.{name}"] = weight * self.pseudo(batches[name].logits, getattr(self.taught, name)[batches[name].index])
        return terms

    def pseudo(self, logits: Tensor, taught: Tensor) -> Tensor:
        """`1/B sum_j -q_j log p(c_j | j)` of logits `[B, C]`, with pi `[B, C]`."""
        sure, labels = taught.max(dim=1)
        return (sure * functional.cross_entropy(wide(logits), labels, reduction="none")).mean()
