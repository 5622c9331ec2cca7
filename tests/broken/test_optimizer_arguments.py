"""Every argument of every optimizer of torch, with something odd: it works, or ends in C302 at its place, before anything is extracted."""

from __future__ import annotations

import inspect
import warnings

import pytest
import torch

from sere_core.config.model import Optimizer, Train
from sere_core.train.stage import try_optimizer
from sere_registry import SereError
from sere_registry.errors import Place

CLASSES = {name: made for name, made in vars(torch.optim).items() if inspect.isclass(made) and issubclass(made, torch.optim.Optimizer)}
VALUES = ["x", "0.1", None, [], {}, {"a": 1}, [0.9], [0.9, 0.99, 0.999], -1, 10**40, 1e300, True, ["a", "b"], [[1]], "é" * 2000]


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_odd_arguments_end_at_their_place(name: str) -> None:
    known = inspect.signature(CLASSES[name]).parameters
    ended = 0
    for argument in (*known, "nonsense", "self", ""):
        for value in VALUES:
            train = Train(optimizer=Optimizer(use=name, params={"lr": 0.1, argument: value}))
            try:
                with warnings.catch_warnings(action="ignore"):
                    try_optimizer(train, lambda path: Place("a.yaml", 3, 7, path))
            except SereError as refused:
                ended += 1
                [problem] = refused.problems
                assert (problem.code, problem.place.line) == ("C302", 3) and len(str(problem)) < 1500, problem
                assert argument in problem.message or name == "Optimizer", problem
            else:
                text = isinstance(value, (str, dict)) and "str" not in str(known[argument].annotation)
                assert not text, f"{name} takes {argument}: {value!r} for something else"
    assert ended
