"""What posteriors say by themselves where there is no label: how sure, spread and clustered they are; how seeds agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from sere_core.score.metrics import DIGITS
from sere_registry.catalog import Catalog
from sere_registry.errors import Place
from sere_registry.protocols import BuildContext

#: the selectors that judge an epoch, or a run, by the posteriors of the target alone
SELECTORS = ("entropy", "information_max", "snd")


def evidence(posteriors: NDArray[np.floating], classes: Sequence[str]) -> dict[str, object]:
    """The number of utterances, the selectors' scores, the mean confidence, and the share of each predicted class.

    None of it says whether predictions are right: a classifier that always predicts one class has the best entropy.

    Args:
        posteriors: `[N, C]`, rows sum to 1.
        classes: C names.
    """
    import torch

    catalog, target = Catalog(), torch.from_numpy(np.asarray(posteriors, dtype=np.float64))
    found: dict[str, object] = {"n": len(posteriors)}
    for name in SELECTORS:
        spec = catalog.find("selector", f"sere.{name}", Place()).spec
        selector = spec.load()(spec.params(), BuildContext(id=name, classes=tuple(classes)))
        found[name] = round(float(selector.score(target=target)), DIGITS)
    found["confidence"] = round(float(np.max(posteriors, axis=1).mean()), DIGITS)
    predicted = Counter(np.argmax(posteriors, axis=1).tolist())
    found["shares"] = {name: predicted[index] / len(posteriors) for index, name in enumerate(classes)}
    return found


def agreement(runs: Sequence[Sequence[str]]) -> float | None:
    """The mean over pairs of runs of the share of utterances that both predict alike; None for fewer than two.

    >>> agreement([["anger", "fear"], ["anger", "anger"], ["anger", "fear"]])
    0.6666666666666666
    """
    pairs = [fmean(one == other for one, other in zip(*pair, strict=True)) for pair in combinations(runs, 2)]
    return fmean(pairs) if pairs else None
