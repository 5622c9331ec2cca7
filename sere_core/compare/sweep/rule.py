"""What chooses between trials: a selector, asked once for each fold of a finished run, about its posteriors of T_u."""

from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sere_core.config.resolved import Bound
from sere_registry import BuildContext
from sere_registry.errors import error


class Rule:
    """A selector of the config, as a rule between finished runs.

    Args:
        bound: the selector with its parameters.
    """

    def __init__(self, bound: Bound) -> None:
        self.bound = bound

    @property
    def label(self) -> str:
        """Its name, and the parameters that were given."""
        given = self.bound.params.model_dump(mode="json", exclude_unset=True)
        name = self.bound.use or self.bound.full_name
        return name + (f" {json.dumps(given)}" if given else "")

    def check(self) -> None:
        """Can it be asked about a finished run?

        Raises:
            SereError: C311 for a selector that keeps the last epoch, or reads more than posteriors; P102 or B401.
        """
        selector = self._built(())
        reads = set(inspect.signature(selector.score).parameters)
        if getattr(selector, "keeps_last", False) or "target" not in reads:
            hint = "name one that scores the posteriors of T_u"
            raise error("C311", f"the selector '{self.label}' looks at epochs, not at what a run answers", hint, self.bound.place)
        if reads != {"target"}:
            more = ", ".join(sorted(reads - {"target"}))
            hint = "a finished run keeps its posteriors of T_u only"
            raise error("C311", f"the selector '{self.label}' reads {more}, which a finished run does not keep", hint, self.bound.place)

    def score(self, record: Path, classes: tuple[str, ...]) -> float:
        """The mean over folds of the selector's score of a finished run; no file with a score or a label is opened.

        Args:
            record: its folder.
            classes: of the run.

        Raises:
            SereError: T505 if the record does not hold the posteriors.
        """
        import torch

        selector = self._built(classes)
        scores = [float(selector.score(target=torch.from_numpy(fold))) for fold in adapted_posteriors(record)]
        return math.fsum(scores) / len(scores)

    def _built(self, classes: tuple[str, ...]) -> Any:
        return self.bound.build(BuildContext(id="select", classes=classes))


def adapted_posteriors(record: Path) -> list[NDArray[np.float32]]:
    """The posteriors of T_u, `[n, C]` for each fold, by the state that predicted; they stand in the folds' checkpoints.

    Raises:
        SereError: T505 if there are none, or they cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    hint = "take it away; the next call runs it again"
    found = []
    try:
        for path in sorted((record / "checkpoints").glob("fold-*.safetensors"), key=lambda each: int(each.stem.partition("-")[2])):
            with safe_open(path, framework="np") as file:
                found.append(file.get_tensor("result/target"))
    except (OSError, ValueError, SafetensorError) as cause:
        raise error("T505", f"{record} does not tell what it answers on T_u: {cause}", hint) from cause
    if not found:
        raise error("T505", f"{record} does not tell what it answers on T_u: it has no checkpoints", hint)
    return found
