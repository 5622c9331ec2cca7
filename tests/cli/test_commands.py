"""The commands: what they pass on, what they print and how they exit."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from argparse import ArgumentParser, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sere_core import __version__
from sere_core.cli import COMMANDS, main, parser, run_main
from sere_registry import error
from sere_registry.errors import CODES


def test_a_run_gets_the_resolved_config_and_the_options(folder: Path, engine: Any) -> None:
    assert run_main(["a.yaml", "--set", "train.epochs=3", "--unset", "select", "--set", "select.use=last", "--seed", "7", "--resume"]) == 0
    ((what, resolved, options),) = engine.calls
    assert what == "run" and options == {"resume": True, "fresh": False, "quiet": False}
    assert (resolved.config.train.epochs, resolved.config.seed, resolved.config.select.use) == (3, 7, "sere.last")


def test_both_ways_to_run_are_the_same_and_a_dry_run_runs_nothing(folder: Path, engine: Any) -> None:
    assert main(["run", "a.yaml", "--fresh", "--quiet"]) == run_main(["a.yaml", "--fresh", "--quiet"]) == 0
    (_, one, options), (_, other, same) = engine.calls
    assert one.config == other.config and options == same == {"resume": False, "fresh": True, "quiet": True}
    engine.calls.clear()
    assert run_main(["a.yaml", "--dry-run"]) == 0
    assert [call[0] for call in engine.calls] == ["dry_run"]


@pytest.mark.parametrize(("code", "status"), [("T501", 1), ("C302", 2), ("D601", 2), ("P102", 3), ("B401", 3), ("X705", 4)])
def test_a_mistake_is_lines_on_stderr_and_the_exit_code_of_its_family(
    folder: Path, engine: Any, capsys: pytest.CaptureFixture[str], code: str, status: int
) -> None:
    engine.raises = error(code, "something", "do this")
    assert run_main(["a.yaml"]) == status
    captured = capsys.readouterr()
    assert captured.err == f"[{code}] something\n    do this\n" and captured.out == ""


def test_a_mistake_in_the_config_is_placed(folder: Path, engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main(["a.yaml", "--set", "losses.adapt.params.temprature=1"]) == 2
    assert capsys.readouterr().err == (
        "--set losses.adapt.params.temprature=1: losses.adapt.params.temprature: [C302] unknown key\n"
        "    did you mean 'temperature'? known keys of parts.tric: temperature\n"
    )
    assert engine.calls == []


def test_a_traceback_is_shown_on_request(folder: Path, engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    engine.raises = error("B401", "something")
    engine.raises.__cause__ = ZeroDivisionError("deep down")
    assert run_main(["a.yaml", "--traceback"]) == 3
    text = capsys.readouterr().err
    assert "Traceback" in text and "ZeroDivisionError: deep down" in text and text.endswith("[B401] something\n")


@pytest.mark.parametrize(
    ("raised", "code", "exit_code", "says"),
    [
        (ZeroDivisionError("a bug"), "T507", 1, "ZeroDivisionError: a bug"),
        (RecursionError(), "T507", 1, "RecursionError"),
        (PermissionError(13, "Permission denied", "/some/file"), "X704", 4, "/some/file"),
        (OSError(28, "No space left on device", "/some/file"), "X705", 4, "/some/file"),
        (MemoryError(), "X706", 4, "memory"),
        (UnicodeEncodeError("ascii", "ü", 0, 1, "no"), "T507", 1, "UnicodeEncodeError"),
    ],
)
def test_what_nobody_expected_is_one_line(
    raised: BaseException, code: str, exit_code: int, says: str, folder: Path, engine: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.raises = raised
    assert run_main(["a.yaml"]) == exit_code
    line, hint = capsys.readouterr().err.splitlines()
    assert line.startswith(f"[{code}] ") and says in line and hint.startswith("    ")
    assert run_main(["a.yaml", "--traceback"]) == exit_code and "Traceback" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(folder: Path, engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    engine.raises = KeyboardInterrupt()
    assert run_main(["a.yaml", "--set", "name=my run", "--unset", "losses.adapt.params", "--seed", "3", "--fresh"]) == 2, "nothing to unset"
    assert run_main(["a.yaml", "--set", "name=my run", "--seed", "3", "--fresh"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == ("interrupted; to go on: sere-run a.yaml --set 'name=my run' --seed 3 --resume"), (
        "and does not begin afresh"
    )


def test_warnings_go_to_stderr_unless_quiet(folder: Path, engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    extra = "encoders.spare={use: parts.tiny}"
    assert run_main(["a.yaml", "--set", extra]) == 0
    assert capsys.readouterr().err.startswith("warning: --set encoders.spare=")
    assert run_main(["a.yaml", "--set", extra, "--quiet"]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "words",
    [[], ["a.yaml", "--resume", "--fresh"], ["a.yaml", "--sed", "1"], ["a.yaml", "--seed", "x"], ["a.yaml", "b.yaml"], ["a.yaml", "--set"]],
)
def test_wrong_usage_exits_with_2(folder: Path, engine: Any, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run_main(words)
    assert caught.value.code == 2 and "usage: sere" in capsys.readouterr().err and engine.calls == []


def test_sere_alone_shows_its_commands_and_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    text = capsys.readouterr().err
    assert all(command in text for command in ("run", "config", "corpora", "plugins", "explain"))


@pytest.mark.parametrize("command", [main, run_main])
def test_the_version(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(["--version"])
    assert caught.value.code == 0 and capsys.readouterr().out == f"sere {__version__}\n"


def test_a_shown_config_is_complete_and_can_be_run(folder: Path, engine: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "a.yaml", "--set", "train.epochs=4"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# digest ") and "temperature: 0.5" in text and "epochs: 4" in text
    (folder / "shown.yaml").write_text(text)
    assert main(["config", "show", "shown.yaml"]) == 0
    again = capsys.readouterr().out
    assert again.splitlines()[1:] == text.splitlines()[1:]
    assert again.split(",")[0] == text.split(",")[0], "the digest is the same"


@pytest.mark.parametrize("code", CODES)
def test_every_code_is_explained(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", code.lower()]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{code}: {CODES[code]}.") and "exit code is" in text


def test_codes_are_explained_as_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "p103", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["code"], about["meaning"], about["exit_code"]) == ("P103", CODES["P103"], 3) and about["hint"]
    assert main(["explain", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == CODES


def test_an_unknown_code_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "C3O2"]) == 2
    assert "did you mean 'C302'?" in capsys.readouterr().err
    assert main(["explain"]) == 0
    assert all(code in capsys.readouterr().out.split() for code in ["C301"])


def modules(script: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", script + "\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("words", ["--help", "run --help", "plugins", "explain C302", "config show sere_default"])
def test_reading_commands_import_neither_torch_nor_numpy(words: str) -> None:
    loaded = modules(f"from sere_core.cli import main\ntry:\n    assert main({words.split()!r}) == 0\nexcept SystemExit:\n    pass")
    assert not loaded & {"torch", "numpy", "transformers", "librosa", "sere_core.run", "sere_core.compare"}


def test_a_closed_pipe_is_no_mistake() -> None:
    script = "import sys\nfrom sere_core.cli import main\nsys.exit(main(['explain']))"
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    text = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait() == 0 and "Traceback" not in text


def commands(made: ArgumentParser) -> Iterator[ArgumentParser]:
    """Every command that does something, those below a group too."""
    if "run" in made._defaults:
        yield made
    for action in made._actions:
        if isinstance(action, _SubParsersAction):
            for below in dict.fromkeys(action.choices.values()):
                yield from commands(below)


@pytest.mark.parametrize(
    "command",
    [each for name in COMMANDS for each in commands(parser(name)) if each.prog.split()[1] == name],
    ids=lambda command: str(command.prog),
)
def test_every_command_shows_examples_that_it_understands(command: ArgumentParser) -> None:
    lines = re.findall(r"^  (?:.*\| )?(sere(?:-run)? .*)$", command.epilog or "", re.MULTILINE)
    assert lines, f"{command.prog} shows no example"
    for line in lines:
        program, *words = shlex.split(line.partition(" | ")[0], comments=True)
        words = ["run", *words] if program == "sere-run" else words
        found = parser(words[0]).parse_args(words)
        assert found.run == command.get_default("run"), line
