"""YAML text -> a tree of Nodes, from the parser's events: no tags, no surprises, bounded depth and size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NoReturn

import yaml

from sere_core.config.nodes import Node, Path, dotted
from sere_core.config.scalars import Ambiguous, plain
from sere_registry.errors import Place, Problem, SereError

MAX_DEPTH = 24
MAX_NODES = 20_000
MAX_KEY = 100
MAX_TEXT = 10_000

# Inside `{...}` YAML reads the braces of ${vars.x} as its own.  While YAML reads, other characters stand for them, one
# for one, so that columns stay right.
_SPECIAL = "{}[]:,&*!|>%@`"
_STAND_IN = "".join(chr(0xFDD0 + index) for index in range(len(_SPECIAL)))
_HIDE = str.maketrans(_SPECIAL, _STAND_IN)
_SHOW = str.maketrans(_STAND_IN, _SPECIAL)
_REFERENCE = re.compile(r"""\$\{[^{}\n'"#]*\}""")
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufdcf\ufdf0-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_Event = Any  # PyYAML's events carry more than their stubs tell
Locate = Callable[[int | None, int | None], Place]


def read(text: str, locate: Locate, problems: list[Problem], path: Path = ()) -> Node | None:
    """Parse one YAML document; None if it is empty or cannot be parsed.

    Args:
        text: the document.
        locate: makes a place of line and column (both from 1).
        problems: gets what is wrong (C301, C307, C310).
        path: where in the config the document stands.
    """
    bad = _FORBIDDEN.search(text)
    if bad is not None:
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - (text.rfind("\n", 0, bad.start()) + 1) + 1
        message = f"the character U+{ord(bad.group()):04X} may not stand in a config"
        problems.append(Problem("C310", message, "save the file as plain UTF-8 text", locate(line, column)))
        return None
    reader = _Reader(_REFERENCE.sub(lambda match: match.group().translate(_HIDE), text), locate, problems)
    try:
        return reader.document(path)
    except SereError as error:
        problems.extend(error.problems)
    except yaml.YAMLError as error:
        problems.append(_syntax(error, locate))
    return None


def _syntax(error: yaml.YAMLError, locate: Locate) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    what = getattr(error, "problem", None) or str(error).splitlines()[0]
    hint = ""
    if "cannot start any token" in what or "tab character" in what:
        hint = "indent with spaces, not tabs, and put text that begins with a sign in quotes"
    elif "mapping values are not allowed" in what or "could not find expected ':'" in what:
        hint = "look at the indentation, and for a `key: value` without its space or its colon"
    elif "did not find expected" in what:
        hint = "look for a bracket, brace or quote that is not closed, and at the indentation"
    place = locate(None, None) if mark is None else locate(mark.line + 1, mark.column + 1)
    return Problem("C310", f"this is not YAML: {what}".translate(_SHOW), hint, place)


@dataclass
class _Reader:
    text: str
    locate: Locate
    problems: list[Problem]
    count: int = 0
    anchors: dict[str, tuple[Node, int] | None] = field(default_factory=dict)

    def document(self, path: Path) -> Node | None:
        self.events: Iterator[_Event] = iter(yaml.parse(self.text, Loader=_LOADER))
        root: Node | None = None
        documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self.stop(event, path, "a config is one document", "remove the line `---`")
            elif isinstance(event, yaml.NodeEvent):
                root = self.node(event, path, 0, None)
        return root

    def place(self, event: _Event, path: Path) -> Place:
        return replace(self.locate(event.start_mark.line + 1, event.start_mark.column + 1), path=dotted(path))

    def stop(self, event: _Event, path: Path, message: str, hint: str = "") -> NoReturn:
        raise SereError(Problem("C310", message, hint, self.place(event, path)))

    def node(self, event: _Event, path: Path, depth: int, key: Place | None) -> Node:
        self.count += 1
        if depth > MAX_DEPTH:
            self.stop(event, path[:3], f"nested more than {MAX_DEPTH} deep")
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path, key)
        if getattr(event, "tag", None) is not None:
            self.stop(event, path, f"the tag {event.tag} may not stand in a config", "a config is data; write the value without a tag")
        before = self.count
        anchor = event.anchor
        if anchor is not None:
            self.anchors[anchor] = None
        start = replace(self.place(event, path), path="")
        value: Any
        if isinstance(event, yaml.MappingStartEvent):
            value = self.mapping(path, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
            while not isinstance(below := next(self.events), yaml.SequenceEndEvent):
                value.append(self.node(below, (*path, str(len(value))), depth + 1, None))
        else:
            value = self.scalar(event, path)
        self.bound(event, path)
        node = Node(value, start, key)
        if anchor is not None:
            self.anchors[anchor] = (node, self.count - before + 1)
        return node

    def mapping(self, path: Path, depth: int) -> dict[str, Node]:
        value: dict[str, Node] = {}
        lines: dict[str, int] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.stop(event, path, "a key must be a word")
            name = str(event.value).translate(_SHOW)
            if len(name) > MAX_KEY:
                self.stop(event, path, f"a key has more than {MAX_KEY} characters")
            here = (*path, name)
            if name == "<<" and event.implicit[0]:
                self.stop(event, path, "the merge key << may not stand in a config", "use `extends`")
            if event.implicit[0]:
                self.scalar(event, here)  # yes/no/on/off as a key: `no` is also a language
            place = replace(self.place(event, here), path="")
            node = self.node(next(self.events), here, depth + 1, place)
            if name in value:
                message = f"'{name}' stands twice in this mapping"
                self.problems.append(Problem("C301", message, f"first in line {lines[name]}; remove one", self.place(event, here)))
                continue
            value[name] = node
            lines[name] = self.place(event, here).line or 0
        return value

    def scalar(self, event: _Event, path: Path) -> Any:
        text = str(event.value).translate(_SHOW)
        if len(text) > MAX_TEXT:
            self.stop(event, path, f"a text has more than {MAX_TEXT} characters")
        if not event.implicit[0]:
            if _FORBIDDEN.search(text):  # "\0" and the like
                self.stop(event, path, "a control character may not stand in a config")
            return text
        try:
            return plain(text)
        except Ambiguous as reason:
            shown = text if len(text) <= 40 else text[:37] + "..."
            message = f"{shown} is read differently by different readers of YAML"
            self.problems.append(Problem("C307", message, str(reason), self.place(event, path)))
            return text

    def alias(self, event: _Event, path: Path, key: Place | None) -> Node:
        name = event.anchor
        if name not in self.anchors:
            self.stop(event, path, f"*{name} refers to an anchor that is not defined above it")
        target = self.anchors[name]
        if target is None:
            self.stop(event, path, f"*{name} stands inside itself")
        self.count += target[1]
        self.bound(event, path)
        return replace(target[0], key=key)

    def bound(self, event: _Event, path: Path) -> None:
        if self.count > MAX_NODES:
            self.stop(event, path, f"more than {MAX_NODES} values; that is not a config")
