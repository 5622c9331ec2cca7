"""YAML text -> a tree of Nodes, and plain data -> YAML: data only, and read in one way."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NoReturn

import yaml

from sere_core.config.nodes import Data, Node, Path, dotted
from sere_registry.errors import Place, Problem, SereError

#: by libyaml, which most installations of PyYAML have: several times as fast
Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

MAX_DEPTH = 24

# Inside `{...}` YAML reads the braces of ${vars.x} as its own.  While YAML reads, other characters stand for them, one
# for one, so that columns stay right.
_SPECIAL = "{}[]:,&*!|>%@`"
_STAND_IN = "".join(chr(0xFDD0 + index) for index in range(len(_SPECIAL)))
_HIDE = str.maketrans(_SPECIAL, _STAND_IN)
_SHOW = str.maketrans(_STAND_IN, _SPECIAL)
_REFERENCE = re.compile(r"""\$\{[^{}\n'"#]*\}""")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_HINTS = {
    "cannot start any token|tab character": "indent with spaces, not tabs, and put text that begins with a sign in quotes",
    "mapping values are not|expected ':'": "look at the indentation, and for a `key: value` without its space or colon",
    "did not find expected": "look for a bracket, brace or quote that is not closed, and at the indentation",
}

Scalar = str | int | float | bool | None
_NULLS = {"", "~", "null", "Null", "NULL"}
_BOOLS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_SWITCHES = {spelled for word in ("yes", "no", "on", "off") for spelled in (word, word.capitalize(), word.upper())}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,16}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_ODD = re.compile(  # 010, 1_000, 1:30, 0o17, 0b1
    r"[-+]?0[0-9_]+|[-+]?[0-9][0-9]*_[0-9_]*(\.[0-9_]*)?|[-+]?[0-9]+(:[0-5]?[0-9])+(\.[0-9]*)?|0o[0-7]+|[-+]?0b[01_]+"
)
_LONGEST = 30  # more digits than any number of a config has


class Ambiguous(ValueError):
    """A scalar that two readers of YAML read as two things; the argument says what to write instead."""


def plain(text: str) -> Scalar:
    """What a plain (unquoted) scalar means: YAML 1.2.

    Raises:
        Ambiguous: where YAML 1.1 reads it otherwise (yes/no/on/off, 010, 1_000, ...), and for overlong numbers.

    >>> plain("3e-4"), plain("true"), plain("~"), plain("de")
    (0.0003, True, None, 'de')
    """
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return _BOOLS[text]
    if text in _SWITCHES:
        truth = "true" if text.lower() in ("yes", "on") else "false"
        raise Ambiguous(f"write {truth}, or '{text}' in quotes for the word")
    if _ODD.fullmatch(text):
        raise Ambiguous(f"write '{text}' in quotes for text, or the number in decimal digits alone")
    integer, real = _INT.fullmatch(text), _FLOAT.fullmatch(text)
    if (integer or real) and len(text) > _LONGEST:
        raise Ambiguous("the number has too many digits; put it in quotes if it is text")
    if integer:
        return int(text)
    if _HEX.fullmatch(text):
        return int(text, 16)
    if real:
        return float(text)
    return float(text.replace(".", "", 1)) if _INFINITE.fullmatch(text) else text


def read(text: str, source: Place, problems: list[Problem], path: Path = (), lines: bool = True) -> Node | None:
    """Parse one YAML document; None if it is empty or cannot be parsed.

    Args:
        text: the document.
        source: where it comes from.
        problems: gets what is wrong (C301, C307, C310).
        path: where in the config the document stands.
        lines: do places get the line and column in the text?  Not those of the command line.
    """
    reader = _Reader(text, source, problems, lines)
    try:
        return reader.document(path)
    except SereError as error:
        problems.extend(error.problems)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        what = str(getattr(error, "problem", None) or str(error).splitlines()[0])
        hint = next((hint for pattern, hint in _HINTS.items() if re.search(pattern, what)), "")
        place = source if mark is None else reader.place(mark.line, mark.column)
        problems.append(Problem("C310", f"this is not YAML: {what}".translate(_SHOW), hint, place))
    return None


class _Reader:
    def __init__(self, text: str, source: Place, problems: list[Problem], lines: bool) -> None:
        self.text, self.source, self.problems, self.lines = text, source, problems, lines
        self.anchors: dict[str, Node | None] = {}

    def document(self, path: Path) -> Node | None:
        bad = _FORBIDDEN.search(self.text)
        if bad is not None:
            before = self.text[: bad.start()]
            place = self.place(before.count("\n"), len(before) - before.rfind("\n") - 1)
            message = f"the character U+{ord(bad.group()):04X} may not stand in a config"
            raise SereError(Problem("C310", message, "save the file as plain UTF-8 text", place))
        hidden = _REFERENCE.sub(lambda match: match.group().translate(_HIDE), self.text)
        self.events: Iterator[Data] = iter(yaml.parse(hidden, Loader=Loader))
        root: Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.stop(event, path, "a config is one document", "remove the line `---`")
            elif isinstance(event, yaml.NodeEvent):
                root = self.node(event, path, None)
        return root

    def place(self, line: int, column: int, path: Path = ()) -> Place:
        """Counted from 0 here, from 1 in messages."""
        place = replace(self.source, line=line + 1, column=column + 1) if self.lines else self.source
        return replace(place, path=dotted(path)) if path else place

    def of(self, event: Data, path: Path = ()) -> Place:
        return self.place(event.start_mark.line, event.start_mark.column, path)

    def stop(self, event: Data, path: Path, message: str, hint: str = "") -> NoReturn:
        raise SereError(Problem("C310", message, hint, self.of(event, path)))

    def node(self, event: Data, path: Path, key: Place | None) -> Node:
        if len(path) > MAX_DEPTH:
            self.stop(event, path[:3], f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path, key)
        if event.tag is not None:
            hint = "a config is data; write the value without a tag"
            self.stop(event, path, f"the tag {event.tag} may not stand in a config", hint)
        if event.anchor is not None:
            self.anchors[event.anchor] = None
        value: Data
        if isinstance(event, yaml.MappingStartEvent):
            value = self.mapping(path)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(below := next(self.events), yaml.SequenceEndEvent):
                value.append(self.node(below, (*path, str(len(value))), None))
        else:
            value = self.scalar(event, path)
        node = Node(value, self.of(event), key)
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def mapping(self, path: Path) -> dict[str, Node]:
        value: dict[str, Node] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.stop(event, path, "a key must be a word")
            name = str(event.value).translate(_SHOW)
            here = (*path, name)
            if event.implicit[0]:
                if name == "<<":
                    self.stop(event, path, "the merge key << may not stand in a config", "use `extends`")
                self.scalar(event, here)  # yes/no/on/off as a key: `no` is also a language
            place = self.of(event)
            node = self.node(next(self.events), here, place)
            if name in value:
                first = (value[name].key or place).line
                message = f"'{name}' stands twice in this mapping"
                self.problems.append(Problem("C301", message, f"first in line {first}; remove one", self.of(event, here)))
            value.setdefault(name, node)
        return value

    def scalar(self, event: Data, path: Path) -> Scalar:
        text = str(event.value).translate(_SHOW)
        if not event.implicit[0]:
            if _FORBIDDEN.search(text):  # "\0" and the like
                self.stop(event, path, "a control character may not stand in a config")
            return text
        try:
            return plain(text)
        except Ambiguous as reason:
            shown = text if len(text) <= 40 else text[:37] + "..."
            message = f"{shown} is read differently by different readers of YAML"
            self.problems.append(Problem("C307", message, str(reason), self.of(event, path)))
            return text

    def alias(self, event: Data, path: Path, key: Place | None) -> Node:
        if event.anchor not in self.anchors:
            self.stop(event, path, f"*{event.anchor} refers to an anchor that is not defined above it")
        target = self.anchors[event.anchor]
        if target is None:
            self.stop(event, path, f"*{event.anchor} stands inside itself")
        return replace(target, key=key)


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    try:
        is_text = plain(text) == text
    except Ambiguous:
        is_text = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if is_text else "'")


def _dumper(base: type[yaml.SafeDumper]) -> type[yaml.SafeDumper]:
    made: type[yaml.SafeDumper] = type("Dumper", (base,), {"ignore_aliases": lambda self, data: True})
    made.add_representer(str, _text)
    return made


_DUMPER, _PYTHON = _dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)), _dumper(yaml.SafeDumper)


def _dump(data: Data, width: int, **style: bool) -> str:
    made = functools.partial(yaml.dump, data, sort_keys=False, allow_unicode=True, width=width, **style)
    try:
        return str(made(Dumper=_DUMPER))
    except UnicodeEncodeError:  # libyaml takes no lone surrogates, which stand for the bytes of a file's name
        return str(made(Dumper=_PYTHON))


def write(data: Data) -> str:
    """YAML that `read` reads back as the same data, keys in the order of `data`.

    >>> print(write({"name": "no", "lr": 1e-4}), end="")
    name: 'no'
    lr: 0.0001
    """
    return _dump(data, 120)


def flow(data: Data) -> str:
    """A value in one line.

    >>> flow("no"), flow([1, 1e-4]), flow({})
    ("'no'", '[1, 0.0001]', '{}')
    """
    return _dump([data], 2**31 - 1, default_flow_style=True).strip()[1:-1]
