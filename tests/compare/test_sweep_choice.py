"""What a sweep chooses, and from what: posteriors of T_u alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from sere_core.cli import main
from sere_core.compare.plan import ComparePlan, failure_file, is_done, record_of, write_json
from sere_core.compare.reading import read_results
from sere_core.compare.sweep import Sweep, choose, plan_of_choices
from sere_core.score.records import digest_files
from sere_registry.errors import SereError
from tests.compare.test_sweep_plan import TUNED, sweep

ONE = TUNED.replace("pairs: [xa>xb, xb>xa]\n", "")
FLOOR = ("floor", "xa>xb", 0)


def answered(record: Path, confidences: Sequence[float]) -> None:
    """A finished record, of which only the posteriors of T_u are there: of two classes, with one confidence for each fold."""
    (record / "checkpoints").mkdir(parents=True)
    for fold, confidence in enumerate(confidences):
        posteriors = np.array([[confidence, 1 - confidence]] * 4, dtype=np.float32)
        save_file({"result/target": posteriors}, record / "checkpoints" / f"fold-{fold}.safetensors")
    (record / "done").touch()


def searched(confidence: dict[int, Sequence[float]]) -> Sweep:
    """A sweep whose trials are all finished; trial number -> confidence in its folds, 0.6 where nothing is said."""
    found = sweep(ONE)
    for place in found.places:
        for number, trial in enumerate(place.trials):
            if not is_done(found.folder, trial.job):
                answered(record_of(found.folder, trial.job), confidence.get(number, (0.6, 0.6)))
    return found


def chosen(found: Sweep) -> dict[tuple[str, str, int], int]:
    return {(choice.place.row, choice.place.pair, choice.place.seed): choice.chosen for choice in choose(found)[0]}


def test_the_best_mean_over_folds_is_chosen_and_the_first_of_equals(home: Path) -> None:
    assert set(chosen(searched({})).values()) == {0}
    shutil.rmtree(home / "runs")
    found = searched({1: (0.99, 0.5), 2: (0.9, 0.9)})
    assert {number for place, number in chosen(found).items() if place[0] != "ceiling"} == {2}, "two good folds before one very good one"
    assert {number for place, number in chosen(found).items() if place[0] == "ceiling"} == {0}
    plan = plan_of_choices(found, choose(found)[0])
    jobs = {(place.row, place.pair, place.seed): place.trials for place in found.places}
    assert len(plan.jobs) == len(found.places) == len(jobs)
    assert all(job.job == jobs[job.row, job.pair, job.seed][0 if job.row == "ceiling" else 2].job for job in plan.jobs)


def test_a_setting_that_diverges_has_lost_and_any_other_failure_leaves_a_gap(home: Path) -> None:
    found = searched({2: (0.9, 0.9)})
    floor, ours = (next(place for place in found.places if place.row == row and place.seed == 0) for row in ("floor", "ours"))
    for place, code in ((floor, "T501"), (ours, "X706")):
        (record_of(found.folder, place.trials[2].job) / "done").unlink()
        write_json(failure_file(found.folder, place.trials[2].job), {"code": code, "line": f"[{code}] so it was"})
    choices, without = choose(found)
    (choice,) = (each for each in choices if each.place == floor)
    assert choice.chosen == 0 and choice.scores[2] is None
    assert [(place.row, place.seed, why) for place, why in without] == [("ours", 0, "[X706] so it was")]
    gap = next(job for job in plan_of_choices(found, choices).jobs if (job.row, job.seed) == ("ours", 0))
    assert not is_done(found.folder, gap.job), "no trial stands in for a choice that was not made"


def test_a_record_without_these_posteriors_is_a_line(home: Path) -> None:
    found = searched({})
    record = record_of(found.folder, found.places[0].trials[0].job)
    save_file({"other": np.zeros(1)}, record / "checkpoints" / "fold-0.safetensors")
    with pytest.raises(SereError, match="T505"):
        choose(found)


def test_a_search_from_file_to_table_and_no_score_of_the_target_moves_its_choice(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("comparison.yaml").write_text(ONE.replace("trials: 3", "trials: 2"))
    assert main(["sweep", "comparison.yaml"]) == 0, capsys.readouterr().err
    printed = capsys.readouterr()
    folder = here / "runs" / "little-tuned"
    plan = ComparePlan.read(folder)
    choices = (folder / "chosen.json").read_text()
    tunings = {row.name: row.tuning for row in plan.rows}
    assert tunings["ours"] == "random search, 2 trials, sere.entropy, 2 repeats" and tunings["ceiling"] == "none"
    assert len(read_results(folder).runs) == len(plan.jobs) == 5 * 2
    assert "tuning random search, 2 trials, sere.entropy, 2 repeats" in " ".join(printed.out.split())
    assert "the whole search, 2 times: UAR in %, mean over pairs, by repeat\n  floor: " in printed.out
    jobs = {trial["job"] for place in json.loads((folder / "trials.json").read_text())["places"] for trial in place["trials"]}
    assert {path.name for path in (folder / "records").iterdir()} == jobs
    for job in jobs:  # every score of a trial turned around, chosen or not, and the answers on T_e with it
        record = folder / "records" / job
        scores = json.loads((record / "scores.json").read_text())
        for fold in scores["folds"]:
            fold["confusion"] = [row[::-1] for row in fold["confusion"]]
            fold["uar"] = 1 - fold["uar"]
        scores["mean"]["uar"] = 1 - scores["mean"]["uar"]
        (record / "scores.json").write_text(json.dumps(scores))
        (record / "predictions.csv").write_text("nothing\n")
        (record / "done").write_text(json.dumps({"sha256": digest_files(record)}))
    again = main(["sweep", "comparison.yaml"])
    reprinted = capsys.readouterr()
    assert again == 0 and "FAILED" not in reprinted.out, reprinted.err
    assert (folder / "chosen.json").read_text() == choices and ComparePlan.read(folder) == plan
    assert reprinted.out != printed.out, "the table is another: it does show scores"


def test_tuned_rows_share_no_table_with_rows_as_they_are(home: Path) -> None:
    from sere_core.compare.tables import refuse_mixed

    found = searched({})
    plan = plan_of_choices(found, choose(found)[0])
    rows = tuple(replace(row, tuning="none", tuned=()) if row.name == "ours" else row for row in plan.rows)
    plan = replace(plan, rows=rows)
    plan.write(found.folder)
    with pytest.raises(SereError, match=r"\[T508\] rows of other tuning share no table"):
        refuse_mixed(read_results(found.folder))
