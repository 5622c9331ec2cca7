"""The checks of selectors."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from sere_core.testing.subject import Checks, Subject

CHECKS = Checks()
READABLE = {"target", "embedding", "epoch"}


def posteriors() -> dict[str, Tensor]:
    """What predictions on T_u may look like."""
    generator = torch.Generator().manual_seed(0)
    return {
        "random ones": torch.randn(30, 4, generator=generator).softmax(dim=1),
        "one utterance": torch.tensor([[0.2, 0.3, 0.5]]),
        "one answer for all": torch.eye(3)[[0] * 10],
        "certain ones": torch.eye(3)[torch.arange(12) % 3],
        "uniform ones": torch.full((9, 3), 1 / 3),
        "float64": torch.randn(8, 3, generator=generator, dtype=torch.float64).softmax(dim=1),
    }


def score(selector: Any, target: Tensor, epoch: int = 0) -> Any:
    given = {"target": target, "embedding": target, "epoch": epoch}
    return selector.score(**{name: given[name] for name in inspect.signature(selector.score).parameters})


@CHECKS("selector.reads", "build.defaults")
def reads(subject: Subject) -> None:
    """Its `score` names what it reads: posteriors or embeddings of T_u, or the epoch; never labels."""
    selector = subject.build()
    named = set(inspect.signature(selector.score).parameters)
    assert named and named <= READABLE, f"its score reads {', '.join(sorted(named)) or 'nothing'}; there are {', '.join(sorted(READABLE))}"


@CHECKS("selector.finite", "selector.reads")
def finite(subject: Subject) -> None:
    """Its score is a finite float for whatever a model predicts."""
    for name, target in posteriors().items():
        found = score(subject.build(), target)
        assert isinstance(found, float), f"its score is a {type(found).__name__}, not a float"
        assert abs(found) < float("inf"), f"its score of {name} is {found}"


@CHECKS("selector.deterministic", "selector.finite")
def deterministic(subject: Subject) -> None:
    """The same predictions give the same score, and stay as they are."""
    for name, target in posteriors().items():
        kept = target.clone()
        assert score(subject.build(), target) == score(subject.build(), target), f"two scores of the same predictions ({name}) differ"
        assert torch.equal(target, kept), "it changed the predictions that it was given"
