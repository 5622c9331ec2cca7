"""The commands `sere` and `sere-run`.

`sere --help` imports none of their modules, and a command only its own; these import torch, numpy and what needs them only
inside a command.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import sere_core
from sere_core.streams import is_stuck, open_streams, silence

if TYPE_CHECKING:
    from sere_registry.errors import SereError

#: command -> the module that has its parser and does its work, and what help says of it
COMMANDS = {
    "init": ("init", "look at two corpora and write a config for them"),
    "run": ("run", "run a config (the same as sere-run)"),
    "train": ("train", "train a model that predicts on new audio"),
    "export": ("train", "make a model of a finished run"),
    "push": ("train", "put a model on the Hugging Face hub"),
    "predict": ("predict", "predict emotions with a trained model"),
    "annotate": ("annotate", "label the few utterances that would help a model most"),
    "config": ("config", "show, check, explain and compare configs"),
    "compare": ("compare", "run rows x pairs x seeds under one harness, prove them equal but for what is varied, and test"),
    "work": ("work", "run the open jobs of a comparison or sweep, beside other workers"),
    "sweep": ("compare", "search settings for all rows of a comparison, without target labels"),
    "table": ("compare", "print a table of a comparison or sweep"),
    "report": ("compare", "write the report of a run, a comparison or a sweep into its folder: report.html"),
    "corpora": ("corpora", "check a corpus folder"),
    "plugins": ("plugins", "list the components of this environment; begin a new plugin"),
    "resonance": ("pictures", "draw what a trained run's field sees between two utterances"),
    "embeddings": ("pictures", "draw where runs put the scored utterances, side by side"),
    "doctor": ("doctor", "is this environment fit for a run?"),
    "explain": ("explain", "explain an error code"),
}

#: what the names of variables begin with that libraries read
_READ_BY_LIBRARIES = {"TORCH", "PYTORCH", "CUDA", "HF", "TRANSFORMERS", "NUMBA", "MPL", "MPLBACKEND", "OMP", "MKL", "KMP", "TRITON", "DASK"}


def main(argv: Sequence[str] | None = None) -> int:
    """The command `sere`; returns its exit code.  Whatever goes wrong is printed as coded lines."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            open_streams()
            return _run(words)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `sere plugins | head`
        silence(sys.stdout)
        return 0
    except Exception as problem:
        if isinstance(problem, OSError) and is_stuck(sys.stdout):  # a full disk, or a terminal that is gone
            silence(sys.stdout)
        mistake = _mistake(problem)
        with contextlib.suppress(OSError):  # of stderr; the exit code is left to say it
            if "--traceback" in words:
                from traceback import print_exception

                print_exception(mistake)
                print(file=sys.stderr)
            print(mistake, file=sys.stderr)
        return mistake.exit_code
    finally:
        if is_stuck(sys.stderr):
            silence(sys.stderr)


def _run(words: list[str]) -> int:
    if words and words[0] in COMMANDS:
        from sere_core.environment import prepare_command

        prepare_command()
    made = parser(words[0] if words else "")
    arguments = made.parse_args(words, Namespace(words=["sere", *words]))
    if "run" not in arguments:
        made.print_help(sys.stderr)
        return 2
    try:
        return int(arguments.run(arguments))
    except SystemExit as left:  # no command ends so, but code that a config names may, and rich, where nobody reads on
        if isinstance(left.__context__, BrokenPipeError):
            raise left.__context__ from None
        raise _mistake(left) from left


def run_main(argv: Sequence[str] | None = None) -> int:
    """The command `sere-run`, which is `sere run`; returns its exit code."""
    return main(["run", *(sys.argv[1:] if argv is None else argv)])


def parser(command: str = "") -> ArgumentParser:
    """The parser of `sere`, with the arguments of one command.

    A command's module has `add_parser(subparsers)`: it calls `add_command` with the function that does the work, from the
    parsed arguments to the exit code, and adds the arguments.
    """
    summary = "Semi-supervised and domain-adaptive cross-lingual speech emotion recognition, made of swappable parts."
    made = ArgumentParser("sere", description=summary, allow_abbrev=False)
    made.add_argument("--version", action="version", version=f"sere {sere_core.__version__}")
    commands = made.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    chosen = COMMANDS[command][0] if command in COMMANDS else ""
    for name, (module, help) in COMMANDS.items():
        if module != chosen:
            commands.add_parser(name, help=help)
        elif name not in commands.choices:
            importlib.import_module(f"sere_core.cli.{module}").add_parser(commands)
    return made


def _mistake(problem: BaseException) -> SereError:
    """The coded mistake that an exception is or comes from; of what nobody expected, T507 with the line of code that raised it."""
    import importlib.metadata
    from traceback import walk_tb

    from sere_registry.catalog import Catalog
    from sere_registry.errors import SereError, reason
    from sere_registry.files import FULL
    from sere_registry.kinds import FIRST_PARTY

    if isinstance(problem, SereError):
        return problem
    catalog, frames = Catalog(), list(walk_tb(problem.__traceback__))
    # torch and pydantic read the metadata of all distributions when imported, and stop at the first that is damaged
    reader = str(Path(importlib.metadata.__file__).parent)
    if any(frame.f_code.co_filename.startswith(reader) for frame, _ in frames) and catalog.entries and catalog.notes:
        hint = f"install these again, or uninstall them: {'; '.join(catalog.notes)}"
        return _of(problem, "X701", "a library that runs need cannot read the distributions of this environment", hint)
    if isinstance(problem, OSError) and problem.errno is not None:
        files = " and ".join(dict.fromkeys(str(name) for name in (problem.filename, problem.filename2) if name)) or "a file"
        code = "X705" if problem.errno in FULL else "X704"
        return _of(problem, code, f"{files[:500]!r} cannot be used: {problem.strerror}", "make room, or name another place or file")
    if variable := _variable(str(problem)):
        what = f"a library stops at ${variable}, which is {os.environ[variable][:60]!r}: {reason(problem)}"
        return _of(problem, "X710", what, f"unset {variable}, or correct it")
    if isinstance(problem, MemoryError):
        return _of(problem, "X706", f"memory ran out ({reason(problem)})", "smaller batches, fewer --jobs or shorter files need less")
    others = [entry for entry in catalog.entries if entry.distribution != FIRST_PARTY]
    owners = {entry.value.partition(":")[0].partition(".")[0]: entry for entry in others}
    ours, where = "", ""
    for frame, line in reversed(frames):
        package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        where, entry = f"{frame.f_code.co_filename}:{line}", owners.get(package)
        if package.startswith("sere_local_"):
            hint = "this is for the author of that file; --traceback shows how it came to that"
            return _of(problem, "T507", f"unexpected {reason(problem)} at {where}, which is plugin code", hint)
        if entry is not None:
            hint = f"update it, tell its author, or leave it out: SERE_DISABLE={entry.distribution}; --traceback shows more"
            return _of(problem, "T507", f"unexpected {reason(problem)} at {where}, code of {entry.owner}", hint)
        ours = ours or (f"{where}, in {frame.f_code.co_name}" if package.startswith("sere") else "")
    hint = "--traceback shows how it came to that; if the input is right, this is a bug of sere: please report it"
    return _of(problem, "T507", f"unexpected {reason(problem)} at {ours or where}", hint)


def _variable(said: str) -> str:
    """The variable of the environment, of those that libraries read, which an error's message names or quotes; "" for none."""
    read = [name for name in os.environ if name.partition("_")[0] in _READ_BY_LIBRARIES]
    return next((name for name in read if name in said or (len(os.environ[name]) > 3 and os.environ[name] in said)), "")


def _of(problem: BaseException, code: str, message: str, hint: str) -> SereError:
    from sere_registry.errors import error

    coded = error(code, message, hint)
    coded.__cause__ = problem
    return coded
