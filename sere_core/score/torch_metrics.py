"""The metrics that a config names, computed by torchmetrics, whose import takes seconds and is paid by these configs alone."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sere_core.config.model import Metric
from sere_registry.errors import Place, Problem, SereError, reason, suggest

if TYPE_CHECKING:
    import torchmetrics


class TorchMetrics:
    """What a config's `metrics` measure on posteriors and labels.

    Args:
        blocks: the section.
        classes: C.
        place: where a path of the config was written.
    """

    def __init__(self, blocks: Mapping[str, Metric], classes: int, place: Callable[[str], Place]) -> None:
        self._blocks, self._classes, self._place = blocks, classes, place
        self._built: dict[str, torchmetrics.Metric] = {}

    def build(self) -> None:
        """Make the metrics, and try them on one utterance of each class.

        Raises:
            SereError: C302 for each that does not take its parameters or gives no single number.
        """
        problems = []
        for id, block in self._blocks.items():
            try:
                self._built[id] = self._make(block)
                sure = np.eye(self._classes) * 0.5 + 0.5 / self._classes
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    _compute(self._built[id], sure, range(self._classes))
            except Exception as cause:  # whatever torchmetrics raises
                known = [name for name in inspect.signature(self._class(block)).parameters if name not in ("num_classes", "kwargs")]
                odd = next((name for name in block.params if name not in known), None)
                hint = f"its parameters: {', '.join(known)}" if odd is None else suggest(odd, known, "its parameters")
                place = self._place(f"metrics.{id}.params")
                problems.append(Problem("C302", f"the metric '{block.use}' cannot be computed: {reason(cause)}", hint, place))
        if problems:
            raise SereError(*problems)

    def measure(self, posteriors: NDArray[np.floating], labels: Sequence[int]) -> dict[str, float]:
        """Id -> value, NaN where torchmetrics finds none, of posteriors `[N, C]` and labels `[N]`."""
        return {id: _compute(metric, posteriors, labels) for id, metric in self._built.items()}

    def _make(self, block: Metric) -> torchmetrics.Metric:
        made: torchmetrics.Metric = self._class(block)(num_classes=self._classes, **block.params)
        return made

    def _class(self, block: Metric) -> type[torchmetrics.Metric]:
        from torchmetrics import classification

        found: type[torchmetrics.Metric] = getattr(classification, f"Multiclass{block.use.removeprefix('Multiclass')}")
        return found


def _compute(metric: torchmetrics.Metric, posteriors: NDArray[np.floating], labels: Sequence[int]) -> float:
    """The value of a metric.

    Raises:
        ValueError: it has more than one.
    """
    import torch

    metric.reset()
    metric.update(torch.from_numpy(np.clip(posteriors, 0.0, 1.0)), torch.tensor(labels))  # what is outside would be taken for logits
    value = metric.compute()
    if not isinstance(value, torch.Tensor) or value.numel() != 1:
        raise ValueError("it gives more than one number")
    return float(value)
