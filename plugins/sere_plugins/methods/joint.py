"""The default recipe: one stage, one phase, a weighted sum of the config's losses.

    L = sum_i w_i(t) L_i

Source-only is this recipe with cross-entropy alone; SERE is cross-entropy and TRIC (equation 10); a joint adaptation
loss (CORAL, DAN, FixMatch, ...) takes TRIC's place.  With `ema` above 0, an exponential moving average of everything
trained predicts, as FixMatch and Mean Teacher ask for.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sere_plugins.specs.methods import JointParams
from sere_registry import Group, LabelledBatch, MethodContext, Phase, Progress, Stage, UnlabelledBatch


class Joint(nn.Module):
    """Minimises the weighted sum of the config's losses, each fed what its `forward` names."""

    def __init__(self, params: JointParams, context: MethodContext) -> None:
        super().__init__()
        self.backbone = context.backbone
        self.field = context.field
        self.losses: Mapping[str, Any] = nn.ModuleDict({name: weighted.loss for name, weighted in context.losses.items()})  # type: ignore[assignment]
        self.weights = dict(context.losses)
        self.reads = {name: frozenset(inspect.signature(loss.forward).parameters) for name, loss in self.losses.items()}
        self.decay = params.ema
        self.average = copy.deepcopy(self.backbone).requires_grad_(False) if self.decay else None

    @property
    def prediction_backbone(self) -> Any:
        """What encodes at prediction: the moving average where there is one."""
        return self.backbone if self.average is None else self.average

    @property
    def needs_support(self) -> bool:
        """True if a loss brings a classifier that compares with the labelled set."""
        return any(getattr(loss, "predicts", False) for loss in self.losses.values())

    def stages(self) -> Sequence[Stage]:
        reads = frozenset().union(*self.reads.values())
        streams = {"labelled" if name == "support" else name for name in reads} & {"labelled", "source", "target"}
        views: frozenset[str] = frozenset().union(*(getattr(loss, "views", frozenset()) for loss in self.losses.values()))
        groups = tuple(self.parameters_by_group())
        phase = Phase("joint", self.loss, trains=groups, views=views, reads=reads | {"progress"})
        return [Stage("joint", sees=frozenset(streams), phases=(phase,), after_step=self._after_step, after_epoch=self._after_epoch)]  # type: ignore[arg-type]

    def loss(self, *, progress: Progress, **batches: Any) -> Mapping[str, Tensor]:
        """Every term of every loss, `<loss>.<term>`, times its weight."""
        terms: dict[str, Tensor] = {}
        for name, loss in self.losses.items():
            weight = self.weights[name].weight(progress.fraction)
            given = {key: progress if key == "progress" else batches[key] for key in self.reads[name]}
            for term, value in loss(**given).items():
                terms[f"{name}.{term}"] = weight * value
        return terms

    def parameters_by_group(self) -> Mapping[str, Group]:
        groups: dict[str, Group] = {}
        taken: set[int] = set()
        for name, loss in self.losses.items():
            if hasattr(loss, "parameters_by_group"):
                for group, content in loss.parameters_by_group().items():
                    groups[f"{name}.{group}"] = content
                    taken |= {id(parameter) for parameter in content.parameters}
        rest = [parameter for parameter in self.parameters() if parameter.requires_grad and id(parameter) not in taken]
        return {"joint": Group(rest), **groups}

    def predict(self, batch: UnlabelledBatch, support: LabelledBatch | None = None) -> Tensor:
        """A loss's own classifier if one is configured, else the softmax of the classifier's logits."""
        for loss in self.losses.values():
            if getattr(loss, "predicts", False):
                given = {"support": support, "field": self.field}
                named = inspect.signature(loss.predict).parameters
                posteriors: Tensor = loss.predict(batch, **{name: value for name, value in given.items() if name in named})
                return posteriors
        return batch.logits.softmax(dim=-1)

    def pseudo_classes(self, batch: UnlabelledBatch, support: LabelledBatch) -> Tensor | None:
        """The classes `[B]` for which a loss would take these utterances in training; None where no loss makes any."""
        for loss in self.losses.values():
            if hasattr(loss, "pseudo_classes"):
                found: Tensor = loss.pseudo_classes(batch, support, self.field)
                return found
        return None

    def diagnostics(self) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for name, loss in self.losses.items():
            if hasattr(loss, "diagnostics"):
                found.update({f"{name}.{key}": value for key, value in loss.diagnostics().items()})
        for owner in (self.backbone.dynamics, self.field):
            if hasattr(owner, "diagnostics"):
                found.update(owner.diagnostics())
        return found

    def _after_step(self, progress: Progress) -> None:
        if self.average is not None:
            decay = min(self.decay, 1.0 - 1.0 / (progress.step + 2))  # else the first steps would be stuck at the start
            with torch.no_grad():
                for average, value in zip(self.average.parameters(), self.backbone.parameters(), strict=True):
                    average.lerp_(value, 1.0 - decay)
        for loss in self.losses.values():
            if hasattr(loss, "after_step"):
                loss.after_step(progress)

    def _after_epoch(self, progress: Progress, data: Any) -> None:
        for loss in self.losses.values():
            if hasattr(loss, "after_epoch"):
                loss.after_epoch(progress, data)
