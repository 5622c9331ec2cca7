"""docs/cluster.md: its files can be read by what they are for, its commands are commands of sere, its table is the script's."""

from __future__ import annotations

import importlib.util
import shlex
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sere_core.cli import parser
from sere_plugins.specs.executors import SubmititParams
from tests.docs.pages import DOCS, Block, blocks, fences

PAGE = "cluster.md"
FILES = {block.about: block for block in blocks(PAGE) if block.role == "file"}


def parsed(words: list[str]) -> Namespace:
    """The words of a command as `sere` reads them; a wrong one ends the test."""
    return parser(words[1]).parse_args(words[1:])


def test_every_block_is_closed_and_looked_at() -> None:
    found = list(blocks(PAGE))
    assert fences(PAGE) == 2 * len(found)
    assert {block.language for block in found} <= {"sh", "yaml"}
    assert not [block.line for block in found if block.language == "yaml" and not block.role]


@pytest.mark.parametrize("block", [block for block in blocks(PAGE) if block.language == "sh"], ids=lambda block: f"line {block.line}")
def test_shell_is_shell_and_calls_sere_rightly(block: Block) -> None:
    assert subprocess.run(["bash", "-n"], input=block.text.encode(), check=False).returncode == 0
    for line in block.text.splitlines():
        if "sere " in line and not line.startswith(("#", "pip ")):
            words = shlex.split(line[line.index("sere ") :], comments=True)
            assert parsed(words).command in ("compare", "work")


def test_the_job_for_kubernetes_is_a_worker_of_each_index() -> None:
    job = yaml.safe_load(FILES["work.yaml"].text)["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert job["completionMode"] == "Indexed" and job["template"]["spec"]["restartPolicy"] == "Never", "else no index is tried again"
    mounts = [each["mountPath"] for each in container["volumeMounts"]]
    assert any(str(parsed(container["args"]).folder).startswith(f"{mount}/") for mount in mounts), "the folder is shared"


def test_the_executor_that_is_shown_makes_the_script_that_is_meant() -> None:
    pytest.importorskip("submitit", reason="the extra `sere[slurm]` is not installed")
    from submitit.slurm.slurm import _make_sbatch_string

    params = SubmititParams(**yaml.safe_load(FILES["executor.yaml"].text)["executor"]["params"])
    assert "#SBATCH --partition=cpu" in _make_sbatch_string("true", "logs", **params.slurm)


def test_dask_knows_the_options_that_are_shown() -> None:
    pytest.importorskip("distributed", reason="the extra `sere[distributed]` is not installed")
    from distributed.cli import dask_worker

    known = {option for each in dask_worker.main.params for option in (*each.opts, *each.secondary_opts)}
    lines = [line for line in (DOCS / PAGE).read_text().splitlines() if line.startswith("dask worker")]
    assert lines and {word for line in lines for word in line.split() if word.startswith("--")} <= known


def grid_cost() -> Any:
    """The script, imported without running it."""
    path = DOCS.parent / "benchmarks" / "grid_cost.py"
    spec = importlib.util.spec_from_file_location("grid_cost", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules["grid_cost"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_costs_adds_up() -> None:
    """Each row's jobs and hours follow from its seconds, and the last row from all of them."""
    table = (DOCS / PAGE).read_text().partition("| row | jobs measured |")[2].partition("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[:-1]]
    script = grid_cost()
    every: list[float] = []
    for _, _, mean, jobs, work, *_ in rows:
        seconds = float(mean.split()[0])
        assert not int(jobs) % 60 and work == script.duration(int(jobs) * seconds), "twelve pairs, five seeds"
        every += [seconds] * int(jobs)
    ends = " | ".join(script.duration(script.span(every, slots)) for slots in (1, 2, 100))
    assert table[-1].startswith("| **all rows**") and table[-1].endswith(f"| {len(every)} | {ends} |")


def test_seconds_are_read_from_records(tmp_path: Path) -> None:
    script = grid_cost()
    for pair, seconds in (("x_to_y", 3.0), ("y_to_x", 4.0)):
        record = tmp_path / "records" / pair / "sere" / "1f3a"
        record.mkdir(parents=True)
        (record / "timing.json").write_text(f'{{"plan": 1.0, "train and score": {seconds}, "peak_mib": 900}}')
        (record / "done").touch()
    assert script.measured(tmp_path / "records") == {"sere": [4.0, 5.0]}
