"""The paper's tables as comparison files: planned completely and run in part, on tiny checkpoints and corpora in the official layouts."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sere_core.cli import main
from sere_core.compare.grammar import Flags
from sere_core.compare.planning import Planned, plan_comparison
from sere_core.config import load
from tests.corpora.layouts import make_casia, make_emodb, make_emovo, make_enterface
from tests.encoders.checkpoints import tiny_hubert, tiny_wav2vec2, tiny_wavlm, tiny_whisper

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "configs" / "paper"
TWELVE = ("B>C", "C>B", "B>E", "E>B", "C>E", "E>C", "B>O", "O>B", "C>O", "O>C", "E>O", "O>E")
FLOORS, CEILINGS = ("source-only", "source-only target-encoder"), ("ceiling", "ceiling-all")
METHODS = {
    "table1": ("jdar", "nrc", "coral", "fixmatch", "mcd", "sere one-encoder", "sere"),
    "table2": ("sere -L_DR -L_PR", "sere -L_DR", "sere -L_PR", "sere"),
    "table3": ("source-language>source-language", "target-language>target-language", "source-language>target-language"),
}
PAIRS = {"table1": TWELVE, "table2": TWELVE, "table3": ("B>C", "C>B", "E>O", "O>E")}
LANGUAGES = {"B": "de", "E": "en", "C": "zh", "O": "it"}
KINDS = {"B": "sere.whisper", "E": "sere.wavlm", "C": "sere.hubert", "O": "sere.wav2vec2"}
#: the complete plan of a table, and the config of each row and pair with the first seed
Whole = tuple[Planned, Mapping[tuple[str, str], Any]]
#: row -> the encoders of its labelled and of its unlabelled path; all others have the paper's, one for each language
ROLES = {
    **dict.fromkeys(("source-only", "jdar", "nrc", "coral", "fixmatch", "mcd", "sere one-encoder"), ("anchor", "anchor")),
    **dict.fromkeys(("source-only target-encoder", *CEILINGS), ("target", "target")),
    "source-language>source-language": ("anchor", "source"),
    "target-language>target-language": ("anchor", "target"),
}


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the four corpora, small, and with the five checkpoints, tiny."""
    root = tmp_path_factory.mktemp("world")
    make_emodb(root / "emodb", speakers=("03", "08", "09", "10", "11"))
    make_emovo(root / "emovo", speakers=("f1", "f2", "m1", "m2", "m3"))
    make_casia(root / "casia", texts=("201", "202"))
    make_enterface(root / "enterface", subjects=(1, 2, 3, 4, 12))
    tiny_wav2vec2(root / "labelled")
    tiny_whisper(root / "german")
    tiny_wavlm(root / "english")
    tiny_hubert(root / "chinese")
    tiny_wav2vec2(root / "italian", group_norm=False)
    return root


@pytest.fixture(scope="session")
def models(world: Path) -> tuple[str, ...]:
    """The variables that name checkpoints; on a machine with a hub's cache there is no need of them."""
    return tuple(f"vars.{name}={world / name}" for name in ("labelled", "german", "english", "chinese", "italian"))


@pytest.fixture(scope="session")
def tables(world: Path, models: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Whole]:
    """All tables, each planned once."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERE_DATA", str(world))
        for table in PAIRS:
            flags = Flags(sets=models, out=str(tmp_path_factory.mktemp(table)))
            planned = plan_comparison(str(PAPER / f"{table}.yaml"), flags)
            first = [job for job in planned.plan.jobs if job.seed == 0]
            found[table] = (planned, {(job.row, job.pair): yaml.safe_load(planned.configs[job.job].encode()) for job in first})
    return found


@pytest.mark.parametrize("table", PAIRS)
def test_all_rows_of_all_pairs_are_planned_with_their_encoders(table: str, tables: Mapping[str, Whole]) -> None:
    planned, configs = tables[table]
    plan = planned.plan
    assert not [line for line in planned.warnings if ".yaml" in line or "no floor" in line or "no ceiling" in line], "nothing is unused"
    assert plan.pairs == PAIRS[table]
    assert tuple((row.name, row.role) for row in plan.rows) == (
        *((name, "floor") for name in FLOORS),
        *((name, "method") for name in METHODS[table]),
        *((name, "ceiling") for name in CEILINGS),
    )
    assert plan.reference == METHODS[table][-1]
    assert plan.budget == {"epochs": 80, "steps_per_epoch": None}
    assert len(plan.jobs) == len(plan.rows) * len(plan.pairs) * 3 and len({job.job for job in plan.jobs}) == len(plan.jobs)
    for (row, pair), config in configs.items():
        task = config["task"]
        assert task["folds"] == ("speakers" if pair.endswith("C") else 5)
        assert task["shots"] == ("all" if row == "ceiling-all" else 5)
        assert (task["source"] == task["target"]) == (row in CEILINGS)
        source, target = pair.split(">")
        roles = {"anchor": "sere.wav2vec2", "source": KINDS[source], "target": KINDS[target]}
        paths = config["paths"]
        heterogeneous = {LANGUAGES[source]: "source", LANGUAGES[target]: "target"}
        assert (paths["labelled"], paths["unlabelled"]) == ROLES.get(row, ("anchor", heterogeneous)), (row, pair)
        assert {name: block["use"] for name, block in config["encoders"].items()}.items() <= roles.items(), (row, pair)


@pytest.mark.parametrize("table", PAIRS)
def test_the_reference_row_is_the_config_of_its_pair(table: str, tables: Mapping[str, Whole], models: tuple[str, ...], world: Path) -> None:
    for pair in PAIRS[table]:
        mine = meaning(tables[table][1][METHODS[table][-1], pair])
        alone = load(PAPER / f"{pair.replace('>', '')}.yaml", sets=models, environ={"SERE_DATA": str(world)})
        assert mine == meaning(yaml.safe_load(alone.dump().encode())), pair
        assert {end: block["use"] for end, block in mine["paths"].items()} == {
            "labelled": "sere.wav2vec2",
            **{LANGUAGES[letter]: KINDS[letter] for letter in pair.split(">")},
        }
    moved = load(PAPER / "four.yaml", sets=[*models, "vars.emovo=/elsewhere"], environ={"SERE_DATA": str(world)}).config.corpora
    roots = {name: str(world / name) for name in ("emodb", "enterface", "casia")}
    assert {name: str(block.params["root"]) for name, block in moved.items()} == {**roots, "emovo": "/elsewhere"}


@pytest.mark.parametrize(("table", "pairs", "shape"), [("table1", 1, "main"), ("table2", 1, "ablation"), ("table3", 2, "encoders")])
def test_a_cut_of_a_table_is_run_and_printed(
    table: str, pairs: int, shape: str, models: tuple[str, ...], world: Path, here: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.setenv("SERE_DATA", str(world))
    sets = [word for model in models for word in ("--set", model)]
    assert main(["compare", str(cut(table, pairs, here)), "--yes", *sets]) == 0, capsys.readouterr().err
    capsys.readouterr()
    assert main(["table", f"runs/paper-{table}", "--shape", shape, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    names = [*FLOORS, *METHODS[table], *CEILINGS, "chance"]
    if table == "table3":
        assert [(row["pair"], row["row"]) for row in rows] == [(pair, name) for pair in ("B>C", "C>B") for name in names]
        for row in rows:  # behind the encoder stands what the row is labelled with: its evidence
            source, _, target = row["row"].partition(">")
            assert row["source encoder"].startswith(source) and row["target encoder"].startswith(target) and row["uar"]
        return
    assert [row["row"] for row in rows] == names and all(row["B>C"] and row["mean"] for row in rows)
    if table == "table2":
        checks = [(row["L_DR"], row["L_PR"]) for row in rows]
        assert checks == [("off", "off")] * 3 + [("off", "on"), ("on", "off"), ("on", "on")] + [("", "")] * 3


def meaning(config: dict[str, Any]) -> dict[str, Any]:
    """What a config means, whatever its encoders are called: the blocks on its paths, by language."""
    kept = {key: config[key] for key in ("corpora", "task", "features", "network", "dynamics", "resonance", "method", "losses", "select")}
    train = {key: config["train"][key] for key in ("epochs", "steps_per_epoch", "optimizer", "batch", "clip", "precision")}
    paths = {"labelled": config["paths"]["labelled"], **config["paths"]["unlabelled"]}
    return {**kept, "train": train, "paths": {end: config["encoders"][name] for end, name in paths.items()}}


def cut(table: str, pairs: int, home: Path) -> Path:
    """The file with fewer pairs, folds and steps, and one seed."""
    data = yaml.safe_load((PAPER / f"{table}.yaml").read_text(encoding="utf-8"))
    data["base"] = str(PAPER / data["base"])
    data["pairs"] = {name: data["pairs"][name] for name in list(data["pairs"])[:pairs]}
    for layer in data["pairs"].values():
        layer["task"]["folds"] = 2
    data["set"]["task"] = {"shots": 2}
    data["set"]["network"] = {"dim": 16}
    batch = {"source": 4, "target": 4}
    data["set"]["train"] = {"epochs": 2, "steps_per_epoch": 1, "device": "cpu", "threads": 1, "batch": batch}
    data["seeds"] = 1
    path = home / f"{table}.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path
