"""`sere compare` from the file to the table, and what it does when it is called again, broken, killed or interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sere_core.cli import compare as command
from sere_core.cli import main
from sere_core.compare import jobs
from sere_core.compare.plan import ComparePlan
from sere_core.compare.reading import read_results
from tests.compare.test_jobs import TROUBLE
from tests.compare.tiny import COMPARISON, Here

PAIRS = "pairs: [xa>xb, xb>xa]\nseeds: 2\n"


@dataclass(frozen=True)
class Told:
    """What a command answered."""

    code: int
    out: str
    err: str


Compare = Callable[..., Told]


@pytest.fixture
def compare(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Compare:
    """`compare(TEXT, "--dry-run")` writes the text and runs `sere compare` in this process."""
    monkeypatch.setattr(command, "executor_of", lambda arguments, planned: Here())
    monkeypatch.setenv("COLUMNS", "120")

    def call(text: str, *words: str) -> Told:
        (home / "comparison.yaml").write_text(text)
        capsys.readouterr()
        code = main(["compare", "comparison.yaml", *words])
        told = capsys.readouterr()
        return Told(code, told.out, told.err)

    return call


def test_from_a_file_to_a_table_and_again(compare: Compare, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dry = compare(COMPARISON + PAIRS, "--dry-run")
    assert dry.code == 0 and not (home / "runs").exists()
    assert "3 rows x 2 pairs x 2 seeds = 12 runs; 0 there, 12 missing" in dry.out
    assert "time:    unknown until the first runs are done" in dry.out
    told = compare(COMPARISON + PAIRS, "--yes")
    assert told.code == 0, told.err
    assert "12/12 ceiling xb>xa seed 1: UAR " in told.out and "6/12" in told.out and " left" in told.out
    table = told.out[told.out.index("little: UAR") :]
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
    told = compare(COMPARISON + "seeds: 2\n", "--yes")
    assert told.code == 0 and "6 runs; 3 there, 3 missing" in told.out
    assert "time:    about " in told.out and "3/3 " in told.out


def test_the_written_comparison_asks_for_the_same(compare: Compare, home: Path) -> None:
    assert compare(COMPARISON, "--dry-run").code == 0
    assert compare(COMPARISON, "--yes", "--seeds", "1", "--set", "train.clip=5").code == 0
    folder = home / "runs" / "little"
    plan = ComparePlan.read(folder)
    assert main(["compare", str(folder / "compare.yaml"), "--set", "train.clip=5", "--yes"]) == 0
    assert ComparePlan.read(folder).jobs == plan.jobs
    assert "# called with --set train.clip=5" in (folder / "compare.yaml").read_text()


def test_a_failing_row_is_a_line_and_the_table_has_the_others(compare: Compare, home: Path) -> None:
    (home / "killed").touch()
    told = compare(TROUBLE, "--yes")
    assert told.code == 1
    assert "failed: buggy xa>xb seed 0: [T507] RuntimeError: a bug of the plugin" in told.err
    assert told.err.count("failed: ") == 1 and "Traceback" not in told.err
    assert "\nsound " in told.out and "\nkilled " in told.out
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
    assert changed.code == 1 and "was changed after the run was finished" in changed.err, "a record cannot be doctored"
    from sere_core.score.records import digest_files

    (record / "done").write_text(json.dumps({"sha256": digest_files(record)}))
    told = compare(COMPARISON, "--yes")
    assert told.code == 1 and "[T506] rows differ in versions.torch: floor, ceiling: " in told.err
    assert "allow: [versions.torch]" in told.err and "UAR" not in told.out
    allowed = compare(COMPARISON, "--yes", "--allow", "versions.torch")
    assert allowed.code == 0 and "allowed difference in versions.torch" in " ".join(allowed.out.split())


def test_a_corpus_that_changed_under_finished_records_is_an_error(compare: Compare, home: Path) -> None:
    assert compare(COMPARISON, "--yes").code == 0
    plan = ComparePlan.read(home / "runs" / "little")
    record = home / "runs" / "little" / "records" / plan.jobs[0].job / "manifest.json"
    record.write_text(record.read_text().replace('"xb": "', '"xb": "00'))
    told = compare(COMPARISON + "seeds: 2\n", "--yes")
    assert told.code == 1 and "[T505] the files of corpus 'xb' are not those of the record" in told.err


def test_mistakes_are_lines_and_nothing_starts(compare: Compare, home: Path) -> None:
    told = compare(COMPARISON.replace("ours: {}", "ours: {losses: {adapt: {use: trik}}}"))
    assert told.code == 2 and "comparison.yaml:6:32: losses.adapt.use: [R201]" in told.err
    assert not (home / "runs").exists()
    assert compare(COMPARISON, "--jobs", "0").code == 2


def test_a_file_that_cannot_be_heard_stops_everything_before_the_first_job(compare: Compare, home: Path) -> None:
    lines = [f"{n}.wav,s{n % 3},pl,{'anger' if n % 2 else 'sadness'}" for n in range(12)]
    (home / "list.csv").write_text("\n".join(["path,speaker,language,emotion", *lines]))
    for number in range(12):
        (home / f"{number}.wav").write_bytes(b"no sound")
    told = compare(COMPARISON + "set: {corpora: {xb: {use: manifest, params: {file: list.csv}}}}\n", "--yes")
    assert told.code == 2 and told.err.count("[D603]") == 12
    assert not (home / "runs" / "little" / "records").exists()


# processes


def process(*words: str) -> subprocess.Popen[str]:
    """`sere compare` as a process of its own."""
    call = "import sys; from sere_core.cli import main; sys.exit(main())"
    line = [sys.executable, "-c", call, "compare", "comparison.yaml", "--yes", *words]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ), start_new_session=True)


SLOW = COMPARISON + "seeds: 2\nset: {hooks: {slow: {use: 'file:parts.py:SLOW'}}}\n"


def test_two_processes_on_one_folder_share_the_work(home: Path) -> None:
    (home / "comparison.yaml").write_text(SLOW)
    both = [process("--jobs", "1"), process("--jobs", "1")]
    told = [one.communicate(timeout=300) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    tables = [out[out.index("little: UAR") :] for out, _ in told]
    assert tables[0] == tables[1], "both tell the same results"
    assert not any("FAILED" in out for out, _ in told)
    assert len(read_results(home / "runs" / "little").runs) == 6


def test_ctrl_c_says_how_to_go_on_and_leaves_no_process(home: Path) -> None:
    (home / "comparison.yaml").write_text(SLOW)
    started = process("--jobs", "1")
    deadline = time.monotonic() + 120
    while not list((home / "runs").glob("little/records/*/history.jsonl")):
        assert started.poll() is None, started.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does: every process of the group gets it
    out, err = started.communicate(timeout=60)
    assert started.returncode == 130, (out, err)
    assert err.strip().endswith("to go on: sere compare comparison.yaml --jobs 1")
    assert "Traceback" not in err
    while _alive(started.pid):  # the helper with which Python's processes share names ends a moment later
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not list((home / "runs").glob("little/failures/*"))


def _alive(group: int) -> bool:
    """Is there a process of this group?"""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


TYPO = """\
from sere_registry import ComponentSpec, NoParams
LOSS = ComponentSpec(kind="loss", name="typo", factory=f"{__name__}:Tipo", params=NoParams, summary="a name misspelt")
class Typo: ...
"""


def test_a_factory_that_does_not_exist_is_told_once_a_row_and_before_any_run(compare: Compare, home: Path) -> None:
    (home / "typo.py").write_text(TYPO)
    row = "  typo: {losses: {adapt: {use: 'file:./typo.py:LOSS'}}}\n  again: {losses: {adapt: {use: 'file:./typo.py:LOSS', weight: 2}}}\n"
    told = compare(COMPARISON.replace("  ours: {}\n", "  ours: {}\n" + row) + PAIRS, "--yes")
    assert told.code == 3 and not (home / "runs").exists()
    lines = [line for line in told.err.splitlines() if "[P104]" in line]
    assert [line.partition("losses.adapt.use")[0][:18] for line in lines] == ["comparison.yaml:7:", "comparison.yaml:8:"]
    assert all(line.endswith(":Tipo does not exist") for line in lines), lines


def test_what_is_disabled_in_vain_is_told_once(compare: Compare, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERE_DISABLE", "seere")
    told = compare(COMPARISON + PAIRS + "set: {plugins: {disable: [mybe]}}\n", "--dry-run")
    assert told.code == 0
    one, other = [line for line in (told.out + told.err).splitlines() if "[P107]" in line]
    assert "SERE_DISABLE leaves nothing out" in one and "'seere'" in one
    assert "comparison.yaml:" in other and "plugins.disable leaves nothing out" in other and "'mybe'" in other
