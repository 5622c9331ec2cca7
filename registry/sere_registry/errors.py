"""Every mistake a user can make, as one coded line.

A `Problem` is one line: where it is, a stable code, what is wrong, and a hint.  A `SereError` carries one or more
problems and is the only exception that the command line turns into an exit code; anything else is a bug and keeps
its traceback.

Codes are stable.  The first letter says whose mistake it is and which exit code the command gets.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

#: as many names does a hint list, of more only the closest
LISTED = 24
EXIT_CODES = {"P": 3, "R": 2, "C": 2, "B": 3, "D": 2, "T": 1, "X": 4}

#: code -> what the code means, in one sentence.  `CODES` is the catalogue; a code that is not here cannot be raised.
CODES: dict[str, str] = {
    "P101": "a distribution that the config requires is not installed",
    "P102": "a plugin failed to import",
    "P103": "a plugin was made for another version of sere",
    "P104": "an entry point does not lead to a ComponentSpec of its kind",
    "P105": "a plugin speaks another version of the component contract (api)",
    "P106": "a hook is unknown or has the wrong signature, or failed during the run",
    "P107": "a plugin is disabled",
    "P108": "a component or a command needs a distribution that is not installed",
    "P109": "a component is not imported without the user's word",
    "R201": "no component has this name",
    "R202": "a short name is ambiguous",
    "R203": "two distributions announce the same full name",
    "R204": "a distribution uses a namespace that is reserved",
    "C301": "a key stands twice in one mapping",
    "C302": "a key is unknown or its value is wrong",
    "C303": "a component block has no `use`",
    "C304": "a config file cannot be found or read, or extends itself",
    "C305": "a --set or --unset cannot be understood",
    "C306": "a ${...} cannot be resolved",
    "C307": "a YAML scalar is ambiguous",
    "C308": "an id that is used nowhere or defined nowhere",
    "C309": "the grammar version of the config is unknown",
    "C310": "the file is not the YAML that a config may be",
    "C311": "the parts of the config do not fit together",
    "B401": "a component could not be built",
    "B402": "two components do not fit: shapes or widths differ",
    "B403": "an object does not satisfy the protocol of its kind",
    "B404": "a component failed, or changed what is not its own, while it was called",
    "D601": "a corpus folder is missing",
    "D602": "a corpus folder has none of the files of its layout",
    "D603": "an audio file cannot be read",
    "D604": "an audio file has no samples",
    "D605": "an audio file is silent, or holds nothing but an offset",
    "D606": "an audio file holds samples that are no sound: NaN, infinite, of another scale, or with their bytes in another order",
    "D607": "a class has fewer utterances than the shots asked for",
    "D608": "the two corpora share fewer than two classes",
    "D609": "the folds asked for cannot be made from this corpus",
    "D610": "a corpus file or label is not of the declared layout",
    "D611": "a stream or label was read that the stage may not see",
    "D612": "an utterance is too short",
    "T501": "a loss is not finite",
    "T502": "a run was interrupted",
    "T503": "an unfinished run is in the way",
    "T504": "another process works in this run folder",
    "T505": "a checkpoint or record cannot be used",
    "T506": "runs of a comparison differ in what is not varied",
    "T507": "something unexpected happened, in a plugin or in sere",
    "T508": "rows of a comparison do not share a table",
    "T509": "a model cannot be exported to ONNX",
    "X701": "a package of the environment is broken",
    "X702": "a device is not available",
    "X703": "model weights cannot be found",
    "X704": "a folder cannot be written",
    "X705": "the disk is full",
    "X706": "a process of sere was lost, or memory ran out",
    "X707": "the scheduler of a cluster cannot be reached, or has no workers",
    "X708": "the workers of a cluster are not like the machine that asks them",
    "X709": "a hub cannot be reached, or does not let the model in",
    "X710": "a variable of the environment stops a library",
}


@dataclass(frozen=True)
class Place:
    """Where a problem is: any part may be unknown.  Prints as `file:line:column: path`."""

    file: str = ""
    line: int | None = None
    column: int | None = None
    path: str = ""

    def __str__(self) -> str:
        spot = self.file
        if self.line is not None:
            spot += f":{self.line}"
            if self.column is not None:
                spot += f":{self.column}"
        return ": ".join(part for part in (spot, self.path) if part)


@dataclass(frozen=True)
class Problem:
    """One line for the user: `place: [CODE] message` and an indented hint."""

    code: str
    message: str
    hint: str = ""
    place: Place = Place()

    def __post_init__(self) -> None:
        if self.code not in CODES:
            raise ValueError(f"{self.code} is not in the catalogue of error codes")

    def __str__(self) -> str:
        place = str(self.place)
        line = f"{place}: [{self.code}] {self.message}" if place else f"[{self.code}] {self.message}"
        return f"{line}\n    {self.hint}" if self.hint else line


class SereError(Exception):
    """One or more problems that are the user's (or a plugin's, or the machine's), not a bug of the engine.

    >>> error = SereError(Problem("R201", "no loss named 'trik'", hint="did you mean 'tric'?"))
    >>> print(error)
    [R201] no loss named 'trik'
        did you mean 'tric'?
    >>> error.exit_code
    2
    """

    def __init__(self, *problems: Problem) -> None:
        if not problems:
            raise ValueError("a SereError needs at least one problem")
        self.problems: tuple[Problem, ...] = problems
        super().__init__("\n".join(str(problem) for problem in problems))

    def __reduce__(self) -> tuple[type[SereError], tuple[Problem, ...]]:
        return type(self), self.problems

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.problems[0].code[0]]


def error(code: str, message: str, hint: str = "", place: Place | str = Place()) -> SereError:
    """A `SereError` with a single problem: `raise error("D601", ..., hint=...)`."""
    if isinstance(place, str):
        place = Place(path=place)
    return SereError(Problem(code, message, hint, place))


def reason(cause: BaseException) -> str:
    """Any exception as one line, whatever its text: `ValueError: what was wrong`.

    >>> reason(ValueError("first line\\n  second line")), reason(SystemExit())
    ('ValueError: first line second line', 'SystemExit')
    """
    try:
        text = " ".join("".join(one if one.isprintable() else " " for one in str(cause)[:2000]).split())
    except BaseException:  # an exception of somebody's own that cannot even say what it is
        text = ""
    text = text if len(text) <= 300 else text[:297] + "..."
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def counted(number: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "file"), counted(2, "audio file")
    ('1 file', '2 audio files')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def suggest(word: str, known: Iterable[str], what: str = "known names") -> str:
    """A hint: the nearest known name if one is near, and the list of all of them, or of the closest of many.

    >>> suggest("trik", ["tric", "coral"])
    "did you mean 'tric'? known names: coral, tric"
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    listing = f"{what}: {', '.join(names) or 'none'}"
    if len(names) > LISTED:
        closest = difflib.get_close_matches(word, names, n=5, cutoff=0.0)
        listing = f"closest of {len(names)} {what}: {', '.join(closest)}"
    return f"did you mean {near[0]!r}? {listing}" if near else listing


def top(module: object) -> str:
    """The top-level package of a module's name."""
    return str(module).partition(".")[0]


def defined(function: object) -> str:
    """`file:line` of a function's first line, "" where it has none.

    >>> defined(defined).partition(":")[0].endswith("errors.py"), defined(len)
    (True, '')
    """
    import inspect

    if isinstance(function, type):
        function = vars(function).get("__init__")
    code = getattr(inspect.unwrap(getattr(function, "__func__", function)), "__code__", None)  # type: ignore[arg-type]
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""
