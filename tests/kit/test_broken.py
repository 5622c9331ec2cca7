"""The kit on deliberately broken plugins: each fails the check that names its fault, and no other."""

from __future__ import annotations

import json
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from sere_core.cli import run_main
from sere_core.cli.plugins import check
from sere_core.testing import check_component, checks, harness, run_checks
from sere_core.testing.harness import blocked
from sere_core.testing.integration import BASE
from sere_registry import API, GROUPS, ComponentSpec, NoParams, Params, param
from sere_registry.catalog import Catalog, Entry
from tests.kit.broken import FAULTS, GoodLoss

GOOD = {kind: f"Good{kind.title()}" for kind in GROUPS}


def spec(kind: Any, factory: str, **more: Any) -> ComponentSpec:
    made: dict[str, Any] = {"name": "thing", "factory": f"tests.kit.broken:{factory}", "summary": "a plugin under test", **more}
    return ComponentSpec(kind=kind, **made)


def catalog(made: Any, **more: Any) -> Catalog:
    told = {"distribution": "sere-xyz", "namespace": "xyz", "requires": ["sere>=0.1,<0.2"], **more}
    return Catalog([Entry.of(made, **told)], environ={})


def failed(kind: str, given: Catalog, name: str = "xyz.thing") -> set[str]:
    """The ids of the checks that the component fails."""
    return {result.id for result in run_checks(kind, name, catalog=given) if result.passed is False}


@pytest.mark.parametrize("factory", FAULTS)
def test_a_fault_of_behaviour_fails_its_check(factory: str) -> None:
    id = FAULTS[factory][0]
    area = id.partition(".")[0]
    kind = {"build": "loss", "integration": "hook"}.get(area, area)
    assert failed(kind, catalog(spec(kind, factory))) == {id}


@pytest.mark.parametrize(("kind", "factory"), [*GOOD.items(), ("loss", "Teaches"), ("loss", "Adversary")])
@pytest.mark.slow
def test_what_is_not_broken_passes_everything(kind: str, factory: str) -> None:
    check_component(kind, "xyz.thing", catalog=catalog(spec(kind, factory)))


class Undescribed(Params):
    size: int = 3


class ChangesOnTheWay(Params):
    size: float = param(0.5, "its default is below its bound", ge=1)


class Unread(Params):
    promised: int = param(3, "which nothing reads")


class DoublesOnTheWay(Params):
    size: int = param(3, "twice as large each time it is validated, which its default is not")

    @field_validator("size")
    @classmethod
    def twice(cls, value: int) -> int:
        return 2 * value


#: what is wrong -> the one check that fails, the spec, how it is announced
DECLARED: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "wrong kind": ("static.metadata", spec("view", "GoodView"), {"kind": "loss"}),
    "wrong api": ("static.metadata", spec("loss", "GoodLoss", api=99), {}),
    "no spec": ("static.metadata", "not a spec", {"kind": "loss", "name": "xyz.thing"}),
    "no namespace": ("static.names", spec("loss", "GoodLoss"), {"name": "thing"}),
    "usurper": ("static.names", spec("loss", "GoodLoss"), {"namespace": "sere"}),
    "parameter": ("static.descriptions", spec("loss", "GoodLoss", params=Undescribed), {}),
    "summary": ("static.descriptions", spec("loss", "GoodLoss", summary=""), {}),
    "default": ("static.schema", spec("loss", "GoodLoss", params=ChangesOnTheWay), {}),
    "no upper bound": ("static.bounds", spec("loss", "GoodLoss"), {"requires": ["sere>=0.1"]}),
    "no bound": ("static.bounds", spec("loss", "GoodLoss"), {"requires": []}),
    "unread": ("build.reads_params", spec("loss", "GoodLoss", params=Unread), {}),
    "validator": ("build.params", spec("loss", "GoodLoss", params=DoublesOnTheWay), {}),
}


@pytest.mark.parametrize(("id", "made", "more"), DECLARED.values(), ids=DECLARED)
def test_a_fault_of_the_declaration_fails_its_check(id: str, made: Any, more: dict[str, Any]) -> None:
    given = catalog(made, **more)
    name = given.entries[0].full_name
    assert failed(given.entries[0].kind, given, name) == {id}


MODULE = """
from sere_registry import ComponentSpec
{line}
SPEC = ComponentSpec(kind="loss", name="thing", factory="tests.kit.broken:GoodLoss", summary="a plugin under test")
"""


#: the check that fails -> a line of the module that holds the spec
IMPORTED = {
    "hygiene.no_torch": "import torch",
    "hygiene.silent": "print('thank you for installing thing')",
    "hygiene.no_network": "import socket\ntry:\n    socket.create_connection(('localhost', 9), 1)\nexcept OSError:\n    pass",
}


@pytest.mark.parametrize(("id", "line"), IMPORTED.items())
def test_a_fault_of_an_import_fails_its_check(
    id: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"xyz_{id.replace('.', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE.format(line=line))
    monkeypatch.syspath_prepend(tmp_path)
    import importlib

    announced = Entry.of(lambda: importlib.import_module(name).SPEC, distribution="sere-xyz", requires=["sere<1"], name="xyz.thing")
    point = replace(announced, value=f"{name}:SPEC")
    assert failed("loss", Catalog([point], environ={})) == {id}
    sys.modules.pop(name, None)


#: the check that `test_a_wheel_that_installs_a_generic_name_fails_its_check` is about
INSTALLED = "static.top_level"


def test_a_wheel_that_installs_a_generic_name_fails_its_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "sere_xyz-1.0.dist-info"
    record = ("xyz/__init__.py", "tests/__init__.py", f"{info.name}/RECORD")
    for name in record:  # a reader of metadata may leave out what is written down but not there
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sere-xyz\nVersion: 1.0\nRequires-Dist: sere<1\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in record))
    monkeypatch.syspath_prepend(tmp_path)
    assert failed("loss", catalog(spec("loss", "GoodLoss"))) == {INSTALLED}


#: what the module of a loss does -> how the note names it
REACHES = {
    "open": "def forward(self): return open('a')",
    "path.read_text": "def forward(path): return path.read_text()",
    "os.scandir": "import os\ndef forward(): return os.scandir('.')",
    "gc": "import gc",
    "sys._getframe": "import sys\nframe = sys._getframe",
    "inspect.stack": "from inspect import stack",
    "sere_core.plan": "from sere_core import plan",
    "sere_core.score.scores": "import sere_core.score.scores",
}


@pytest.mark.parametrize(("what", "code"), REACHES.items())
def test_code_that_could_read_target_labels_is_noted_with_its_place(what: str, code: str, tmp_path: Path) -> None:
    """In a loss, which passes all the same; an encoder may read files."""
    called = code if what != "sys._getframe" else code + "()"
    for kind in ("loss", "encoder"):
        path = tmp_path / f"{kind}.py"
        path.write_text(
            f"{MODULE.format(line='').replace('loss', kind)}\n\ndef never():\n" + "".join(f"    {line}\n" for line in called.splitlines())
        )
        others = ("hygiene.", "build.", f"{kind}.", "integration.")
        (told,) = [each for each in run_checks(kind, f"file:{path}:SPEC", skip=others) if each.id == "static.label_access"]
        assert told.passed is True
        assert (f"{path}:" in told.message and what in told.message) == (kind == "loss"), told.message


def test_a_component_of_one_file_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever its path is relative to: the config that the kit runs it with lies in a folder of its own."""
    (tmp_path / "thing.py").write_text(MODULE.format(line=""))
    monkeypatch.chdir(tmp_path)
    check_component("loss", "file:./thing.py:SPEC")


def test_the_network_is_named_and_let_be_afterwards() -> None:
    (told,) = [
        result for result in run_checks("loss", "thing", catalog=catalog(spec("loss", "CallsHomeWhenBuilt"))) if result.passed is False
    ]
    assert told.message.startswith("it uses the network (socket.getaddrinfo to 192.0.2.1)")
    listening = socket.socket()
    listening.bind(("localhost", 0))
    listening.close()
    with blocked() as tried, pytest.raises(OSError, match="the network is blocked"):
        socket.getaddrinfo("sere.invalid", 80)
    assert tried == ["socket.getaddrinfo to sere.invalid"]
    with blocked() as tried:
        for end in socket.socketpair():
            end.close()
    assert tried == [], "processes of this machine talk to each other by sockets too"


def test_a_note_is_printed_and_fails_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "thing.py").write_text(MODULE.format(line="import subprocess"))
    check_component("loss", f"file:{tmp_path}/thing.py:SPEC", skip=("integration.",))
    assert check([f"loss=file:{tmp_path}/thing.py:SPEC"], False) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert (
        first.startswith("passed ") and second.startswith("    note: static.label_access: ") and "thing.py:3 imports subprocess" in second
    )


def test_a_package_for_an_older_contract_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """P105 names both versions, in `sere plugins check`, in a run that names it, and in no other."""
    info = tmp_path / "sere_old-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sere-old\nVersion: 1.0\nRequires-Dist: sere<1\n")
    (info / "entry_points.txt").write_text("[sere.losses]\nold.thing = sere_old:SPEC\n")
    (tmp_path / "sere_old.py").write_text(MODULE.format(line="").replace('name="thing"', 'name="thing", api=1'))
    monkeypatch.syspath_prepend(tmp_path)
    assert check(["sere-old"], False) == 3
    _, *told = capsys.readouterr().out.splitlines()
    (line,) = (line for line in told if "P105" in line)
    assert line.startswith("    static.metadata: [P105]") and all(word in line for word in ("sere-old 1.0", "api 1", f"api {API}"))
    config = json.dumps({"extends": str(BASE), "losses": {"one": {"use": "old.thing"}}})
    (tmp_path / "old.yaml").write_text(config)
    assert run_main([str(tmp_path / "old.yaml"), "--dry-run"]) == 3
    assert "P105" in capsys.readouterr().err
    sys.modules.pop("sere_old", None)


def test_an_expected_failure_is_excused_and_a_stale_one_is_not() -> None:
    given = catalog(spec("loss", "OrderSensitive"))
    check_component("loss", "thing", catalog=given, expected_failures={"loss.permutation": "on purpose"})
    with pytest.raises(AssertionError, match=r"loss\.permutation: the term 'gap'"):
        check_component("loss", "thing", catalog=given)
    with pytest.raises(AssertionError, match=r"loss\.scalar: expected to fail \(why\), and passes"):
        check_component("loss", "thing", catalog=given, expected_failures={"loss.permutation": "on purpose", "loss.scalar": "why"})
    with pytest.raises(AssertionError, match=r"loss\.typo: there is no such check"):
        check_component("loss", "thing", catalog=given, expected_failures={"loss.permutation": "on purpose", "loss.typo": "why"})


def test_what_an_expected_failure_stands_before_is_excused_too() -> None:
    """loss.float64 comes after loss.gradient, and that after loss.finite: none of them is run."""
    check_component("loss", "thing", catalog=catalog(spec("loss", "NotFinite")), expected_failures={"loss.finite": "on purpose"})


class Rooted(NoParams):
    root: Path = param(..., "where it is")


def test_a_parameter_without_a_value_is_not_a_failure_and_not_a_pass() -> None:
    given = catalog(spec("loss", "GoodLoss", params=Rooted))
    assert failed("loss", given) == set()
    with pytest.raises(AssertionError, match=r"build\.params: it needs values for root"):
        check_component("loss", "thing", catalog=given)


@pytest.mark.parametrize("kind", GROUPS)
def test_every_check_has_a_plugin_that_fails_it(kind: str) -> None:
    """A check that nothing has ever failed may be one that nothing can fail."""
    anywhere = {id for id, _, _ in DECLARED.values()} | IMPORTED.keys() | {INSTALLED}
    anywhere |= {"static.label_access"} | {id for id, _, _ in FAULTS.values()}
    bare = [check.id for check in checks(kind) if check.id not in anywhere]
    assert not bare, f"no broken plugin in these tests fails {', '.join(bare)}: add one to FAULTS in tests/kit/broken.py"


@pytest.mark.parametrize("kind", GROUPS)
def test_ids_are_unique_and_say_something(kind: str) -> None:
    found = checks(kind)
    assert len({check.id for check in found}) == len(found)
    assert all(check.claim.endswith(".") and "\n" not in check.claim for check in found)


class Endless(GoodLoss):
    def forward(self, labelled: Any) -> Any:
        while True:
            pass


def test_what_does_not_end_fails_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "LIMIT", 5.0)
    signal.setitimer(signal.ITIMER_REAL, 1000)
    try:
        one = replace(spec("loss", "GoodLoss"), factory="tests.kit.test_broken:Endless")
        result = {each.id: each for each in run_checks("loss", "xyz.thing", catalog=catalog(one))}["loss.scalar"]
        assert result.passed is False and "TimeoutError: it is not done after 5 s" in result.message
        assert 900 < signal.getitimer(signal.ITIMER_REAL)[0] < 1000, "the caller's timer goes on"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
