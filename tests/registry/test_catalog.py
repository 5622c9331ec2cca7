"""Finding components by name: what works, and the one line that says why something does not."""

from __future__ import annotations

import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_core.cli import plugins
from sere_registry import ComponentSpec, Place, SereError
from sere_registry.catalog import Catalog, Entry
from sere_registry.kinds import API, GROUPS


def spec(name: str = "focal", **changes: Any) -> ComponentSpec:
    return ComponentSpec(**{"kind": "loss", "name": name, "factory": "builtins:dict", "summary": "a test", **changes})


def third(target: Any, namespace: str = "xyz", **changes: Any) -> Entry:
    return Entry.of(target, **{"distribution": f"sere-plugin-{namespace}", "version": "0.2", "namespace": namespace, **changes})


def catalog(*points: Entry, **changes: Any) -> Catalog:
    return Catalog(points, **{"environ": {}, "host_version": "0.1.0", **changes})


def problem(action: Callable[[], Any]) -> tuple[str, str, str]:
    """Code, message and hint of the single problem that `action` raises, at the place it was asked for."""
    with pytest.raises(SereError) as caught:
        action()
    (one,) = caught.value.problems
    return one.code, one.message, one.hint


def test_short_and_full_names_find_the_component_while_the_short_one_is_unique() -> None:
    known = catalog(Entry.of(spec("tric")), third(spec("focal")))
    assert known.find("loss", "tric").full_name == "sere.tric"
    assert known.find("loss", "sere.tric").spec.name == "tric"
    found = known.find("loss", "focal")
    assert (found.full_name, found.distribution, found.version, found.state) == ("xyz.focal", "sere-plugin-xyz", "0.2", "loaded")
    for kind in GROUPS:
        assert catalog(Entry.of(spec(kind=kind))).find(kind, "focal").kind == kind


def test_nothing_is_imported_before_a_component_is_found() -> None:
    imported: list[str] = []

    def announce(name: str) -> Entry:
        def load() -> ComponentSpec:
            imported.append(name)
            return spec(name)

        return third(load, name=f"xyz.{name}")

    known = catalog(announce("one"), announce("two"))
    assert known.names("loss") == ["one", "two"] and imported == []
    known.find("loss", "two")
    known.find("loss", "two")
    assert imported == ["two"]


def test_an_unknown_name_gets_a_suggestion_the_list_and_its_place() -> None:
    known = catalog(Entry.of(spec("tric")), Entry.of(spec("coral")))
    assert problem(lambda: known.find("loss", "trik")) == ("R201", "no loss named 'trik'", "did you mean 'tric'? losses: coral, tric")
    assert problem(lambda: known.find("loss", "sere.trik"))[2] == "did you mean 'sere.tric'? losses: sere.coral, sere.tric"
    assert problem(lambda: known.find("loss", "Tric"))[0] == "R201", "names are exact"
    known = catalog(Entry.of(spec("tiny", kind="encoder")), Entry.of(spec("tric")))
    assert problem(lambda: known.find("loss", "tiny")) == ("R201", "'tiny' is an encoder, not a loss", "losses: tric")
    with pytest.raises(SereError) as caught:
        catalog().find("loss", "x", Place("a.yaml", 3, 4, "losses.a.use"))
    assert str(caught.value).startswith("a.yaml:3:4: losses.a.use: [R201]")


def test_an_ambiguous_short_name_asks_for_a_full_one() -> None:
    known = catalog(Entry.of(spec("tric")), third(spec("tric")))
    code, message, hint = problem(lambda: known.find("loss", "tric"))
    assert (code, message) == ("R202", "'tric' is the short name of several losses")
    assert hint == "write one of the full names: sere.tric, xyz.tric"
    assert known.find("loss", "xyz.tric").distribution == "sere-plugin-xyz"
    assert known.names("loss") == ["sere.tric", "xyz.tric"], "listings show the names that work"
    assert known.find("loss", "tric", disable=["Sere_Plugin.XYZ"]).full_name == "sere.tric", "disabling one makes it unique"


def test_two_distributions_with_one_full_name_fail_at_use_and_name_both() -> None:
    known = catalog(third(spec()), third(spec(), distribution="other", version="3"), third(spec("safe")))
    code, message, _ = problem(lambda: known.find("loss", "focal"))
    assert code == "R203" and "other 3" in message and "sere-plugin-xyz 0.2" in message
    assert known.find("loss", "safe").state == "loaded"
    assert catalog(third(spec()), third(spec())).find("loss", "focal").full_name == "xyz.focal"


def test_the_namespace_of_sere_is_reserved_and_an_intruder_does_not_hide_the_real_one() -> None:
    known = catalog(Entry.of(spec("tric")), third(spec("tric"), "sere"), third(spec("other"), "sere"))
    assert known.find("loss", "tric").distribution == "sere"
    code, message, hint = problem(lambda: known.find("loss", "sere.other"))
    assert code == "R204" and "sere-plugin-sere 0.2" in message and "sere-plugin-sere" in hint


@pytest.mark.parametrize(
    ("requires", "host", "fits"),
    [
        (["sere>=0.5"], "0.1.0", False),
        (["SERE <0.2,>=0.1"], "0.1.0", True),
        (["sere>=0.5; extra == 'new'"], "0.1.0", True),
        (["sere>=0.5; python_version > '3'"], "0.1.0", False),
        (["torch>=9", "not a requirement !"], "0.1.0", True),
        (["sere>=0.1"], "0.1.0.dev1", False),
        (["sere>=0.1"], "0.2.0rc1", True),
    ],
)
def test_the_host_version_is_checked_before_import(requires: list[str], host: str, fits: bool) -> None:
    imported: list[str] = []

    def load() -> ComponentSpec:
        imported.append("focal")
        return spec()

    known = catalog(third(load, name="xyz.focal", requires=requires), host_version=host)
    if fits:
        assert known.find("loss", "focal").state == "loaded"
    else:
        code, message, _ = problem(lambda: known.find("loss", "focal"))
        assert code == "P103" and "sere-plugin-xyz 0.2 needs sere>=0." in message and message.endswith(f"this is sere {host}")
        assert imported == [] and known.entries[0].state == "incompatible"


def raising(error: BaseException) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


@pytest.mark.parametrize("error", [ModuleNotFoundError("No module 'nope'"), AttributeError("SPEC"), SystemExit(3), SyntaxError("bad")])
def test_a_plugin_that_fails_to_import_is_named_with_its_cause_and_harms_nobody_else(error: BaseException) -> None:
    known = catalog(third(raising(error), name="xyz.broken"), third(spec("fine")), Entry.of(spec("tric")))
    for _ in range(2):  # the second time from memory
        with pytest.raises(SereError) as caught:
            known.find("loss", "broken")
        text = str(caught.value)
        assert "[P102]" in text and "sere-plugin-xyz 0.2" in text and type(error).__name__ in text and str(error) in text
        assert caught.value.__cause__ is error
    assert known.find("loss", "fine").state == known.find("loss", "tric").state == "loaded"


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even this fails")


class Quits(BaseException):
    """As pytest's `skip` is one: no `Exception`."""


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (Speechless(), "Speechless"),
        (Quits("now"), "Quits: now"),
        (ValueError("one\n  two\n"), "ValueError: one two"),
        (OSError(), "OSError"),
    ],
)
def test_whatever_a_plugin_raises_is_one_line(error: BaseException, says: str) -> None:
    code, message, _ = problem(lambda: catalog(third(raising(error), name="xyz.broken")).find("loss", "broken"))
    assert code == "P102" and message.endswith(f"(in:memory): {says}")


def test_what_a_plugin_prints_when_it_is_imported_is_not_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    def load() -> ComponentSpec:
        print("thank you for installing focal")
        return spec()

    catalog(third(load, name="xyz.focal")).find("loss", "focal")
    out, err = capsys.readouterr()
    assert out == "" and "thank you" in err


def test_an_interrupt_during_an_import_is_no_mistake_of_the_plugin() -> None:
    with pytest.raises(KeyboardInterrupt):
        catalog(third(raising(KeyboardInterrupt()), name="xyz.slow")).find("loss", "slow")


@pytest.mark.parametrize(
    ("target", "name", "says"),
    [
        (42, "xyz.focal", "is not a ComponentSpec but int"),
        (spec(kind="encoder"), "xyz.focal", "is an encoder, not a loss"),
        (spec("other"), "xyz.focal", "calls itself 'other', the entry point calls it 'focal'"),
        (spec(), "focal", "without a namespace"),
        (spec(params=dict), "xyz.focal", "not a subclass of Params"),
        (spec(api="1"), "xyz.focal", "has `api` '1', which is not a whole number"),
        (spec(needs="av"), "xyz.focal", "has `needs` 'av', which is not a tuple of text"),
        (spec(summary=None), "xyz.focal", "has `summary` None, which is not text"),
        (spec(evidence="sure"), "xyz.focal", "has `evidence` 'sure'"),
        (spec(kind=["loss"]), "xyz.focal", "is ['loss'], not a loss"),
    ],
)
def test_an_entry_point_that_is_not_what_it_says_is_refused(target: Any, name: str, says: str) -> None:
    known = catalog(third(lambda: target, name=name, kind="loss"))
    code, message, hint = problem(lambda: known.find("loss", "focal"))
    assert code == "P104" and says in message and "SERE_DISABLE=sere-plugin-xyz" in hint


@pytest.mark.parametrize(("api", "update"), [(API - 1, "update sere-plugin-xyz"), (API + 1, "update sere")])
def test_a_package_of_another_api_is_one_line_and_hides_nothing_else(api: int, update: str, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = [third(spec(name, kind=kind, api=api)) for kind, name in (("loss", "focal"), ("loss", "other"), ("view", "gain"))]
    known = catalog(*theirs, Entry.of(spec("tric")))
    code, message, hint = problem(lambda: known.find("loss", "focal"))
    assert code == "P105" and hint.startswith(update) and f"api {api}" in message and f"api {API}" in message
    assert "sere-plugin-xyz" in message
    assert known.find("loss", "tric").full_name == "sere.tric", "other runs go on"
    for show, code in ((plugins.show_all, 0), (plugins.show_problems, 3)):
        assert show(Namespace(json=False, traceback=False, kind=None), known) == code
        assert sum(line.startswith("[P105] sere-plugin-xyz") for line in capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("environ", "disable", "reason"),
    [
        ({"SERE_DISABLE": "a, sere-plugin-xyz"}, (), "SERE_DISABLE"),
        ({"SERE_NO_PLUGINS": "1"}, (), "SERE_NO_PLUGINS"),
        ({}, ("sere_plugin_xyz",), "plugins.disable"),
    ],
)
def test_a_disabled_plugin_is_not_imported_and_says_who_disabled_it(environ: dict[str, str], disable: tuple[str, ...], reason: str) -> None:
    known = catalog(third(raising(RuntimeError("imported")), name="xyz.focal"), Entry.of(spec("tric")), environ=environ)
    code, message, _ = problem(lambda: known.find("loss", "focal", disable=disable))
    assert code == "P107" and message.endswith(f"is disabled by {reason}")
    assert known.find("loss", "tric", disable=disable).full_name == "sere.tric"
    assert catalog(third(spec()), environ={"SERE_NO_PLUGINS": "0"}).find("loss", "focal").state == "loaded", "0 means off"


@pytest.mark.parametrize(
    ("make", "needs", "extra", "hint"),
    [
        (Entry.of, ("av",), "avi", 'pip install "sere[avi]"'),
        (Entry.of, ("no-such-dist:no_such.module",), "", "pip install no-such-dist"),
        (third, ("no-such-dist",), "fast", 'pip install "sere-plugin-xyz[fast]"'),
        (Entry.of, ("pydantic", "PyYAML:yaml"), "", ""),
    ],
)
def test_a_missing_extra_is_found_without_import_and_says_how_to_install_it(
    make: Callable[[ComponentSpec], Entry], needs: tuple[str, ...], extra: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)  # hides it where it is installed
    known = catalog(make(spec(needs=(*needs, "pydantic:pydantic"), extra=extra)), installed={"sere": "0.1.0"}.get)
    if not hint:
        assert known.find("loss", "focal").state == "loaded"
        return
    code, message, got = problem(lambda: known.find("loss", "focal"))
    assert (code, got) == ("P108", hint) and f"needs {needs[0].partition(':')[0]}, which is not installed" in message
    assert f"of {known.entries[0].owner} needs" in message and known.entries[0].state == "incomplete"


def test_required_distributions_are_checked_from_metadata() -> None:
    known = catalog(installed={"sere-plugin-xyz": "0.2"}.get)
    known.require("sere-plugin-xyz>=0.1,<0.3")
    assert problem(lambda: known.require("sere-plugin-abc>=1")) == (
        "P101",
        "sere-plugin-abc is not installed",
        'pip install "sere-plugin-abc>=1"',
    )
    assert problem(lambda: known.require("sere-plugin-xyz>=0.3"))[1] == "sere-plugin-xyz>=0.3 is required, installed is sere-plugin-xyz 0.2"
    assert problem(lambda: known.require("a b c"))[0] == "C302"


def test_a_listing_shows_every_entry_with_its_state_and_never_fails() -> None:
    known = catalog(
        Entry.of(spec("tric")),
        third(raising(ImportError("x")), name="xyz.broken"),
        third(spec(), requires=["sere>=9"]),
        third(spec("other"), "sere"),
        third(spec("off"), "off"),
        environ={"SERE_DISABLE": "sere-plugin-off"},
    )
    states = {entry.full_name: (entry.state, entry.problem.code if entry.problem else "") for entry in known.inspect()}
    assert states == {
        "sere.tric": ("loaded", ""),
        "xyz.broken": ("broken", "P102"),
        "xyz.focal": ("incompatible", "P103"),
        "sere.other": ("broken", "R204"),
        "off.off": ("disabled", "P107"),
    }


LOCAL = """
from sere_registry import ComponentSpec
class Mine:
    def __init__(self, params, context): self.context = context
SPEC = ComponentSpec(kind="loss", name="mine", factory=f"{__name__}:Mine", summary="mine")
"""


def test_a_component_in_a_file_needs_no_package(tmp_path: Path) -> None:
    file = tmp_path / "my_loss.py"
    file.write_text(LOCAL)
    entry = catalog(imports="files").find("loss", f"file:{file}:SPEC")
    assert entry.spec.name == "mine" and entry.distribution == str(file)
    assert entry.spec.load()(None, "context").context == "context", "the factory of its own module can be imported"


@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("file:{}/none.py:SPEC", "C304", "No such file"),
        ("file:{}/my.py:NOPE", "P102", "NOPE"),
        ("file:{}/my.py", "C302", "which object of which file"),
        ("file:", "C302", "which object of which file"),
        ("file:{}/bad.py:SPEC", "P102", "bad.py:2): ZeroDivisionError"),
        ("file:{}/my.py:Mine", "P104", "is not a ComponentSpec"),
        ("file:{}/my.txt:SPEC", "P102", "not a Python file"),
    ],
)
def test_a_component_in_a_file_fails_in_one_line(tmp_path: Path, name: str, code: str, says: str) -> None:
    for file, text in {"my.py": LOCAL, "bad.py": "\n1/0", "my.txt": ""}.items():
        (tmp_path / file).write_text(text)
    got, message, _ = problem(lambda: catalog(imports="files").find("loss", name.format(tmp_path)))
    assert got == code and says in message


def install(folder: Path, name: str, entry_points: str, metadata: str | None = None) -> None:
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n" if metadata is None else metadata
    (info / "METADATA").write_text(text)
    (info / "entry_points.txt").write_text(entry_points)


def test_damaged_metadata_hides_only_its_own_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "zzz-good", "[sere.losses]\nzzz.good = zzz_good:SPEC\n")
    install(tmp_path, "zzz-damaged", "[sere.losses]\nthis line has no equals sign\n")
    install(tmp_path, "zzz-nameless", "[sere.losses]\nzzz.odd = zzz_odd:SPEC\n", metadata="")
    (tmp_path / "zzz_good.py").write_text(LOCAL.replace('"mine"', '"good"', 1))
    monkeypatch.syspath_prepend(tmp_path)
    known = Catalog(environ={})
    entry = known.find("loss", "good")
    assert (entry.full_name, entry.distribution, entry.version) == ("zzz.good", "zzz-good", "1.0")


def test_asking_for_names_imports_neither_torch_nor_numpy_nor_a_plugin() -> None:
    script = (
        "import sys\nfrom sere_registry.catalog import Catalog\nknown = Catalog()\nnames = known.names('loss')\n"
        "heavy = {'torch', 'numpy', 'sere_plugins', 'yaml'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
