"""What methods that bring their own losses share, and the data of those that are fitted to utterance vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_registry import Group, MethodContext, Params, StageData, UnlabelledBatch, error
from sere_registry.training import Stream

Array = NDArray[np.float64]
Labels = NDArray[np.int64]


class OwnLosses(nn.Module):
    """A method that brings its own losses and trains nothing by gradient, unless it says so."""

    params: Params

    def __init__(self, params: Params, context: MethodContext) -> None:
        super().__init__()
        self.params = params
        self.backbone = context.backbone
        self.classes = len(context.classes)

    def parameters_by_group(self) -> Mapping[str, Group]:
        return {}

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The softmax of the classifier's logits."""
        return batch.logits.softmax(dim=-1)


def labelled_vectors(name: str, data: StageData, width: int) -> tuple[Array, Labels]:
    """The vectors of S_l `[n, F]` in float64, and their labels `[n]`.

    Args:
        name: of the method or loss, for the message.
        data: of a stage that sees "labelled".
        width: F of the path that is predicted on.

    Raises:
        SereError: B402 if the labelled path's vectors have another width.
    """
    (vectors,) = stream_vectors(data, ["labelled"])
    if vectors.shape[1] != width:
        widths = f"the labelled vectors have width {vectors.shape[1]}, the target's {width}"
        raise error("B402", f"'{name}' needs one feature space: {widths}", hint="give both paths the same encoder", place="paths")
    return vectors, data.labels().cpu().numpy()


def stream_vectors(data: StageData, streams: Iterable[Stream]) -> list[Array]:
    """The vectors `[n, F]` of each stream, in float64."""
    return [data.vectors(stream).detach().cpu().double().numpy() for stream in streams]


def training_error(posteriors: Tensor, labels: Labels) -> float:
    """The share of S_l that the fitted classifier predicts wrongly, from posteriors `[n, C]`."""
    return float(np.mean(posteriors.argmax(dim=1).cpu().numpy() != labels))
