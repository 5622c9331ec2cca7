"""make_task: classes, shots, settings, the ceiling, and every way in which it refuses."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sere_core.config.model import Task
from sere_core.data.labels import labels_of
from sere_core.data.task import TaskPlan, make_task
from sere_registry.errors import Place, SereError
from sere_registry.utterances import Recording, Utterance

Make = Callable[..., list[Utterance]]
GERMAN = ["anger", "boredom", "fear", "neutral"]
ITALIAN = ["anger", "fear", "neutral", "surprise"]
#: what a protocol says of statistics of those who are scored
OWN = "(test speakers' own utterances read)"


@pytest.fixture
def german(make: Make) -> list[Utterance]:
    return make("emodb", ["03", "08", "09"], GERMAN, language="de")


@pytest.fixture
def italian(make: Make) -> list[Utterance]:
    return make("emovo", ["f1", "f2", "f3", "m1", "m2", "m3"], ITALIAN)


def task(**settings: Any) -> Task:
    return Task(**{"source": "emodb", "target": "emovo", "shots": 2, "folds": 3, **settings})


def refusal(config: Task, source: list[Utterance], target: list[Utterance]) -> SereError:
    with pytest.raises(SereError) as caught:
        make_task(config, source, target, 0, lambda path: Place("run.yaml", 7, 3, path))
    return caught.value


def ids(recordings: tuple[Recording, ...]) -> set[str]:
    return {each.id for each in recordings}


def test_classes_are_the_shared_ones_in_the_order_of_the_vocabulary(german: list[Utterance], italian: list[Utterance]) -> None:
    plan = make_task(task(), german, italian, 0)
    assert plan.classes == ("anger", "fear", "neutral")
    assert plan.notes[:2] == (
        "emodb: 12 of 48 utterances are of other classes and are left out: boredom 12",
        "emovo: 24 of 96 utterances are of other classes and are left out: surprise 24",
    )
    assert sum(len(fold.test) for fold in plan.folds) == 72


def test_shots_are_the_same_for_every_fold_target_and_order_of_files(german: list[Utterance], italian: list[Utterance], make: Make) -> None:
    plan = make_task(task(), german, italian, 0)
    first = plan.folds[0]
    assert all((fold.labelled, fold.labels, fold.source) == (first.labelled, first.labels, first.source) for fold in plan.folds)
    assert sorted(first.labels) == [0, 0, 1, 1, 2, 2]
    emotions = {each.id: each.emotion for each in german}
    assert [plan.classes[label] for label in first.labels] == [emotions[each.id] for each in first.labelled]
    backwards = make_task(task(), german[::-1], italian[::-1], 0)
    assert backwards == plan and backwards.digest == plan.digest
    other = make("casia", ["a", "b"], ["anger", "fear", "neutral"], language="zh")
    assert make_task(task(target="casia", folds="speakers"), german, other, 0).folds[0].labelled == first.labelled
    assert make_task(task(classes=["neutral", "anger"]), german, italian, 0).classes == ("neutral", "anger")


def test_a_larger_draw_holds_the_smaller_and_another_seed_draws_anew(german: list[Utterance], italian: list[Utterance]) -> None:
    draws = [ids(make_task(task(shots=shots), german, italian, 0).folds[0].labelled) for shots in (1, 2, 5)]
    assert draws[0] < draws[1] < draws[2]
    assert ids(make_task(task(), german, italian, 1).folds[0].labelled) != draws[1]


def test_labelled_and_source_are_the_whole_source(german: list[Utterance], italian: list[Utterance]) -> None:
    fold = make_task(task(), german, italian, 0).folds[0]
    assert not ids(fold.labelled) & ids(fold.source) and len(fold.labelled) + len(fold.source) == 36
    full = make_task(task(shots="all"), german, italian, 0)
    assert full.folds[0].source == () and len(full.folds[0].labelled) == 36
    assert full.protocol == f"emodb>emovo full inductive 3 folds speaker-disjoint norm=speaker {OWN}"


def test_folds_of_each_setting(german: list[Utterance], italian: list[Utterance]) -> None:
    plan = make_task(task(), german, italian, 0)
    assert plan.protocol == f"emodb>emovo 2-shot inductive 3 folds speaker-disjoint norm=speaker {OWN}"
    for fold in plan.folds:
        assert not {each.speaker for each in fold.test} & {each.speaker for each in fold.target}
        assert len(fold.test) + len(fold.target) == 72
    plan = make_task(task(folds="speakers"), german, italian, 0)
    assert [{each.speaker for each in fold.test} for fold in plan.folds] == [{name} for name in ("f1", "f2", "f3", "m1", "m2", "m3")]
    assert plan.protocol == f"emodb>emovo 2-shot inductive 6 folds leave-one-speaker-out norm=speaker {OWN}"
    assert make_task(task(normalise="corpus"), german, italian, 0).protocol.endswith(" norm=corpus (test utterances not read)")
    assert make_task(task(normalise="none"), german, italian, 0).protocol.endswith(" norm=none")
    assert make_task(task(shrinkage=2.5), german, italian, 0).protocol.endswith(f" norm=speaker shrunk by 2.5 {OWN}")
    known = make_task(task(disjoint="none"), german, italian, 0)
    assert known.protocol.endswith(" norm=speaker (test utterances not read)"), "all test speakers are in T_u too"
    plan = make_task(task(setting="transductive"), german, italian, 0)
    (fold,) = plan.folds
    assert fold.target == fold.test and len(fold.test) == 72
    assert plan.protocol == "emodb>emovo 2-shot transductive norm=speaker"


@pytest.mark.parametrize("shots", [2, "all"])
def test_the_ceiling_draws_its_shots_from_the_folds_that_are_not_scored(italian: list[Utterance], shots: int | str) -> None:
    plan = make_task(task(source="emovo", shots=shots), italian, italian, 0)
    assert plan.uses_target_labels and plan.protocol.endswith(" target-supervised")
    for fold in plan.folds:
        assert ids(fold.labelled) | ids(fold.source) == ids(fold.target)
        assert not ids(fold.labelled) & ids(fold.source) and not ids(fold.target) & ids(fold.test)
        assert len(fold.labelled) == (2 * 4 if shots == 2 else len(fold.target))


def test_a_corpus_without_speakers_gets_stratified_folds_and_says_so(german: list[Utterance], make: Make) -> None:
    plan = make_task(task(), german, make("emovo", [""], ITALIAN, each=9), 0)
    assert "3 folds random, no speakers" in plan.protocol
    assert any("T_u and T_e at once" in warning for warning in plan.warnings)


def test_positions_in_a_stream_tell_nothing(german: list[Utterance], make: Make) -> None:
    """File names sort by emotion; a stream in that order would tell memory banks which neighbours are alike."""
    italian = make("emovo", ["f1", "f2"], ["anger", "fear"], each=50)
    (fold,) = make_task(task(setting="transductive"), german, italian, 0).folds
    emotions = {each.id: each.emotion for each in italian}
    changes = sum(emotions[a.id] != emotions[b.id] for a, b in zip(fold.test, fold.test[1:], strict=False))
    assert 70 < changes < 130, "of 199; sorted names would have 3"


def test_target_labels_decide_no_fold_beyond_each_speakers_class_counts(german: list[Utterance], italian: list[Utterance]) -> None:
    """Which label a target utterance has may only reach the scorer: permuted within speakers, no fold changes."""
    kept = [each for each in italian if each.emotion != "surprise"]
    permuted = []
    for speaker in sorted({each.speaker for each in kept}):
        mine = [each for each in kept if each.speaker == speaker]
        emotions = [each.emotion for each in mine]
        random.Random(speaker).shuffle(emotions)
        permuted += [replace(each, emotion=emotion) for each, emotion in zip(mine, emotions, strict=True)]
    assert permuted != kept
    for config in (task(), task(folds="speakers"), task(setting="transductive")):
        one, other = make_task(config, german, kept, 0), make_task(config, german, permuted, 0)
        assert one.folds == other.folds and one.digest == other.digest


def test_the_file_holds_ids_and_their_digest_but_no_target_label(german: list[Utterance], italian: list[Utterance], tmp_path: Path) -> None:
    plan = make_task(task(), german, italian, 0)
    data = json.loads(plan.write(tmp_path).read_text())
    assert data == json.loads(json.dumps(plan.as_json())) and data["sha256"] == plan.digest
    content = {"classes": data["classes"], "folds": data["folds"]}
    assert hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest() == plan.digest
    assert set(data["folds"][0]) == {"index", "labelled", "source", "target", "test"}
    assert set(data["folds"][0]["labelled"]) == ids(plan.folds[0].labelled)
    renamed = [replace(each, recording=replace(each.recording, path=Path("/elsewhere") / each.id)) for each in italian]
    assert make_task(task(), german, renamed, 0).digest == plan.digest, "where the files are is no part of the folds"


def test_fewer_than_two_shared_classes_lists_both_sides(make: Make) -> None:
    error = refusal(task(), make("emodb", ["03"], ["anger", "boredom"]), make("emovo", ["f1"], ["anger", "surprise"]))
    assert str(error) == (
        "run.yaml:7:3: task.classes: [D608] 1 shared class(es): anger\n    emodb has anger, boredom; emovo has anger, surprise"
    )


def test_a_class_with_fewer_utterances_than_shots_is_named(make: Make, italian: list[Utterance]) -> None:
    german = make("emodb", ["03"], ["anger", "fear", "neutral"], each=3)[1:]
    error = refusal(task(shots=3), german, italian)
    assert [str(each) for each in error.problems] == [
        "run.yaml:7:3: task.shots: [D607] corpus 'emodb' has 2 of 'anger', fewer than 3\n"
        "    what works here: `shots: 2`, or `classes: [fear, neutral]`"
    ]


def test_too_few_speakers_names_the_two_ways_out(german: list[Utterance], make: Make) -> None:
    casia = make("emovo", ["liu", "wang", "zhao", "zuo"], ITALIAN)
    error = refusal(task(folds=5), german, casia)
    assert "[D609] corpus 'emovo' has 4 speaker(s): no 5 speaker-disjoint folds" in str(error)
    assert "`folds: speakers`" in str(error) and "`disjoint: none`" in str(error)
    assert len(make_task(task(folds="speakers"), german, casia, 0).folds) == 4
    assert "5 folds random " in make_task(task(folds=5, disjoint="none"), german, casia, 0).protocol


@pytest.mark.parametrize(
    ("settings", "codes"),
    [
        ({"source": "emovo", "setting": "transductive"}, ["C311"]),
        ({"classes": ["anger", "boredom"]}, ["C311"]),
        ({"classes": ["anger"]}, ["D608"]),
        ({"folds": 100, "disjoint": "none"}, ["D609"]),
    ],
)
def test_settings_that_make_no_sense(settings: dict[str, Any], codes: list[str], german: list[Utterance], italian: list[Utterance]) -> None:
    config = task(**settings)
    error = refusal(config, italian if config.source == "emovo" else german, italian)
    assert [each.code for each in error.problems] == codes
    assert all(each.place.file == "run.yaml" for each in error.problems)


def test_one_speaker_cannot_be_left_out(german: list[Utterance], make: Make) -> None:
    assert refusal(task(folds="speakers"), german, make("emovo", ["f1"], ITALIAN)).problems[0].code == "D609"
    assert refusal(task(folds="speakers"), german, make("emovo", [""], ITALIAN)).problems[0].code == "D609"


def test_an_id_that_stands_twice_is_refused(german: list[Utterance], italian: list[Utterance]) -> None:
    assert refusal(task(), german, [*italian, italian[0]]).problems[0].code == "D610"


def unlabelled(side: Sequence[Utterance], keep: Callable[[int], bool] = lambda number: False) -> list[Utterance]:
    return [each if keep(number) else replace(each, emotion="") for number, each in enumerate(side)]


def test_a_target_without_labels_takes_the_classes_of_the_source_and_is_trained_on_once(
    german: list[Utterance], italian: list[Utterance]
) -> None:
    target = unlabelled(italian)
    plan = make_task(task(), german, target, 0)
    assert plan.classes == tuple(sorted({each.emotion for each in german}))
    assert len(plan.folds) == 1 and plan.folds[0].test == plan.folds[0].target and len(plan.folds[0].test) == len(italian)
    assert (plan.setting, plan.labelled, plan.unlabelled) == ("transductive", 0, len(italian))
    assert f"{len(italian)} unlabelled, not scored" in plan.protocol
    assert not [warning for warning in plan.warnings if "no test utterance" in warning]
    assert labels_of(plan.folds[0], plan, target) == {}
    assert make_task(task(classes=["anger", "fear"]), german, target, 0).classes == ("anger", "fear")
    assert refusal(task(classes=["anger", "calm"]), german, target).problems[0].code == "C311"


@pytest.mark.parametrize("setting", ["inductive", "transductive"])
def test_of_a_partly_labelled_target_the_labelled_are_scored_and_all_adapted_to(
    german: list[Utterance], italian: list[Utterance], setting: str
) -> None:
    target = unlabelled(italian, lambda number: number % 3 == 0)
    kept = {each.id for each in target if each.emotion and each.emotion in {one.emotion for one in german}}
    plan = make_task(task(setting=setting), german, target, 0)
    everything = {each.id for each in target if not each.emotion} | kept
    assert (plan.labelled, plan.unlabelled) == (len(kept), len(everything) - len(kept))
    assert f"{plan.unlabelled} of {len(everything)} unlabelled" in plan.protocol
    scored: set[str] = set()
    for fold in plan.folds:
        assert ids(fold.test) | ids(fold.target) == everything
        labels = labels_of(fold, plan, target)
        assert labels, "every fold can be scored"
        scored |= {fold.test[row].id for row in labels}
    assert scored == kept
    assert any(str(plan.unlabelled) in note for note in plan.notes)


def test_a_fold_without_a_label_is_refused(german: list[Utterance], italian: list[Utterance]) -> None:
    first = italian[0].speaker
    target = [each if each.speaker == first else replace(each, emotion="") for each in italian]
    assert refusal(task(folds="speakers"), german, target).problems[0].code == "D609"
    assert make_task(task(setting="transductive"), german, target, 0).labelled > 0


def test_unlabelled_utterances_of_the_source_are_never_shots(german: list[Utterance], italian: list[Utterance]) -> None:
    source = unlabelled(german, lambda number: number % 2 == 0)
    without = {each.id for each in source if not each.emotion}
    for shots in (1, "all"):
        (fold, *_) = make_task(task(shots=shots), source, italian, 0).folds
        assert not ids(fold.labelled) & without and without <= ids(fold.source)
    error = refusal(task(), unlabelled(german), italian)
    assert [(each.code, each.place.path) for each in error.problems] == [("D608", "task.source")]


def test_class_names_of_one_s_own_come_after_the_vocabulary(german: list[Utterance], italian: list[Utterance]) -> None:
    def renamed(side: list[Utterance]) -> list[Utterance]:
        return [replace(each, emotion={"anger": "stress", "fear": "Angst"}.get(each.emotion, each.emotion)) for each in side]

    plan = make_task(task(), renamed(german), renamed(italian), 0)
    assert plan.classes[-2:] == ("Angst", "stress") and list(plan.classes[:-2]) == sorted(plan.classes[:-2])


speakers = st.lists(st.tuples(st.sampled_from("abcdefg"), st.sampled_from(["anger", "fear", "sadness", ""])), min_size=1, max_size=50)


@given(speakers, st.sampled_from([2, 3, 5, "speakers"]), st.sampled_from(["speaker", "none"]), st.integers(0, 2), st.booleans())
@settings(max_examples=150, deadline=None)
def test_any_corpus_gives_honest_folds_or_a_coded_refusal(
    rows: list[tuple[str, str]], folds: int | str, disjoint: str, seed: int, ceiling: bool
) -> None:
    def side(name: str, rows: list[tuple[str, str]]) -> list[Utterance]:
        return [
            Utterance(Recording(f"{number}", Path(f"{number}.wav"), name, "it", speaker), emotion)
            for number, (speaker, emotion) in enumerate(rows)
        ]

    target = side("t", rows)
    source = target if ceiling else side("s", [("x", name) for name in ("anger", "fear", "sadness")] * 3)
    config = Task(source="t" if ceiling else "s", target="t", shots=1, folds=folds, disjoint=disjoint)  # type: ignore[arg-type]
    try:
        plan = make_task(config, source, target, seed)
    except SereError as error:
        assert {each.code for each in error.problems} <= {"D607", "D608", "D609", "C311"}
        return
    if plan.labelled:
        assert all(labels_of(fold, plan, target) for fold in plan.folds)
        assert_honest(plan, disjoint)
    else:
        assert [fold.test for fold in plan.folds] == [fold.target for fold in plan.folds] and len(plan.folds) == 1


def assert_honest(plan: TaskPlan, disjoint: str) -> None:
    tested: set[str] = set()
    for fold in plan.folds:
        assert fold.test and fold.target and fold.labelled
        assert not ids(fold.test) & tested and not ids(fold.test) & ids(fold.target)
        assert disjoint == "none" or not {each.speaker for each in fold.test} & {each.speaker for each in fold.target}
        assert ids(fold.test) | ids(fold.target) == ids(plan.folds[0].test) | ids(plan.folds[0].target)
        assert not {each.key for each in (*fold.labelled, *fold.source)} & {each.key for each in fold.test}
        tested |= ids(fold.test)
    assert tested == ids(plan.folds[0].test) | ids(plan.folds[0].target)


def test_planning_needs_neither_numpy_nor_torch() -> None:
    code = "import sys, sere_core.data.task; sys.exit(bool({'numpy', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_plan_holds_no_label_of_the_target_and_the_corpus_listed_again_gives_them(
    german: list[Utterance], italian: list[Utterance]
) -> None:
    plan = make_task(task(), german, italian, 0)
    emotions = {each.id: each.emotion for each in italian}
    for fold in plan.folds:
        labels = labels_of(fold, plan, italian[::-1])
        found = {fold.test[row].id: plan.classes[label] for row, label in labels.items()}
        assert found == {each.id: emotions[each.id] for each in fold.test}


@pytest.mark.parametrize("change", ["relabelled", "missing", "added"])
def test_labels_that_have_changed_are_refused(german: list[Utterance], italian: list[Utterance], change: str) -> None:
    plan = make_task(task(), german, italian, 0)
    first, *rest = [each for each in italian if each.emotion in plan.classes]
    other = next(name for name in plan.classes if name != first.emotion)
    now = {
        "relabelled": [replace(first, emotion=other), *rest],
        "missing": rest,
        "added": [first, *rest, replace(first, recording=replace(first.recording, id="new"))],
    }
    with pytest.raises(SereError, match="T505"):
        labels_of(plan.folds[0], plan, now[change])


def unnamed(side: list[Utterance]) -> list[Utterance]:
    return [replace(each, recording=replace(each.recording, speaker="")) for each in side]


def of_speaker(side: list[Utterance], *speakers: str) -> list[Utterance]:
    return [each for each in side if each.speaker in speakers]


@pytest.mark.parametrize(
    ("settings", "change", "expected"),
    [
        ({}, lambda side: of_speaker(side, "f1"), ["`disjoint: none`", "`setting: transductive`"]),
        ({"folds": "speakers"}, lambda side: of_speaker(side, "f1"), ["`disjoint: none` and `folds: 5`", "`setting: transductive`"]),
        ({}, lambda side: of_speaker(side, "f1", "f2"), ["`folds: 2`", "`folds: speakers`", "`disjoint: none`", "`setting: transductive`"]),
        ({"source": "emovo"}, lambda side: of_speaker(side, "f1"), ["`disjoint: none`"]),
        ({"folds": "speakers"}, unnamed, ["`folds: 5`", "`disjoint: none` and `folds: 5`", "`setting: transductive`"]),
        ({"folds": 99}, unnamed, ["`folds: 5`", "`disjoint: none` and `folds: 5`", "`setting: transductive`"]),
        (
            {"folds": 6},
            lambda side: unlabelled(side, lambda number: number >= 32),
            ["`folds: 3`", "`disjoint: none`", "`setting: transductive`"],
        ),
        ({"shots": 99}, list, ["`shots: 4`"]),
    ],
)
def test_every_hint_is_followed(
    make: Make,
    italian: list[Utterance],
    settings: dict[str, Any],
    change: Callable[[list[Utterance]], list[Utterance]],
    expected: list[str],
) -> None:
    target = change(italian)
    source = target if settings.get("source") == "emovo" else make("emodb", ["03"], GERMAN, language="de")
    (hint,) = {problem.hint for problem in refusal(task(**settings), source, target).problems}
    words = hint.removeprefix("what works here: ").split(", or ")
    assert set(expected) <= set(words), hint
    for word in words:
        changed = yaml.safe_load("{" + word.replace("`", "").replace(" and ", ", ") + "}")
        make_task(task(**{**settings, **changed}), source, target, 0)


def test_nothing_that_fails_is_a_hint(italian: list[Utterance]) -> None:
    single = [each for each in of_speaker(italian, "f1") if each.id.endswith("0")][:2]
    (hint,) = {problem.hint for problem in refusal(task(source="emovo"), single, single).problems}
    assert hint and "`" not in hint


def test_classes_that_differ_in_spelling_are_asked_about(make: Make) -> None:
    one, other = make("emodb", ["03", "08"], ["Stress", "anger"]), make("emovo", ["f1", "f2", "f3"], ["stress", "anger"])
    (problem,) = refusal(task(), one, other).problems
    assert problem.code == "D610" and "'Stress' and 'stress'" in problem.message
