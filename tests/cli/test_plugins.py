"""What the commands say of one component, and of plugins that are broken."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import pytest

from sere_core.cli import main, plugins
from sere_core.cli.parameters import kind_of, parameters
from sere_core.config.source_code import has_attribute, module_file, reads
from sere_registry import ComponentSpec, Params, SereError, param
from sere_registry.catalog import Catalog, Entry


class Inner(Params):
    depth: int = param(2, "how deep", ge=1)


class Many(Params):
    root: Path = param(..., "the folder")
    rate: float = param(0.1, "how fast", gt=0, le=1, search=("log", 0.01, 1.0))
    mode: Literal["soft", "hard"] = param("soft", "which way", search=("choice", ["soft", "hard"]))
    words: tuple[str, ...] = param((), "any", max_length=3)
    inner: Inner = param(Inner(), "more")
    floor: int | None = param(None, "null: none")


def spec(name: str = "many", **more: Any) -> ComponentSpec:
    return ComponentSpec(**{"kind": "loss", "name": name, "factory": "builtins:dict", "summary": "a test", **more})


def options(**more: Any) -> Namespace:
    return Namespace(**{"json": False, "traceback": False, "kind": None, **more})


def test_parameters_are_rows_with_types_bounds_defaults_and_search_ranges() -> None:
    rows = {row.name: row for row in parameters(Many)}
    assert list(rows) == ["root", "rate", "mode", "words", "inner", "inner.depth", "floor"]
    assert rows["root"].required and rows["root"].type == "path" and rows["root"].default is None
    assert (rows["rate"].type, rows["rate"].bounds, rows["rate"].search) == ("float", ("> 0", "<= 1"), ("log", 0.01, 1.0))
    assert (rows["mode"].type, rows["mode"].search) == ("'soft' or 'hard'", ("choice", ["soft", "hard"]))
    assert (rows["words"].type, rows["words"].default, rows["words"].bounds) == ("list of str", [], ("length <= 3",))
    assert (rows["inner.depth"].default, rows["inner.depth"].bounds, rows["inner.depth"].description) == (2, (">= 1",), "how deep")
    assert not rows["floor"].required and rows["floor"].type == "int or null"
    json.dumps([asdict(row) for row in rows.values()])


def test_types_are_said_as_a_reader_of_yaml_would() -> None:
    assert kind_of(dict[str, int | None]) == "map of str to int or null" and kind_of(list[Literal[1, 2]]) == "list of 1 or 2"


def fails() -> Any:
    raise ImportError("no module named 'xyz'")


def test_the_broken_ones_are_listed_too(capsys: pytest.CaptureFixture[str]) -> None:
    fine = Entry.of(spec("tric", cite="arXiv:1", evidence="reconstructed"))
    broken = Entry.of(fails, distribution="sere-plugin-xyz", version="0.2", name="xyz.broken", kind="loss")
    known = Catalog([fine, broken], environ={}, host_version="0.1.0")
    assert plugins.show_all(options(), known) == 0
    head, first, second, _, problem, _ = capsys.readouterr().out.splitlines()
    assert head.split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE", "SUMMARY"]
    assert first.split(None, 5) == ["loss", "sere.tric", "sere", "1.0", "loaded", "a test"]
    assert second.split(None, 5) == ["loss", "xyz.broken", "sere-plugin-xyz", "0.2", "broken", "[P102] see below"]
    assert problem.startswith("[P102] loss 'xyz.broken' of sere-plugin-xyz 0.2")
    assert plugins.show_all(options(json=True), known) == 0
    one, other = json.loads(capsys.readouterr().out)["components"]
    assert one == {
        "kind": "loss", "name": "sere.tric", "distribution": "sere", "version": "1.0", "state": "loaded", "summary": "a test",
        "evidence": "reconstructed", "cite": "arXiv:1", "problem": "",
    }  # fmt: skip
    assert other["state"] == "broken" and other["problem"].startswith("[P102]")


def test_a_listing_says_which_names_stand_twice(capsys: pytest.CaptureFixture[str]) -> None:
    twice = [Entry.of(spec(), distribution=f"sere-{letter}", namespace="xyz") for letter in "ab"]
    known = Catalog([*twice, Entry.of(spec("other"), distribution="sere-a", namespace="xyz")], environ={})
    assert plugins.show_all(options(), known) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[4] for line in lines[1:4]] == ["duplicate", "duplicate", "loaded"]
    assert lines[5].startswith("[R203] loss 'xyz.many' is announced by both sere-a 1.0 and sere-b 1.0")
    assert plugins.show_all(options(), Catalog(twice, environ={"SERE_DISABLE": "sere-b"})) == 0
    assert "duplicate" not in capsys.readouterr().out, "one of them is left out"


def test_a_file_without_that_spec_says_which_it_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "from sere_registry import ComponentSpec\n"
    text += 'GAP = ComponentSpec(kind="loss", name="gap", factory="builtins:dict", summary="a test")\n'
    (tmp_path / "one.py").write_text(text)
    assert main(["plugins", "info", f"file:{tmp_path / 'one.py'}:GAB", "--kind", "loss"]) == 3
    assert "one.py has no 'GAB'; did you mean 'GAP'? specs in it: GAP" in capsys.readouterr().err


def test_info_shows_all_that_is_declared(capsys: pytest.CaptureFixture[str]) -> None:
    known = Catalog(
        [Entry.of(spec(params=Many, cite="arXiv:1", evidence="stand-in"), distribution="sere-xyz", namespace="xyz")], environ={}
    )
    assert plugins.show_info(options(name="many"), known) == 0
    text = capsys.readouterr().out
    for part in (
        "loss xyz.many",
        "stand-in",
        "arXiv:1",
        "sere-xyz 1.0",
        "rate: float, > 0, <= 1, default 0.1, search 0.01 to 1.0 (log)",
        "required",
    ):
        assert part in text
    assert plugins.show_info(options(name="xyz.many", json=True), known) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["evidence"] == "stand-in" and [row["name"] for row in about["parameters"]][:2] == ["root", "rate"]


def test_info_of_an_unknown_or_ambiguous_name() -> None:
    known = Catalog([Entry.of(spec("one")), Entry.of(spec("one", kind="view"))], environ={})
    for name, code, hint in (("onne", "R201", "did you mean 'one'?"), ("one", "R202", "--kind loss or --kind view")):
        with pytest.raises(SereError) as caught:
            plugins.show_info(options(name=name), known)
        (problem,) = caught.value.problems
        assert problem.code == code and hint in problem.hint
    assert plugins.show_info(options(name="one", kind="view"), known) == 0


MODULE = """\
import no_such_module_at_all

class Base:
    def forward(self, labelled, *, target): ...

class One(Base):
    pass

class Two:
    def forward(self, source, field): ...
    def sere_step_end(self, run): ...

def build(params, context):
    return One(params) if params else Two(params)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """`module("One")` is the factory of a package whose import fails."""
    (tmp_path / "fragile_package").mkdir()
    (tmp_path / "fragile_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    (tmp_path / "fragile_package" / "code.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda name: f"fragile_package.code:{name}"


def test_what_a_component_reads_is_told_without_importing_it(module: Callable[[str], str]) -> None:
    assert reads("loss", module("One")) == {"One": ("labelled", "target")}, "from its base"
    assert reads("loss", module("build")) == {"One": ("labelled", "target"), "Two": ("source", "field")}
    assert reads("hook", module("Two")) == {"Two": ("sere_step_end",)}
    assert reads("loss", "no_such_module_at_all:X") == {} == reads("encoder", module("One"))
    assert (has_attribute(module("One")), has_attribute(module("Onne")), has_attribute("fragile_package.gone:X")) == (True, False, False)
    assert has_attribute("builtins:dict") is None and module_file("fragile_package.code") is not None
    assert "fragile_package" not in sys.modules


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        ("fixmatch", {"FixMatch": ["target"]}),
        ("coral", {"Coral": ["labelled", "target", "source"]}),
    ],
)
def test_what_first_party_losses_read(loss: str, expected: dict[str, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "info", loss, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["reads"] == expected


def test_the_doctor_names_distribution_version_cause_and_way_out(capsys: pytest.CaptureFixture[str]) -> None:
    def third(target: Any, name: str, number: int, **more: Any) -> Entry:
        return Entry.of(target, distribution=f"sere-plugin-{number}", version=f"0.{number}", name=name, kind="loss", **more)

    points = [
        third(fails, "one.broken", 1),
        third(spec("old"), "two.old", 2, requires=["sere>=9"]),
        third(spec("api", api=99), "three.api", 3),
        third(spec("other"), "four.name", 4),
        third(spec("thief"), "sere.thief", 5),
        third(spec("lost", factory="no_such_module_at_all:X"), "six.lost", 6),
        third(spec("twin"), "twin.twin", 7),
        third(spec("twin"), "twin.twin", 8),
        third(spec("off"), "nine.off", 9),
        third(spec("poor", needs=("no-such-distribution",)), "ten.poor", 10),
    ]
    known = Catalog(points, environ={"SERE_DISABLE": "sere-plugin-9"}, host_version="0.1.0", installed=lambda name: None)
    assert plugins.show_problems(options(json=True), known) == 3
    rows = json.loads(capsys.readouterr().out)["problems"]
    expected = {
        ("sere-plugin-1", "P102"), ("sere-plugin-2", "P103"), ("sere-plugin-3", "P105"), ("sere-plugin-4", "P104"),
        ("sere-plugin-5", "R204"),
        ("sere-plugin-6", "P104"), ("sere-plugin-8", "R203"), ("sere-plugin-9", "P107"), ("sere-plugin-10", "P108"),
    }  # fmt: skip
    assert {(row["distribution"], row["code"]) for row in rows} == expected
    for row in rows:
        assert row["broken"] == (row["code"] not in ("P107", "P108"))
        if row["code"] not in ("P107", "P108"):
            assert row["distribution"] in row["message"] and row["version"] in row["message"] and row["hint"]
    assert plugins.show_problems(options(), known) == 3
    assert "10 components announced, 7 broken, 2 disabled or incomplete" in capsys.readouterr().out


def test_disabled_and_incomplete_components_are_no_defect(capsys: pytest.CaptureFixture[str]) -> None:
    known = Catalog([Entry.of(spec(needs=("no-such-distribution",)))], environ={}, installed=lambda name: None)
    assert plugins.show_problems(options(), known) == 0
    assert "[P108]" in capsys.readouterr().out


def test_damaged_metadata_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    known = Catalog([], environ={})
    known.notes.append("/somewhere/x.dist-info: its metadata cannot be read (KeyError: 'Name')")
    assert plugins.show_problems(options(), known) == 3
    assert "x.dist-info" in capsys.readouterr().out


def test_plugins_of_this_environment_can_be_listed_by_kind_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plugins", "--json"]) == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)["components"]}
    assert {"sere.tric", "sere.irf", "sere.idfe", "sere.joint"} <= names
    assert main(["plugins", "--kind", "view", "--json"]) == 0
    assert {row["kind"] for row in json.loads(capsys.readouterr().out)["components"]} == {"view"}
