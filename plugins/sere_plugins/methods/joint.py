"""The default recipe: one stage, one phase, a weighted sum of the config's losses.

    L = sum_i w_i(t) L_i

Source-only is this recipe with cross-entropy alone; SERE is cross-entropy and TRIC (equation 10); a joint adaptation
loss (CORAL, DAN, FixMatch, ...) takes TRIC's place.  With `ema` above 0, an exponential moving average of everything
trained predicts, as FixMatch and Mean Teacher ask for.

Where S_l passes several encoders (`paths.supervise: all`), a loss that reads `labelled` is the mean over them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from sere_core.functional import frozen_copy, update_average
from sere_plugins.specs.methods import JointParams
from sere_registry import Backbone, Group, LabelledBatch, Loss, MethodContext, Phase, Progress, Stage, StageData, UnlabelledBatch, error
from sere_registry.training import not_terms, over_paths, reads, streams_of


class Joint(nn.Module):
    """Minimises the weighted sum of the config's losses, each fed what it reads."""

    def __init__(self, params: JointParams, context: MethodContext) -> None:
        super().__init__()
        self.backbone = context.backbone
        self.field = context.field
        self.losses: Mapping[str, Loss] = nn.ModuleDict({name: each.loss for name, each in context.losses.items()})  # type: ignore
        self.weights = dict(context.losses)
        self.reads = {name: reads(loss) for name, loss in self.losses.items()}
        self.decay = params.ema
        self.average = frozen_copy(self.backbone) if self.decay else None

    def prediction_backbone(self) -> Backbone | None:
        """The moving average, where there is one."""
        return self.average

    @property
    def needs_support(self) -> bool:
        """Does a loss bring a classifier that compares with the labelled set?"""
        return any(loss.predicts for loss in self.losses.values())

    def names(self) -> frozenset[str]:
        """All that is read in a step."""
        return frozenset().union(*self.reads.values())

    def stages(self) -> Sequence[Stage]:
        names = self.names()
        views: frozenset[str] = frozenset().union(*(loss.views for loss in self.losses.values()))
        trains = tuple(self.parameters_by_group())
        phase = Phase("joint", self.loss, trains, views=views, reads=names | {"progress"}, each_path=False)
        return [Stage("joint", streams_of(names), (phase,), after_step=self._after_step, after_epoch=self._after_epoch)]

    def loss(self, *, progress: Progress, **batches: Any) -> Mapping[str, Tensor]:
        """Every term of every loss, `<loss>.<term>`, times its weight."""
        terms: dict[str, Tensor] = {}
        for name, loss in self.losses.items():
            weighted = self.weights[name]
            given = {key: progress if key == "progress" else batches[key] for key in self.reads[name]}
            found = over_paths(loss, **given)  # type: ignore[arg-type]  # a module
            wrong = not_terms(found) or ("" if found else "no term, so that it would train nothing")
            if wrong:
                raise error("B403", f"{weighted.title}: its forward returns {wrong}", 'return {"name": term}', weighted.place)
            weight = weighted.weight(progress.fraction)
            terms.update({f"{name}.{term}": weight * value for term, value in found.items()})
        return terms

    def parameters_by_group(self) -> Mapping[str, Group]:
        groups = {f"{name}.{group}": each for name, loss in self.losses.items() for group, each in loss.parameters_by_group().items()}
        taken = {id(parameter) for group in groups.values() for parameter in group.parameters}
        rest = [parameter for parameter in self.parameters() if parameter.requires_grad and id(parameter) not in taken]
        return {"joint": Group(rest), **groups}

    def predict(self, batch: UnlabelledBatch, support: LabelledBatch | None = None) -> Tensor:
        """A loss's own classifier if one is configured, else the softmax of the classifier's logits."""
        for loss in self.losses.values():
            if loss.predicts:
                assert support is not None  # asked for in `needs_support`
                posteriors = loss.predict(batch, support, self.field)
                assert posteriors is not None, "a loss that `predicts` returned no posteriors"
                return posteriors
        return batch.logits.softmax(dim=-1)

    def pseudo_labels(self, batch: UnlabelledBatch, support: LabelledBatch) -> Tensor | None:
        """Of the first loss that assigns any."""
        for loss in self.losses.values():
            found = loss.pseudo_labels(batch, support, self.field)
            if found is not None:
                return found
        return None

    def diagnostics(self) -> Mapping[str, float]:
        found = {f"{name}.{key}": value for name, loss in self.losses.items() for key, value in loss.diagnostics().items()}
        found.update(self.backbone.dynamics.diagnostics())
        if self.field is not None:
            found.update(self.field.diagnostics())
        return found

    def _after_step(self, progress: Progress) -> None:
        if self.average is not None:
            update_average(self.average, self.backbone, self.decay, progress.step)
        for loss in self.losses.values():
            loss.after_step(progress)

    def _after_epoch(self, progress: Progress, data: StageData) -> None:
        for loss in self.losses.values():
            loss.after_epoch(progress, data)
