"""`sere compare` from the file to the table, and what it does when it is called again, broken, killed or interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import soundfile

from sere_core.cli import main
from sere_core.compare import jobs, progress
from sere_core.compare.plan import ComparePlan
from sere_core.compare.reading import read_results
from sere_core.console import Speaker
from tests.compare.test_jobs import TROUBLE
from tests.compare.tiny import COMPARISON

PAIRS = "pairs: [xa>xb, xb>xa]\nseeds: 2\n"


class Printed(NamedTuple):
    """What a command printed."""

    code: int
    out: str
    err: str


Compare = Callable[..., Printed]


@pytest.fixture
def compare(here: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """`compare(TEXT, "--dry-run")` writes the text and runs `sere compare` in this process."""

    def call(text: str, *words: str) -> Printed:
        (here / "comparison.yaml").write_text(text)
        capsys.readouterr()
        code = main(["compare", "comparison.yaml", *words])
        return Printed(code, *capsys.readouterr())

    return call


def test_from_a_file_to_a_table_and_again(compare: Compare, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dry = compare(COMPARISON + PAIRS, "--dry-run")
    assert dry.code == 0 and not (home / "runs").exists()
    assert "3 rows x 2 pairs x 2 seeds = 12 runs; 0 there, 12 missing" in dry.out
    assert "time:    unknown until the first runs are done" in dry.out
    printed = compare(COMPARISON + PAIRS, "--yes")
    assert printed.code == 0, printed.err
    assert "12/12 ceiling xb>xa seed 1: UAR " in printed.out and "6/12" in printed.out and " left" in printed.out
    table = printed.out[printed.out.index("little: UAR") :]
    assert all(f"\n{row} " in table for row in ("floor", "ours", "ceiling")) and "chance" in table
    folder = home / "runs" / "little"
    assert len(read_results(folder).runs) == 12
    assert (folder / "compare.yaml").exists()

    def nothing(*arguments: object) -> None:
        raise AssertionError("nothing is left to do")

    monkeypatch.setattr(jobs, "_run", nothing)
    again = compare(COMPARISON + PAIRS, "--yes")
    assert again.code == 0 and "all 12 runs were done before" in again.out
    assert again.out[again.out.index("little: UAR") :] == table


def test_a_second_call_runs_only_what_is_missing_and_knows_the_time(compare: Compare, home: Path) -> None:
    assert compare(COMPARISON, "--yes").code == 0
    printed = compare(COMPARISON + "seeds: 2\n", "--yes")
    assert printed.code == 0 and "6 runs; 3 there, 3 missing" in printed.out
    assert "time:    about " in printed.out and "3/3 " in printed.out
    assert compare(COMPARISON, "--yes", "--seeds", "1", "--set", "train.clip=5").code == 0
    folder = home / "runs" / "little"
    plan = ComparePlan.read(folder)
    assert main(["compare", str(folder / "compare.yaml"), "--set", "train.clip=5", "--yes"]) == 0
    assert ComparePlan.read(folder).jobs == plan.jobs, "the written comparison asks for the same"
    assert "# called with --set train.clip=5" in (folder / "compare.yaml").read_text()


def test_what_is_collected_is_what_is_asked_for(compare: Compare, home: Path) -> None:
    """Another reference is that of the table; runs that nobody was asked for are refused."""
    assert compare(COMPARISON, "--yes").code == 0
    folder, other = home / "runs" / "little", COMPARISON.replace("reference: ours", "reference: floor\nmargin: 9")
    assert compare(other, "--collect").code == 0
    plan = ComparePlan.read(folder)
    assert (plan.reference, plan.margin) == ("floor", 9.0)
    refused = compare(other, "--seeds", "2", "--collect")
    assert refused.code == 1 and "[T505]" in refused.err and ComparePlan.read(folder) == plan


def test_a_row_of_which_no_run_is_done_is_thought_to_take_what_others_took(
    compare: Compare, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(COMPARISON, "--yes").code == 0
    folder = home / "runs" / "little"
    plan = ComparePlan.read(folder)
    monkeypatch.setattr(progress, "run_seconds", lambda record: 600.0)
    missing = [job.job for job in plan.jobs if job.row != "floor"]
    assert len(missing) == 2
    capsys.readouterr()
    progress.JobProgress(plan, folder, missing, 1, Speaker(False)).show()
    progress.JobProgress(plan, folder, missing, 2, Speaker(False)).show()
    times = [line.split(maxsplit=1)[1] for line in capsys.readouterr().out.splitlines() if line.startswith("time:")]
    assert times == ["about 20 min (1 at a time)", "about 10 min (2 at a time)"]


def test_other_labels_are_other_runs_and_no_table_mixes_two(compare: Compare, home: Path) -> None:
    lines, noise = ["path,speaker,language,emotion"], np.random.default_rng(0)
    for number in range(12):
        soundfile.write(home / f"{number}.wav", 0.1 * noise.standard_normal(8000), 16000)
        lines.append(f"{number}.wav,s{number % 3},de,{('anger', 'sadness')[number // 3 % 2]}")
    (home / "own.csv").write_text("\n".join(lines) + "\n")
    base = (home / "base.yaml").read_text()
    (home / "base.yaml").write_text(
        base.replace("xb: {use: synthetic, params: {language: xb,", "xb: {use: manifest, params: {file: own.csv}} #")
    )
    assert compare(COMPARISON, "--yes").code == 0
    folder = home / "runs" / "little"
    first = {place: run.uar for place, run in read_results(folder).runs.items()}
    swapped = "\n".join(lines).replace("anger", "x").replace("sadness", "anger").replace("x", "sadness")
    (home / "own.csv").write_text(swapped + "\n")
    printed = compare(COMPARISON.replace("  ours: {}\n", "  ours: {}\n  added: {losses: {adapt: {use: coral}}}\n"), "--yes")
    assert printed.code == 0 and "3 runs" in printed.err and "labels of corpus 'xb'" in printed.err
    runs = read_results(folder).runs
    assert len(runs) == 4 and len({run.digests["corpora.xb.labels"] for run in runs.values()}) == 1
    for (row, pair, seed), before in first.items():
        if row != "ceiling":  # two classes: what was right is wrong now
            assert runs[row, pair, seed].uar == pytest.approx(1 - before)


def test_a_failing_row_is_a_line_and_the_table_has_the_others(compare: Compare, home: Path) -> None:
    (home / "killed").touch()
    printed = compare(TROUBLE, "--yes")
    assert printed.code == 1
    (line,) = (line for line in printed.err.splitlines() if line.startswith("failed: buggy xa>xb seed 0: "))
    assert "[B404]" in line and "parts.py:" in line and "RuntimeError" in line
    assert printed.err.count("failed: ") == 1 and "Traceback" not in printed.err
    assert {row for row, _, _ in read_results(home / "runs" / "trouble").runs} == {"sound", "killed"}
    assert "\nsound " in printed.out and "\nkilled " in printed.out
    again = compare(TROUBLE, "--yes")
    assert again.code == 1 and "3 runs; 2 there, 1 missing" in again.out, "what failed is tried again"


def test_runs_that_are_not_comparable_get_no_table_until_it_is_allowed_by_name(compare: Compare, home: Path) -> None:
    assert compare(COMPARISON, "--yes").code == 0
    plan = ComparePlan.read(home / "runs" / "little")
    record = home / "runs" / "little" / "records" / plan.jobs[1].job
    manifest = json.loads((record / "manifest.json").read_bytes())
    manifest["versions"]["torch"] = "0.1"
    (record / "manifest.json").write_text(json.dumps(manifest))
    changed = compare(COMPARISON, "--yes")
    assert changed.code == 1 and f"{record.name}/manifest.json" in changed.err, "a record cannot be doctored"
    assert "[T505]" in changed.err
    from sere_core.score.records import digest_files

    (record / "done").write_text(json.dumps({"sha256": digest_files(record)}))
    printed = compare(COMPARISON, "--yes")
    assert printed.code == 1 and "[T506] rows differ in versions.torch: floor, ceiling: " in printed.err
    assert "allow: [versions.torch]" in printed.err and "UAR" not in printed.out
    allowed = compare(COMPARISON, "--yes", "--allow", "versions.torch")
    assert allowed.code == 0 and "allowed difference in versions.torch" in " ".join(allowed.out.split())


def test_mistakes_are_lines_and_nothing_starts(compare: Compare, home: Path) -> None:
    printed = compare(COMPARISON.replace("ours: {}", "ours: {losses: {adapt: {use: trik}}}"))
    assert printed.code == 2 and "comparison.yaml:6:32: losses.adapt.use: [R201]" in printed.err
    assert not (home / "runs").exists()
    assert compare(COMPARISON, "--jobs", "0").code == 2


def test_a_file_that_cannot_be_heard_stops_everything_before_the_first_job(compare: Compare, home: Path) -> None:
    lines = [f"{n}.wav,s{n % 3},pl,{'anger' if n % 2 else 'sadness'}" for n in range(12)]
    (home / "list.csv").write_text("\n".join(["path,speaker,language,emotion", *lines]))
    for number in range(12):
        (home / f"{number}.wav").write_bytes(b"no sound")
    printed = compare(COMPARISON + "set: {corpora: {xb: {use: manifest, params: {file: list.csv}}}}\n", "--yes")
    assert printed.code == 2 and printed.err.count("[D603]") == 12
    assert not (home / "runs" / "little" / "records").exists()


# processes


def process(*words: str) -> subprocess.Popen[str]:
    """`sere compare` as a process of its own."""
    call = "import sys; from sere_core.cli import main; sys.exit(main())"
    line = [sys.executable, "-c", call, "compare", "comparison.yaml", "--yes", *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), start_new_session=True)


SLOW = COMPARISON + "seeds: 2\nset: {hooks: {slow: {use: 'file:parts.py:SLOW'}}}\n"


@pytest.mark.slow
def test_two_processes_on_one_folder_share_the_work(home: Path) -> None:
    (home / "comparison.yaml").write_text(SLOW)
    both = [process("--jobs", "1"), process("--jobs", "1")]
    printed = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], printed
    tables = [out[out.index("little: UAR") :] for out, _ in printed]
    assert tables[0] == tables[1], "both tell the same results"
    assert not any("FAILED" in out for out, _ in printed)
    assert len(read_results(home / "runs" / "little").runs) == 6


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_command_that_is_ended_leaves_no_process_and_no_failure(home: Path, how: signal.Signals) -> None:
    (home / "comparison.yaml").write_text(SLOW)
    started = process("--jobs", "1")
    deadline = time.monotonic() + 120
    while not list((home / "runs").glob("little/records/*/history.jsonl")):
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if how == signal.SIGINT:
        os.killpg(started.pid, how)  # as a terminal does: every process of the group gets it
    else:
        started.kill()
    out, err = started.communicate(timeout=60)
    assert "Traceback" not in err
    assert how == signal.SIGKILL or started.returncode == 130, (out, err)
    assert how == signal.SIGKILL or err.strip().endswith("to go on: sere compare comparison.yaml --yes --jobs 1")
    with pytest.raises(ProcessLookupError):  # no process of this group is left
        while time.monotonic() < deadline:
            os.killpg(started.pid, 0)
            time.sleep(0.05)
    assert not list((home / "runs").glob("little/failures/*"))


TYPO = """\
from sere_registry import ComponentSpec, NoParams
LOSS = ComponentSpec(kind="loss", name="typo", factory=f"{__name__}:Tipo", params=NoParams, summary="a name misspelt")
class Typo: ...
"""


def test_a_factory_that_does_not_exist_is_one_line_a_row_and_before_any_run(compare: Compare, home: Path) -> None:
    (home / "typo.py").write_text(TYPO)
    row = "  typo: {losses: {adapt: {use: 'file:./typo.py:LOSS'}}}\n  again: {losses: {adapt: {use: 'file:./typo.py:LOSS', weight: 2}}}\n"
    printed = compare(COMPARISON.replace("  ours: {}\n", "  ours: {}\n" + row) + PAIRS, "--yes")
    assert printed.code == 3 and not (home / "runs").exists()
    lines = [line for line in printed.err.splitlines() if "[P104]" in line]
    assert [line.partition("losses.adapt.use")[0][:18] for line in lines] == ["comparison.yaml:7:", "comparison.yaml:8:"]
    assert all(line.endswith(":Tipo does not exist") for line in lines), lines


def test_what_is_disabled_in_vain_is_one_line(compare: Compare, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERE_DISABLE", "seere")
    printed = compare(COMPARISON + PAIRS + "set: {plugins: {disable: [mybe]}}\n", "--dry-run")
    assert printed.code == 0
    one, other = [line for line in (printed.out + printed.err).splitlines() if "[P107]" in line]
    assert "SERE_DISABLE leaves nothing out" in one and "'seere'" in one
    assert "comparison.yaml:" in other and "plugins.disable leaves nothing out" in other and "'mybe'" in other
