"""What methods that bring their own losses share, and the data of those that are fitted to utterance vectors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import torch
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


def check_width(name: str, found: int, width: int) -> None:
    """That a path's vectors are as wide as those of the path that is predicted on.

    Raises:
        SereError: B402.
    """
    if found != width:
        widths = f"a path's vectors have width {found}, the target's {width}"
        raise error("B402", f"'{name}' needs one feature space: {widths}", hint="give both paths the same encoder", place="paths")


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
    check_width(name, vectors.shape[1], width)
    return vectors, data.labels().cpu().numpy()


def stream_vectors(data: StageData, streams: Iterable[Stream]) -> list[Array]:
    """The vectors `[n, F]` of each stream, in float64."""
    return [data.vectors(stream).detach().cpu().double().numpy() for stream in streams]


def training_error(posteriors: Tensor, labels: Labels) -> float:
    """The share of S_l that the fitted classifier predicts wrongly, from posteriors `[n, C]`."""
    return float(np.mean(posteriors.argmax(dim=1).cpu().numpy() != labels))


def shared_classes(labels: Tensor, guesses: Tensor | None) -> list[int]:
    """The classes that both labels `[n_s]` (-1: unlabelled) and pseudo-labels `[n_t]` have; none without pseudo-labels."""
    return [] if guesses is None else sorted(set(labels.tolist()) & set(guesses.tolist()))


def class_gaps(source: Tensor, labels: Tensor, target: Tensor, guesses: Tensor | None) -> Tensor:
    """Delta: the gap between the means of all, and one for each class that both sides have, `[d, 1..C+1]`.

    Args:
        source: `[d, n_s]`.
        labels: `[n_s]`; -1 where unlabelled.
        target: `[d, n_t]`.
        guesses: pseudo-labels `[n_t]`; without them, the marginal gap alone.
    """
    columns = [source.mean(dim=1) - target.mean(dim=1)]
    for c in shared_classes(labels, guesses):
        columns.append(source[:, labels == c].mean(dim=1) - target[:, guesses == c].mean(dim=1))
    return torch.stack(columns, dim=1)


def until_labels_stay(
    rounds: int, labels: Tensor, fit: Callable[[Tensor | None], tuple[Tensor, Mapping[str, float]]]
) -> dict[str, list[float]]:
    """Fit and assign pseudo-labels in turn, until no pseudo-label changes.

    Args:
        rounds: how often, at most.
        labels: of S_l.
        fit: given the pseudo-labels `[n_t]` of the round before (None in the first): new ones, and numbers of the round.

    Returns:
        By round: those numbers, `changed`, how many pseudo-labels the round changed (0 at the end, unless the rounds ran
        out), and `missing`, how many classes of S_l no target utterance got: these are not aligned in the next round.
    """
    trace: dict[str, list[float]] = defaultdict(list)
    guesses: Tensor | None = None
    for _ in range(rounds):
        fresh, numbers = fit(guesses)
        changed = len(fresh) if guesses is None else int((fresh != guesses).sum())
        missing = len(set(labels.tolist())) - len(shared_classes(labels, fresh))
        for name, value in {**numbers, "changed": changed, "missing": missing}.items():
            trace[name].append(float(value))
        guesses = fresh
        if not changed:
            break
    return dict(trace)
