"""`logistic_ensemble`: scikit-learn's regressions on each encoder's columns, averaged; one encoder is `logistic`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from sere_plugins.methods.logistic import Logistic
from sere_plugins.methods.logistic_ensemble import LogisticEnsemble
from sere_plugins.specs.methods import LogisticEnsembleParams, LogisticParams
from tests.probes.driver import SIX, Toy, posteriors, solved
from tests.probes.test_logistic_balanced import moved


def made(given: Toy, *networks: tuple[int, int], **params: Any) -> LogisticEnsemble:
    build = lambda context: LogisticEnsemble(LogisticEnsembleParams(**params), replace(context, networks=networks))  # noqa: E731
    method: LogisticEnsemble = solved(build, given, SIX)[0]
    return method


def test_the_mean_of_each_encoders_posteriors() -> None:
    given = moved(shift=0.5)
    width = given.vectors["target"].shape[1]
    first = 3
    rows, target = (given.vectors[name].double().numpy() for name in ("labelled", "target"))
    parts = [slice(0, first), slice(first, width)]
    fits = [LogisticRegression(C=0.1, max_iter=1000).fit(rows[:, part], given.labels.numpy()) for part in parts]
    expected = np.mean([fit.predict_proba(target[:, part]) for fit, part in zip(fits, parts, strict=True)], axis=0)
    found = posteriors(made(given, (1, first), (1, width - first), C=0.1), given.vectors["target"])
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-4)


def test_of_one_encoder_it_is_logistic_and_hidden_states_are_one_encoders() -> None:
    given = moved(shift=0.5)
    target, width = given.vectors["target"], given.vectors["target"].shape[1]
    plain = posteriors(solved(lambda context: Logistic(LogisticParams(), context), given, SIX)[0], target)
    for networks in ((), ((1, width),), ((2, width // 2),)):
        torch.testing.assert_close(posteriors(made(given, *networks), target), plain)


def test_a_class_without_labels_is_never_predicted() -> None:
    given = moved(shift=0.5)
    kept = given.labels != 2
    partial = replace(given, vectors={**given.vectors, "labelled": given.vectors["labelled"][kept]}, labels=given.labels[kept])
    width = given.vectors["target"].shape[1]
    assert posteriors(made(partial, (1, 3), (1, width - 3)), given.vectors["target"])[:, 2].eq(0).all()
