"""`${vars.x}` and `${env:X}`, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sere_core.config import Resolved
from tests.config.conftest import matches

Read = Callable[..., Resolved]
Lines = Callable[..., list[str]]


def root(resolved: Resolved) -> str:
    return str(resolved.config.corpora["german"].params["root"])


def test_variables_and_the_environment_are_replaced_inside_text(read: Read, good: str) -> None:
    text = "vars: {data: ${env:SERE_DATA}, part: ${vars.data}/speech}\n" + good.replace("/data/de", "${vars.part}/de")
    assert root(read(text, environ={"SERE_DATA": "/home/ä"})) == "/home/ä/speech/de"
    text = "vars: {n: 7, t: true, f: 0.5}\n" + good.replace("/data/de", "/${vars.n}/${vars.t}/${vars.f}")
    assert root(read(text)) == "/7/true/0.5"


def test_a_reference_alone_keeps_its_type(read: Read, good: str) -> None:
    text = "vars: {n: 7, p: {temperature: 0.2, sharp: true}, s: [a, b]}\n" + good.replace(
        "params: {temperature: 0.1}", "params: ${vars.p}"
    ).replace("target: italian", "target: italian, shots: ${vars.n}").replace("/data/de", "/data, speakers: ${vars.s}")
    resolved = read(text)
    params = resolved.components["losses.adapt"].params
    assert resolved.config.task.shots == 7 and (params.temperature, params.sharp) == (0.2, True)  # type: ignore[attr-defined]
    assert resolved.config.corpora["german"].params["speakers"] == ["a", "b"]


@pytest.mark.parametrize(("value", "shots"), [("3", 3), ("all", "all")])
def test_an_environment_variable_alone_may_be_a_number(read: Read, good: str, value: str, shots: object) -> None:
    text = good.replace("target: italian", "target: italian, shots: ${env:SHOTS}")
    assert read(text, environ={"SHOTS": value}).config.task.shots == shots


def test_the_folder_of_the_record_may_name_the_run_and_the_seed(read: Read, good: str) -> None:
    assert read(good).config.output.dir == "runs/small"
    assert read(good + "output: {dir: '${env:OUT}/${name}-${seed}'}\nseed: 3", environ={"OUT": "/o"}).config.output.dir == "/o/small-3"
    assert read(good + "output: {dir: 'r/${seed}'}", seed=5).config.output.dir == "r/5"


def test_variables_of_an_extended_file_can_be_replaced(read: Read, good: str) -> None:
    base = "vars: {data: ${env:NOT_SET}}\n" + good.replace("/data/de", "${vars.data}/de")
    assert root(read("extends: b.yaml\nvars: {data: /mine}", files={"b.yaml": base}, environ={})) == "/mine/de"


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("${vars.dta}", "[C306] ${vars.dta}, data"),
        ("${vars.map.x}", "[C306] ${vars.map.x}"),
        ("${vars.data.x}", "[C306] ${vars.data.x}"),
        ("${data}", "[C306] ${data}, ${vars.data}"),
        ("${1 + 1}", "[C306] ${1 + 1}, ${vars.x}, ${env:X}"),
        ("${}", "[C306] ${}"),
        ("${name}", "[C306] ${name}"),
        ("${env:NOPE}", "[C306] NOPE"),
        ("${env:EMPTY}", "[C306] EMPTY"),
        ("${env:BROKEN}", "[C306] BROKEN"),
        ("${vars.data", "[C306] ${vars.x}, ${env:X}"),
        ("${vars.${vars.data}}", "[C306]"),
        ("a/${vars.list}", "[C306] ${vars.list}"),
    ],
)
def test_what_cannot_be_resolved_is_said_once_where_it_stands(lines: Lines, good: str, value: str, line: str) -> None:
    text = "vars: {data: /d, list: [1], map: {y: 1}}\n" + good.replace("/data/de", f"'{value}'")
    (got,) = lines(text, environ={"EMPTY": "", "BROKEN": "a\udc80"})
    assert matches(got, f"a.yaml:5:40: corpora.german.params.root: {line}")


def test_an_unresolved_number_is_not_also_called_text(lines: Lines, good: str) -> None:
    (line,) = lines(good.replace("weight: 0.5", "weight: ${vars.w}"))
    assert matches(line, "a.yaml:14:13: losses.adapt.weight: [C306] ${vars.w}")


def test_circles_are_told_once(lines: Lines, good: str) -> None:
    text = "vars: {a: '${vars.b}', b: '${vars.c}x', c: '${vars.a}'}\n" + good.replace("/data/de", "${vars.a}")
    (line,) = lines(text)
    assert matches(line, "a.yaml:1:44: vars.c: [C306] ${vars.a}, vars.a -> vars.b -> vars.c -> vars.a")
    (line,) = lines("vars: {a: {b: ['${vars.a}']}}\n" + good)
    assert "[C306]" in line and "vars.a -> vars.a.b.0" in line
