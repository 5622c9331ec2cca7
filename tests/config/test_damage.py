"""Whatever happens to the bytes of a config, it loads or fails with coded lines; never with another exception."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sere_core.config import load
from sere_registry import SereError

RICH = """\
sere: 1
name: rich
seed: 3
vars: {data: "${env:DATA}", n: 4, deep: {x: [1, 2]}}
corpora:
  german: {use: folder, params: {root: "${vars.data}/de", speakers: ['03', b]}}
  italian: {use: folder, params: {root: ${vars.data}/it}}
task: {source: german, target: italian, classes: [anger, fear], shots: ${vars.n}, folds: speakers}
encoders: {anchor: {use: tiny, params: &wide {dim: 16}}, other: {use: tiny, params: *wide}}
paths: {labelled: anchor, unlabelled: {de: anchor, it: other}}
resonance: {use: field}
losses:
  classify: {use: plain}
  adapt:
    use: sere.tric
    weight: {start: 0, end: 0.5, until: 1.0e-1}
    params: {temperature: 3e-1, floor: null, mode: hard}
train: {epochs: 2, optimizer: {use: adam, params: {lr: 1.0e-4, betas: [0.9, 0.999]}}, batch: {labelled: 4, source: 2}}
views: {weak: [{use: gain}], strong: [{use: gain}, {use: gain}]}
hooks: {progress: {use: progress}}
plugins: {require: ["sere>=0.1"], disable: []}
output: {dir: "runs/${name}-${seed}"}
"""
SNIPPETS = [
    b"${", b"}", b"{", b"]", b": ", b"\n", b"\t", b"- ", b"&a ", b"*a", b"!!x ", b"yes", b"null", b"\x00",
    b"\xff", b"\xe2\x82", b"'", b'"', b"${vars.n}", b"1e999", b"file:x:Y", b"extends: a.yaml\n", b"#", b"|",
    b">", b"%", b"@", b"---", b"9" * 50, b"\\u0000", b"?",
]  # fmt: skip

PATHS = ["losses.adapt.params", "task", "vars.n", "corpora.german", "views.weak.0", "output.dir", ""]


def damaged(data: bytes, seed: int) -> bytes:
    """A config after one to four accidents: bits turned; bytes lost, repeated or inserted; lines and words swapped or replaced."""
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 4)):
        start = chance.randrange(len(data))
        end = min(len(data), start + chance.choice([1, 1, 2, 5, 20, 100]))
        lines, words = data.split(b"\n"), data.split(b" ")
        one, other, word = chance.randrange(len(lines)), chance.randrange(len(lines)), chance.randrange(len(words))
        accidents = [
            data[:start] + bytes([data[start] ^ 1 << chance.randrange(8)]) + data[start + 1 :],
            data[:start] + data[end:],
            data[:start] + chance.choice(SNIPPETS) + data[start:],
            data[:end] + data[start:],
            b"\n".join([*lines[:one], lines[other], *lines[one + 1 :]]),
            b"\n".join([*lines[:one], b"  " + lines[one], *lines[one + 1 :]]),
            b" ".join([*words[:word], chance.choice(SNIPPETS), *words[word + 1 :]]),
            b" ".join([*words[:word], chance.choice(words), *words[word + 1 :]]),
        ]
        data = chance.choice(accidents) or b" "
    return data


def settle(path: Path, catalog: Any, sets: tuple[str, ...] = ()) -> None:
    """Load `path`; if that fails, every problem is a short coded line."""
    try:
        resolved = load(path, sets=sets, catalog=catalog, environ={"DATA": "/data"})
    except SereError as error:
        assert all(len(problem.message) < 1000 for problem in error.problems)
    else:
        resolved.digest()
        resolved.dump()


def test_the_undamaged_config_loads(folder: Path, catalog: Any) -> None:
    (folder / "rich.yaml").write_text(RICH)
    resolved = load("rich.yaml", catalog=catalog, environ={"DATA": "/data"})
    assert resolved.warnings == () and resolved.config.output.dir == "runs/rich-3"


@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_a_damaged_config_fails_in_coded_lines_or_loads(folder: Path, catalog: Any, seed: int) -> None:
    path = folder / "damaged.yaml"
    path.write_bytes(damaged(RICH.encode(), seed))
    settle(path, catalog)


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60), path=st.sampled_from(PATHS))
def test_any_text_after_set_fails_in_coded_lines_or_loads(folder: Path, catalog: Any, text: str, path: str) -> None:
    (folder / "rich.yaml").write_text(RICH)
    settle(folder / "rich.yaml", catalog, (f"{path}={text}" if path else text,))


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=80))
def test_any_bytes_fail_in_coded_lines(folder: Path, catalog: Any, data: bytes) -> None:
    (folder / "noise.yaml").write_bytes(data)
    settle(folder / "noise.yaml", catalog)
