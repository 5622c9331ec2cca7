"""What the classifiers on utterance vectors share: the data they are fitted to, and how far the fit came."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from sere_registry import StageData, error

Array = NDArray[np.float64]


def labelled_vectors(name: str, data: StageData, width: int) -> tuple[Array, NDArray[np.int64]]:
    """The vectors of S_l `[n, F]` in float64, and their labels `[n]`.

    Args:
        name: of the method or loss, for the message.
        data: of a stage that sees "labelled".
        width: F of the path that is predicted on.

    Raises:
        SereError: B402 if the labelled path's vectors have another width.
    """
    vectors = data.vectors("labelled").detach().cpu().double().numpy()
    if vectors.shape[1] != width:
        widths = f"the labelled vectors have width {vectors.shape[1]}, the target's {width}"
        raise error("B402", f"'{name}' needs one feature space: {widths}", hint="give both paths the same encoder", place="paths")
    return vectors, data.labels().cpu().numpy()


def class_weights(class_weight: str) -> Any:
    """The parameter `class_weight` as scikit-learn takes it."""
    return None if class_weight == "none" else class_weight


def training_error(posteriors: Tensor, labels: NDArray[np.int64]) -> float:
    """The share of S_l that the fitted classifier answers wrongly, from posteriors `[n, C]`."""
    return float(np.mean(posteriors.argmax(dim=1).cpu().numpy() != labels))
