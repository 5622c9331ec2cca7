"""The YAML that a config may be: data with places, read in one way only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_core.config import load, yaml_text
from sere_core.config.files import bundled
from sere_core.config.yaml_text import Ambiguous, flow, plain, write
from sere_core.config.yaml_text import read as parse
from sere_registry import Place, Problem, SereError
from tests.config.conftest import matches

Lines = Callable[..., list[str]]


def data(text: str) -> Any:
    problems: list[Problem] = []
    node = parse(text, Place("a.yaml"), problems)
    assert not problems, problems
    return None if node is None else node.data()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4), ("1.0e-4", 1e-4), ("-2", -2), (".5", 0.5), ("5.", 5.0), ("+1", 1), ("0x10", 16), ("0", 0),
        ("true", True), ("False", False), ("~", None), ("null", None), ("", None), ("de", "de"), ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"), ("y", "y"), ("e5", "e5"), (".inf", float("inf")), ("-", "-"),
    ],
)  # fmt: skip
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    assert plain(text) == value and type(plain(text)) is type(value)


@pytest.mark.parametrize("text", ["yes", "No", "ON", "off", "010", "-07", "1_000", "1:30", "0o17", "0b11", "1" * 40, "1e" + "0" * 40])
def test_scalars_that_readers_of_yaml_disagree_on_are_refused(text: str) -> None:
    with pytest.raises(Ambiguous):
        plain(text)


def test_references_need_no_quotes_and_anchors_are_plain_copies() -> None:
    text = "a: {root: ${vars.data}/emodb, list: [${env:X}, 1], s: '${vars.b}'}\nb: ${vars.c}"
    assert data(text) == {"a": {"root": "${vars.data}/emodb", "list": ["${env:X}", 1], "s": "${vars.b}"}, "b": "${vars.c}"}
    assert data("a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


def test_what_is_written_is_read_back_the_same() -> None:
    values = {
        "a": ["no", "3e-4", "010", "", "null", "x: y", "1:30", " pad", "${", "é", "🎧 𠀀", "two\nlines"],
        "b": [1e-5, 1e20, True, None, 7],
    }
    assert data(write(values)) == values


def test_libyaml_writes_what_yaml_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the two an installation has makes no difference, and neither stumbles over a file name that is not UTF-8."""
    values = [data(path.read_text(encoding="utf-8")) for path in bundled().values()]
    fast = [(write(each), flow(each)) for each in values]
    undecodable = os.fsdecode(b"latin-\xe9")
    assert write({"root": undecodable}) == 'root: "latin-\\uDCE9"\n'
    monkeypatch.setattr(yaml_text, "_DUMPER", yaml_text._PYTHON)
    assert fast == [(write(each), flow(each)) for each in values]


TAGS = ["!x 1", "!!python/name:os.system", "!!binary aGk=", "!!set {a}", "!!omap [a: 1]", "!!str 1", "!include /etc/passwd", "! x"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "a.yaml: [C310] sere: 1"),
        ("# nothing\n", "a.yaml: [C310]"),
        ("- a\n- b\n", "a.yaml:1:1: [C310]"),
        ("text", "a.yaml:1:1: [C310]"),
        ("sere: 1\nname: [a", "a.yaml:3:1: [C310] ,, ]"),
        ("sere: 1\n\tname: a", "a.yaml:2:1: [C310]"),
        ("sere: 1\nname: a: b", "a.yaml:2:8: [C310]"),
        ("sere: !!python/object:os.system 1", "a.yaml:1:7: sere: [C310]"),
        *((f"sere: {tag}", "a.yaml:1:7: sere: [C310]") for tag in TAGS),
        ("sere: 1\n---\nname: a", "a.yaml:2:1: [C310]"),
        ("a: &x {b: *x}", "a.yaml:1:11: a.b: [C310]"),
        ("a: *x", "a.yaml:1:4: a: [C310]"),
        ("a: " + "[" * 5000, "[C310]"),
        ("{" * 5000, "[C310]"),
        ("- " * 5000, "[C310]"),
        ("? [a]\n: 1", "a.yaml:1:3: [C310]"),
        ("<<: {a: 1}", "a.yaml:1:1: [C310] extends"),
        ("sere: 1\nname: a\x07b", "a.yaml:2:8: [C310]"),
        ('name: "a\\0b"', "a.yaml:1:7: name: [C310]"),
        ("a: x\ufdd0", "a.yaml:1:5: [C310]"),
    ],
)
def test_what_is_not_a_config_is_one_coded_line(lines: Lines, text: str, says: str) -> None:
    (line,) = lines(text)
    assert matches(line, says) and len(line) < 300


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"sere: 1\nname: caf\xe9\n", "a.yaml:2:10: [C310] the file is not UTF-8 text: byte 0xe9"),
        ("sere: 1".encode("utf-16"), "a.yaml:1:1: [C310] the file is not UTF-8 text: byte 0xff"),
        (b"\x00" * 10, "a.yaml:1:1: [C310] the character U+0000"),
    ],
)
def test_bytes_that_are_no_text_are_one_coded_line(folder: Path, lines: Lines, content: bytes, says: str) -> None:
    (folder / "a.yaml").write_bytes(content)
    with pytest.raises(SereError, match=r"^a\.yaml") as caught:
        load("a.yaml")
    assert str(caught.value).startswith(says)


def test_a_byte_order_mark_is_no_mistake(folder: Path, read: Callable[..., Any], good: str) -> None:
    assert read("\ufeff" + good).config.name == "small"


def test_duplicate_keys_and_ambiguous_words_are_reported_together_with_their_places(lines: Lines, good: str) -> None:
    text = good.replace("name: small", "name: small\nname: again\nseed: yes") + "task: {no: 1}\n"
    expected = [
        "a.yaml:3:1: name: [C301] name, line 2",
        "a.yaml:4:7: seed: [C307] yes, true",
        "a.yaml:18:1: task: [C301] task, line 8",
        "a.yaml:18:8: task.no: [C307] no, false",
    ]
    assert all(matches(line, says) for line, says in zip(lines(text), expected, strict=True))
