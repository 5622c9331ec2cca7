"""`sere config`: who set each value, what it means, in what two configs differ, and the schema that editors read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sere_core.cli import main
from sere_core.cli.json_schema import schema
from sere_core.config import load
from sere_core.config.files import bundled
from sere_registry import ComponentSpec, Params, param
from sere_registry.catalog import Catalog, Entry

Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def sere(folder: Path, capsys: pytest.CaptureFixture[str]) -> Told:
    """`sere("show", "a.yaml")` -> exit code, stdout, stderr of `sere config show a.yaml`."""

    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(["config", *words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_each_value_says_who_set_it(sere: Told, folder: Path) -> None:
    (folder / "b.yaml").write_text("extends: a.yaml\nsere: 1\nname: b\ntrain:\n  epochs: 7\n")
    code, out, _ = sere("show", "b.yaml", "--origins", "--json", "--set", "losses.adapt.params.temperature=0.25", "--seed", "4")
    found = json.loads(out)
    origins = found["origins"]
    assert code == 0 and found["config"]["train"]["epochs"] == 7
    assert origins["train.epochs"] == "b.yaml:5:11" and origins["name"] == "b.yaml:3:7"
    assert origins["task.source"] == "a.yaml:4:16"
    assert origins["losses.adapt.params.temperature"] == "--set losses.adapt.params.temperature=0.25"
    assert origins["seed"] == "--seed 4"
    assert origins["train.clip"] == origins["output.dir"] == origins["losses.adapt.weight"] == "default"


def test_params_that_a_changed_use_dropped_are_noted(sere: Told, folder: Path) -> None:
    base = "extends: a.yaml\nsere: 1\nlosses:\n  adapt: {use: sere.tric, params: {mix: mean, dual_weight: 0.25}}\n"
    (folder / "base.yaml").write_text(base)
    (folder / "over.yaml").write_text("extends: base.yaml\nsere: 1\nlosses:\n  adapt:\n    use: coral\n")
    _, out, _ = sere("show", "over.yaml", "--origins")
    line = next(line for line in out.splitlines() if "use: sere.coral" in line)
    assert line.endswith("# over.yaml:5:10; drops mix of sere.tric (base.yaml:4:41); drops dual_weight of sere.tric (base.yaml:4:60)")
    assert "drops" not in sere("show", "base.yaml", "--origins")[1]

    again = ("--set", "losses.adapt.params.dual_weight=0.5", "--set", "losses.adapt.use=sere.tric")
    _, out, _ = sere("show", "over.yaml", "--origins", "--json", *again)
    assert json.loads(out)["dropped"] == {"losses.adapt": [{"param": "mix", "of": "sere.tric", "origin": "base.yaml:4:41"}]}, "given again"
    assert json.loads(sere("show", "a.yaml", "--origins", "--json")[1])["dropped"] == {}


def test_a_config_shown_with_origins_is_that_config(sere: Told, folder: Path) -> None:
    more = "views.weak=[{use: crop}, {use: gain}]"
    _, plain, _ = sere("show", "a.yaml", "--set", more)
    _, text, _ = sere("show", "a.yaml", "--origins", "--set", more)
    assert "  # a.yaml:" in text and "  # default" in text and "  # --set views.weak" in text
    assert yaml.safe_load(text) == yaml.safe_load(plain)
    (folder / "shown.yaml").write_text(text)
    assert load("shown.yaml").digest() == load("a.yaml", sets=[more]).digest()


def test_a_partial_config_is_filled(sere: Told, folder: Path) -> None:
    text = "\n".join(line for line in (folder / "a.yaml").read_text().splitlines() if not line.startswith(("sere", "name")))
    (folder / "part.yaml").write_text(text)
    code, out, err = sere("fill", "part.yaml", "-o", "full.yaml")
    assert (code, out, err) == (0, "", "")
    full = load("full.yaml")
    assert full.config.name == "part" and full.components["losses.adapt"].params.temperature == 0.5  # type: ignore[attr-defined]
    before = (folder / "full.yaml").read_text()
    assert sere("fill", "a.yaml", "-o", "full.yaml")[0] == 2 and (folder / "full.yaml").read_text() == before, "nothing is overwritten"
    assert sere("fill", "a.yaml", "-o", "full.yaml", "--force")[0] == 0 and load("full.yaml").config.name == "small"
    assert sere("fill", "a.yaml", "-o", "a.yaml/full.yaml")[0] == 4
    filled = json.loads(sere("fill", "a.yaml", "--json")[1])["filled"]
    assert "train.epochs" in filled and "name" not in filled
    assert sere("fill", "gone.yaml")[0] == 2


def test_keys_are_explained(sere: Told) -> None:
    _, out, _ = sere("explain", "a.yaml", "losses.adapt", "--json")
    rows = {row["path"]: row for row in json.loads(out)}
    row = rows["losses.adapt.params.temperature"]
    assert (row["meaning"], row["value"], row["origin"], row["choices"]) == ("how sharp", 0.5, "default", "float, > 0, default 0.5")
    assert rows["losses.adapt.weight"]["meaning"] == "a number, or {start, end, until}"
    _, out, _ = sere("explain", "a.yaml", "task.folds")
    assert out.startswith("task.folds = 5    (default)\n    how many folds")
    code, _, err = sere("explain", "a.yaml", "train.epoch")
    assert code == 2 and "did you mean 'epochs'?" in err


def test_every_key_of_the_default_config_is_explained(sere: Told) -> None:
    _, out, _ = sere("explain", "sere_default", "--json")
    silent = [row["path"] for row in json.loads(out) if not row["meaning"] and not row["section"]]
    assert silent == []


def test_two_configs_differ_in_what_is_resolved(sere: Told, folder: Path) -> None:
    text = (folder / "a.yaml").read_text()
    (folder / "b.yaml").write_text(text.replace("name: small", "name: small\ntrain: {epochs: 20, clip: 2}").replace("resonance", ""))
    _, out, _ = sere("diff", "a.yaml", "b.yaml", "--json")
    found = json.loads(out)
    assert [(row["path"], row["a"], row["b"]) for row in found["differences"]] == [("train.clip", None, 2.0)], "20 epochs are the default"
    assert found["digests"][0] != found["digests"][1] and not found["same"]
    assert "train.clip\n    a: null    (default)\n    b: 2.0    (b.yaml:3:27)" in sere("diff", "a.yaml", "b.yaml")[1]
    assert "values that differ: 0; the digest is the same" in sere("diff", "a.yaml", "a.yaml")[1]


def test_check_reports_every_mistake(sere: Told, folder: Path) -> None:
    code, out, _ = sere("check", "a.yaml")
    assert code == 0 and out.startswith("a.yaml: ok (digest ")
    (folder / "b.yaml").write_text((folder / "a.yaml").read_text() + "train: {epocs: 3, clip: x}\nseed: yes\n")
    code, out, err = sere("check", "b.yaml")
    assert (code, out) == (2, "") and err.count("[C30") == 3
    code, out, err = sere("check", "b.yaml", "--json")
    found = json.loads(out)
    assert (code, err, found["ok"]) == (2, "", False)
    assert [(row["code"], row["line"], row["path"]) for row in found["problems"]] == [
        ("C302", 11, "train.epocs"), ("C302", 11, "train.clip"), ("C307", 12, "seed"),
    ]  # fmt: skip


class Sharp(Params):
    sharpness: float = param(0.5, "how sharp", gt=0, le=1)


def accepts(schema: dict[str, Any], data: Any, root: dict[str, Any]) -> bool:
    """The part of JSON Schema that the schema uses, as small as it can be."""
    if "$ref" in schema:
        return accepts(root["$defs"][schema["$ref"].removeprefix("#/$defs/")], data, root)
    kinds: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    kinds |= {"integer": int, "number": (int, float)}
    is_number, is_map = isinstance(data, (int, float)) and not isinstance(data, bool), isinstance(data, dict)
    properties = schema.get("properties", {})

    def is_a(name: str) -> bool:
        return isinstance(data, kinds[name]) and (name == "boolean" or not isinstance(data, bool))

    def all_of(one: Any, values: Any) -> bool:
        return all(one is True or (one is not False and accepts(one, value, root)) for value in values)

    keywords: dict[str, Callable[[Any], object]] = {
        "type": lambda want: any(is_a(one) for one in ([want] if isinstance(want, str) else want)),
        "const": lambda want: data == want,
        "enum": lambda want: data in want,
        "minimum": lambda want: not is_number or data >= want,
        "maximum": lambda want: not is_number or data <= want,
        "exclusiveMinimum": lambda want: not is_number or data > want,
        "exclusiveMaximum": lambda want: not is_number or data < want,
        "pattern": lambda want: not isinstance(data, str) or re.search(want, data),
        "items": lambda want: not isinstance(data, list) or all_of(want, data),
        "required": lambda want: not is_map or all(name in data for name in want),
        "properties": lambda want: not is_map or all(all_of(one, [data[name]]) for name, one in want.items() if name in data),
        "additionalProperties": lambda want: not is_map or all_of(want, [data[name] for name in data if name not in properties]),
        "anyOf": lambda want: any(accepts(one, data, root) for one in want),
        "oneOf": lambda want: sum(accepts(one, data, root) for one in want) == 1,
        "not": lambda want: not accepts(want, data, root),
        "if": lambda want: not accepts(want, data, root) or accepts(schema["then"], data, root),
    }
    return all(keywords[name](want) for name, want in schema.items() if name in keywords)


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The schema of this environment and a third party's loss."""
    catalog = Catalog(environ={})
    sharp = ComponentSpec(kind="loss", name="sharp", factory="builtins:dict", summary="a third party's", params=Sharp)
    mine = [entry for entry in catalog.entries if entry.distribution == "sere"]
    points = [Entry.of(catalog.find(entry.kind, entry.full_name).spec, name=entry.full_name) for entry in mine]
    return schema(Catalog([*points, Entry.of(sharp, distribution="sere-xyz", namespace="xyz")], environ={}, host_version="0.1.0"))


def plain(path: Path) -> Any:
    """A shipped config as YAML 1.2 readers see it: `1e-3` is a number, as in the engine's own reader."""
    from sere_core.config.yaml_text import read
    from sere_registry import Place

    node = read(path.read_text(encoding="utf-8"), Place(), [])
    assert node is not None
    return node.data()


RUNS = sorted(name for name, path in bundled().items() if "compare" not in plain(path))  # comparisons have a grammar of their own


@pytest.mark.parametrize("name", RUNS)
def test_the_schema_accepts_every_shipped_config(name: str, made: dict[str, Any]) -> None:
    whole = made if not name.endswith("base") else {**made, "then": {}}  # a base alone lacks what those that extend it add
    assert accepts(whole, plain(bundled()[name]), made)


def changed(**sections: Any) -> dict[str, Any]:
    return {**plain(bundled()["sere_default"]), **sections}


@pytest.mark.parametrize(
    "losses",
    [
        {"adapt": {"use": "sharp", "params": {"sharpness": 0.3}, "weight": {"start": 0.0, "end": 1.0}}},
        {"adapt": {"use": "xyz.sharp", "params": {"sharpness": "${vars.s}"}}},
        {"adapt": {"use": "file:./mine.py:SPEC", "params": {"any": 1}}},
        {"adapt": {"weight": 2.0}, "gone": None},
    ],
)
def test_the_schema_accepts(losses: Any, made: dict[str, Any]) -> None:
    assert accepts(made, changed(losses=losses), made)


@pytest.mark.parametrize(
    "sections",
    [
        {"losses": {"adapt": {"use": "sharp", "params": {"sharpnes": 0.3}}}},
        {"losses": {"adapt": {"use": "sharp", "params": {"sharpness": 1.5}}}},
        {"losses": {"adapt": {"use": "sharp", "params": {"sharpness": "much"}}}},
        {"losses": {"adapt": {"use": "sharpp"}}},
        {"losses": {"adapt": {"use": "sharp", "wieght": 1.0}}},
        {"method": {"use": "joint", "weight": 1.0}},
        {"train": {"epocs": 3}},
        {"trian": {}},
        {"sere": 2},
        {"task": {"source": "xa"}},
    ],
)
def test_the_schema_refuses(sections: Any, made: dict[str, Any]) -> None:
    assert not accepts(made, changed(**sections), made)


def test_the_schema_completes_names_and_parameters(made: dict[str, Any]) -> None:
    branches = made["$defs"]["loss_block"]["oneOf"]
    uses = [branch["properties"]["use"]["const"] for branch in branches if "const" in branch["properties"].get("use", {})]
    assert {"tric", "sere.tric", "sharp", "xyz.sharp"} <= set(uses) and len(set(uses)) == len(uses)
    sharp = made["$defs"]["loss.xyz.sharp"]["properties"]["sharpness"]
    assert (sharp["description"], sharp["default"]) == ("how sharp", 0.5)
    references = set()

    def collect(part: Any) -> None:
        for key, value in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
            if key == "$ref":
                references.add(value.removeprefix("#/$defs/"))
            collect(value)

    collect(made)
    assert references <= set(made["$defs"]), "every reference leads somewhere"
    assert json.loads(json.dumps(made)) == made


def test_the_schema_is_written(sere: Told, folder: Path) -> None:
    assert sere("schema", "-o", ".sere/schema.json")[:2] == (0, "")
    assert json.loads((folder / ".sere" / "schema.json").read_text())["title"] == "a config of sere"
    assert json.loads(sere("schema")[1])["$schema"].startswith("https://json-schema.org/")
