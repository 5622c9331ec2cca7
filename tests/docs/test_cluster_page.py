"""docs/cluster.md: its files can be read by what they are for, its commands are commands of sere, its table is the script's."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import pytest
import yaml

from sere_core.cli import compare
from tests.docs.pages import DOCS, Block, blocks, fences

PAGE = "cluster.md"
FILES = {block.about: block for block in blocks(PAGE) if block.role == "file"}


def parsed(words: list[str]) -> Namespace:
    """The words of `sere compare ...` as the command reads them; a wrong one ends the test."""
    parser = ArgumentParser()
    compare.add_parser(parser.add_subparsers(dest="command"))
    return parser.parse_args(words[1:])


def test_every_block_is_closed_and_looked_at() -> None:
    found = list(blocks(PAGE))
    assert fences(PAGE) == 2 * len(found)
    assert {block.language for block in found} <= {"sh", "python", "yaml", "dockerfile"}
    assert not [block.line for block in found if block.language in ("python", "yaml", "dockerfile") and not block.role]


@pytest.mark.parametrize("block", [block for block in blocks(PAGE) if block.language == "sh"], ids=lambda block: f"line {block.line}")
def test_shell_is_shell_and_calls_sere_rightly(block: Block) -> None:
    assert subprocess.run(["bash", "-n"], input=block.text.encode(), check=False).returncode == 0
    for line in block.text.splitlines():
        if line.startswith("sere "):
            assert parsed(shlex.split(line)).command == "compare"


def test_the_script_for_slurm_calls_sere_rightly() -> None:
    tree = ast.parse(FILES["slurm_compare.py"].text)
    (command,) = (each.value for each in ast.walk(tree) if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "command")
    assert isinstance(command, ast.List)
    words = [each.value if isinstance(each, ast.Constant) else "comparison.yaml" for each in command.elts]
    assert words[:2] == ["sere", "compare"] and parsed([str(word) for word in words]).scheduler


def test_the_files_for_kubernetes_fit_together() -> None:
    cluster, job = (yaml.safe_load(FILES[name].text) for name in ("cluster.yaml", "compare.yaml"))
    workers, scheduler = cluster["spec"]["worker"]["spec"], cluster["spec"]["scheduler"]
    asking = job["spec"]["template"]["spec"]
    containers = [spec["containers"][0] for spec in (workers, scheduler["spec"], asking)]
    assert len({each["image"] for each in containers}) == 1, "the very same software"
    assert workers["volumes"] == asking["volumes"] and containers[0]["volumeMounts"] == containers[2]["volumeMounts"]
    assert containers[0]["env"] == containers[2]["env"], "one cache"
    words = parsed(containers[2]["args"])
    assert words.scheduler == f"tcp://{cluster['metadata']['name']}-scheduler:{scheduler['service']['ports'][0]['port']}" and words.yes
    assert scheduler["service"]["selector"]["dask.org/cluster-name"] == cluster["metadata"]["name"]
    mounts = [each["mountPath"] for each in containers[0]["volumeMounts"]]
    assert any(words.out.startswith(f"{mount}/") for mount in mounts), "the folder is shared"


def test_dask_knows_the_options_and_settings_that_are_shown() -> None:
    pytest.importorskip("distributed", reason="the extra `sere[distributed]` is not installed")
    from dask import config
    from distributed.cli import dask_scheduler, dask_worker

    known = {option for part in (dask_scheduler, dask_worker) for each in part.main.params for option in (*each.opts, *each.secondary_opts)}
    container: Any = yaml.safe_load(FILES["cluster.yaml"].text)["spec"]["worker"]["spec"]["containers"][0]
    lines = [line for line in FILES["compare.sbatch"].text.splitlines() if re.match(r"(srun )?dask ", line)]
    shown = {word for line in (*lines, " ".join(container["args"])) for word in line.split() if word.startswith("--")}
    assert len(lines) == 2 and shown <= known
    assert config.get("distributed.scheduler.allowed-failures") == 3, "the page says so"


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
    rows = [
        [cell.strip(" *") for cell in line.strip("|").split("|")] for line in (DOCS / PAGE).read_text().splitlines() if " | 60 | " in line
    ]
    seconds = {row[0]: float(row[2].split()[0]) for row in rows}
    script = grid_cost()
    for name, _, _, jobs, work, *_ in rows:
        assert (jobs, work) == ("60", script.duration(60 * seconds[name]))
    every = [seconds[name] for _ in range(5) for name in seconds for _ in range(12)]
    (last,) = (line for line in (DOCS / PAGE).read_text().splitlines() if line.startswith("| **all rows**"))
    ends = " | ".join(script.duration(script.span(every, slots)) for slots in (1, 2, 100))
    assert last.endswith(f"| {len(every)} | {ends} |")


def test_seconds_are_read_from_records(tmp_path: Path) -> None:
    script = grid_cost()
    for pair, seconds in (("x_to_y", 3.0), ("y_to_x", 4.0)):
        record = tmp_path / "records" / pair / "sere" / "1f3a"
        record.mkdir(parents=True)
        (record / "timing.json").write_text(f'{{"plan": 1.0, "train and score": {seconds}, "peak_mib": 900}}')
        (record / "done").touch()
    assert script.measured(tmp_path / "records") == {"sere": [4.0, 5.0]}
