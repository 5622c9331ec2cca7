"""`task.target_shares`: T_u and T_e follow drawn or listed class shares, and nothing before the scoring tells which."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
import yaml
from pydantic import ValidationError

from sere_core.config import load
from sere_core.config.model import Task
from sere_core.data.folds import rank
from sere_core.data.labels import labels_of
from sere_core.data.task import TaskPlan, make_task
from sere_registry.errors import SereError
from sere_registry.utterances import Recording, Utterance
from tests.small import SMALL
from tests.task.conftest import corpus

EMOTIONS = ("anger", "neutral", "sadness")
SOURCE = corpus("emodb", ["03", "08"], EMOTIONS)
TARGET = corpus("urdu", ["a", "b", "c", "d"], EMOTIONS, each=20, language="ur")
DRAWN = {"dirichlet": 2.0}


def planned(seed: int = 0, target: Sequence[Utterance] = TARGET, **settings: object) -> TaskPlan:
    task = Task.model_validate({"source": "emodb", "target": "urdu", "shots": 2, "folds": 2, "target_shares": DRAWN, **settings})
    return make_task(task, target if task.source == task.target else SOURCE, target, seed)


def counts(recordings: Sequence[Recording]) -> list[int]:
    found = Counter(each.id.split("-")[1] for each in recordings)
    return [found[name] for name in EMOTIONS]


@pytest.mark.parametrize("setting", ["inductive", "transductive"])
def test_a_list_decides_the_shares_of_both_streams(setting: str) -> None:
    plan = planned(target_shares=[5, 2, 1], setting=setting)
    whole = planned(target_shares=None, setting=setting)
    for fold, unthinned in zip(plan.folds, whole.folds, strict=True):
        assert counts(fold.test) == ([80, 32, 16] if setting == "transductive" else [40, 16, 8])
        assert counts(fold.target) == counts(fold.test) and (fold.target == fold.test) == (setting == "transductive")
        assert (fold.labelled, fold.labels, fold.source) == (unthinned.labelled, unthinned.labels, unthinned.source)
        for kept, all_of_them in ((fold.test, unthinned.test), (fold.target, unthinned.target)):
            assert [each for each in all_of_them if each in kept] == [*kept], "the folds and the order are those without it"
    assert plan.protocol == f"{whole.protocol} target shares 5:2:1"
    assert plan.labelled == sum(len(fold.test) for fold in plan.folds) and plan.unlabelled == 0


def test_draws_differ_between_folds_and_seeds_and_both_streams_follow_them() -> None:
    seen = []
    for seed in range(20):
        plan = planned(seed)
        assert plan.protocol.endswith(" target shares Dirichlet(2)") and plan == planned(seed)
        for fold in plan.folds:
            test, target = counts(fold.test), counts(fold.target)
            assert min(test) >= 1 and max(test) == max(target) == 40, "as many as the shares leave: all of the most frequent class"
            assert all(abs(one - other) <= 1 for one, other in zip(test, target, strict=True))
            assert len(labels_of(fold, plan, TARGET)) == len(fold.test)
            seen.append(tuple(test))
    assert len(set(seen)) == len(seen)
    means = [sum(test[c] / sum(test) for test in seen) / len(seen) for c in range(3)]
    assert max(abs(mean - 1 / 3) for mean in means) < 0.09, "no class is preferred"
    spread = sum((test[0] / sum(test) - 1 / 3) ** 2 for test in seen) / len(seen)
    assert spread == pytest.approx((1 / 3) * (2 / 3) / (3 * 2 + 1), rel=0.4), "the variance of a share under Dirichlet(2)"


def test_an_equal_distribution_keeps_nearly_all() -> None:
    assert all(min(counts(fold.test)) >= 38 for fold in planned(target_shares={"dirichlet": 1e5}).folds)


def test_a_class_that_a_fold_lacks_does_not_empty_it() -> None:
    target = [each for each in TARGET if (each.speaker, each.emotion) not in {("a", "anger"), ("b", "anger")}]
    plan = planned(target=target, target_shares=[1, 2, 1], folds="speakers")
    assert [counts(fold.test) for fold in plan.folds] == [[0, 20, 10], [0, 20, 10], [10, 20, 10], [10, 20, 10]]
    one = [each for each in TARGET if each.emotion != "sadness" or each.id.endswith("-0")]
    assert [counts(fold.test)[2] for fold in planned(target=one, target_shares=[1, 1, 0.001], folds="speakers").folds] == [1] * 4


@pytest.mark.parametrize("shots", [20, "all"])
def test_the_ceiling_learns_from_the_labels_of_what_the_others_adapt_to(shots: int | str) -> None:
    ceiling = planned(source="urdu", shots=shots)
    for fold, other in zip(ceiling.folds, planned().folds, strict=True):
        assert (fold.target, fold.test) == (other.target, other.test)
        assert {*fold.labelled, *fold.source} == {*fold.target}
        assert counts(fold.labelled) == [min(number, 20) if shots == 20 else number for number in counts(fold.target)]
    assert min(min(counts(fold.target)) for fold in ceiling.folds) < 20, "a class has fewer than shots"
    assert ceiling.protocol.startswith("urdu>urdu up to 20-shot" if shots == 20 else "urdu>urdu full")


def test_who_lacks_the_labels_cannot_repeat_the_draw() -> None:
    plan = planned()
    ranks = {each.id: rank("target shares", plan.seed, each.id) for each in TARGET}
    kept = {each.id for fold in plan.folds for each in fold.test}
    by_seed = sorted(ranks, key=lambda id: ranks[id])[: len(kept)]
    assert len(kept & {*by_seed}) < 0.75 * len(kept), "no order by seed and name tells who stays"
    one, other = (next(each for each in TARGET if each.emotion == name) for name in EMOTIONS[:2])
    swapped = {one.id: other.emotion, other.id: one.emotion}
    again = planned(target=[replace(each, emotion=swapped.get(each.id, each.emotion)) for each in TARGET])
    assert [counts(fold.test) for fold in again.folds] != [counts(fold.test) for fold in plan.folds], "two labels decide every draw"
    written = json.dumps({name: value for name, value in plan.as_json().items() if name != "folds"})
    assert not any(f" {number}" in written for fold in plan.folds for number in counts(fold.test) if number > 5)


def test_it_is_part_of_a_runs_name_and_absent_it_changes_no_name() -> None:
    small = yaml.safe_load(SMALL)
    plain = load(small)
    names = {load(small, sets=[f"task.target_shares={value}"]).digest() for value in ("null", "{dirichlet: 2}", "[1, 2]", "[2, 1]")}
    assert len(names) == 4 and plain.digest() in names
    assert '"target_shares"' not in json.dumps(planned(target_shares=None).as_json())


def test_what_cannot_be_shared_out_is_refused() -> None:
    unlabelled = [replace(each, emotion="") if number == 7 else each for number, each in enumerate(TARGET)]
    for settings in ({"target": unlabelled}, {"target_shares": [1.0, 1.0]}):
        with pytest.raises(SereError) as caught:
            planned(**settings)  # type: ignore[arg-type]
        assert [(each.code, each.place.path) for each in caught.value.problems] == [("C311", "task.target_shares")]
    for wrong in ([1, 0, 1], {"dirichlet": 0}, {"dirichlet": 2, "seed": 1}, "equal"):
        with pytest.raises(ValidationError):
            planned(target_shares=wrong)
