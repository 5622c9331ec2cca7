"""Whatever a config holds, it ends in coded lines or loads."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sere_core
from sere_core.config import load
from sere_core.config.files import bundled
from sere_registry import SereError
from sere_registry.catalog import Catalog

Lines = Callable[..., list[str]]

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


def settle(path: Path, catalog: Catalog, environ: Mapping[str, str], sets: tuple[str, ...] = ()) -> list[str]:
    """Load; the codes of what is wrong."""
    try:
        resolved = load(path, sets=sets, catalog=catalog, environ=environ)
    except SereError as error:
        assert all(len(str(problem)) < 4000 for problem in error.problems)
        return [problem.code for problem in error.problems]
    resolved.digest()
    resolved.dump()
    return []


USES = [
    "../../x", "../parts.py", "/etc/passwd", "os:system", "os.system", "sere_plugins.losses.tric:Tric", "builtins:eval", "subprocess.Popen",
    "__import__('os').system('true')", "tric; true", "$(true)", "`true`", "tric\\0", "~/x", "http://example.org/x.py", "file:", "file::X",
    "file:gone.py:X", "file:.:X", "file:/dev/zero:X", "file:parts.py:os.system", "file:parts.py:", "file:http://example.org/x.py:X",
]  # fmt: skip


@pytest.mark.parametrize("use", USES)
def test_names_of_components_are_names(use: str, folder: Path, good: str, catalog: Catalog) -> None:
    canary = folder / "canary"
    (folder / "parts.py").write_text(f"import pathlib\npathlib.Path({str(canary)!r}).touch()\n")
    (folder / "a.yaml").write_text(good.replace("use: tric", f'use: "{use}"'))
    codes = settle(folder / "a.yaml", catalog, {})
    assert codes and set(codes) <= {"R201", "C302", "C304", "C310", "P102"} and not canary.exists()


class Spy(dict[str, str]):
    """An environment that notes what is asked of it."""

    def __init__(self, **values: str) -> None:
        super().__init__(values)
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)


def test_the_environment_is_read_only_where_it_is_asked_for(folder: Path, good: str, catalog: Catalog) -> None:
    (folder / "rich.yaml").write_text(RICH)
    environ = Spy(DATA="/data", HOME="/home/me", SECRET="x")
    resolved = load("rich.yaml", catalog=catalog, environ=environ)
    assert resolved.warnings == () and resolved.config.output.dir == "runs/rich-3"
    assert environ.asked == {"DATA"}
    for text in ("$HOME", "~", "$(id)", "`id`", "%HOME%", "{HOME}", "$DATA"):
        (folder / "a.yaml").write_text(good.replace("/data/de", f"'{text}'"))
        resolved = load("a.yaml", catalog=catalog, environ=environ)
        root = resolved.components["corpora.german"].params.model_dump(mode="json")["root"]
        assert Path(root).name == text, "text is text"
    assert environ.asked == {"DATA"}


def test_what_the_environment_says_is_not_read_again(folder: Path, good: str, catalog: Catalog) -> None:
    (folder / "a.yaml").write_text(good.replace("/data/de", "${env:ONE}"))
    environ = Spy(ONE="${env:TWO}", TWO="x")
    resolved = load("a.yaml", catalog=catalog, environ=environ)
    root = resolved.components["corpora.german"].params.model_dump(mode="json")["root"]
    assert Path(root).name == "${env:TWO}" and environ.asked == {"ONE"}


DEEP: dict[str, bytes] = {
    "lists": b"x: " + b"[" * 5000 + b"]" * 5000,
    "maps": b"x: " + b"{a: " * 5000 + b"1" + b"}" * 5000,
    "indentation": b"\n".join(b" " * step + b"a:" for step in range(1000)),
    "sequences": b"- " * 5000 + b"x",
}


@pytest.mark.parametrize("kind", DEEP)
def test_what_is_nested_too_deep_is_refused(kind: str, folder: Path, catalog: Catalog) -> None:
    (folder / "a.yaml").write_bytes(DEEP[kind])
    assert settle(folder / "a.yaml", catalog, {})


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "cp1252", "utf-7", "cp037"])
def test_other_encodings_are_refused(encoding: str, folder: Path, good: str, catalog: Catalog) -> None:
    (folder / "a.yaml").write_bytes(good.replace("/data/de", "/daten/für").encode(encoding))
    codes = settle(folder / "a.yaml", catalog, {})
    assert codes == ["C310"] if encoding != "utf-7" else codes == [], "UTF-7 is ASCII"


CONTROLS = map(chr, (*range(9), 11, 12, *range(14, 32), 0x7F, 0x86, 0x9F))


@pytest.mark.parametrize("character", [*CONTROLS, "\u2028", "\ufeff", "\ufdd0", "\u202e"])
def test_control_characters(character: str, folder: Path, good: str, catalog: Catalog) -> None:
    (folder / "a.yaml").write_text(good.replace("/data/de", f"/da{character}ta"), encoding="utf-8")
    codes = settle(folder / "a.yaml", catalog, {})
    assert codes == [] if character in "\u2028\u202e" else codes == ["C310"]


ELSEWHERE = ["/etc/passwd", "../../../../../../etc/passwd", "~/x", "https://example.org/a.yaml", "a\\0b", "${env:HOME}", "*", "."]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_extends_leads_only_to_what_it_names(name: str, folder: Path, good: str, catalog: Catalog) -> None:
    (folder / "a.yaml").write_text(f'extends: "{name}"\n' + good)
    with pytest.raises(SereError) as caught:
        load("a.yaml", catalog=catalog, environ={"HOME": "/home"})
    assert {problem.code for problem in caught.value.problems} <= {"C304", "C310", "C302", "C309", "C306"}
    assert "root:" not in str(caught.value), "nothing of another file is told"


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the configs that come with sere."""
    folder = tmp_path_factory.mktemp("shipped") / "configs"
    shutil.copytree(Path(sere_core.__file__).parents[1] / "configs", folder)
    return folder


@pytest.fixture(scope="module")
def known() -> Catalog:
    return Catalog(environ={"SERE_NO_PLUGINS": "1"})


accidents = settings(deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(accidents, max_examples=600)
@given(name=st.just("rich") | st.sampled_from(sorted(bundled())), seed=st.integers(0, 2**32))
def test_damaged_configs_fail_in_coded_lines_or_load(shipped: Path, known: Catalog, catalog: Catalog, name: str, seed: int) -> None:
    original = shipped / f"{name}.yaml"
    path = original.with_name("mutated.yaml")
    path.write_bytes(damaged(RICH.encode() if name == "rich" else original.read_bytes(), seed))
    settle(path, catalog if name == "rich" else known, {"SERE_DATA": "/data", "DATA": "/data"})


@settings(accidents, max_examples=150)
@given(text=st.text(max_size=60), path=st.sampled_from(PATHS), noise=st.binary(max_size=80))
def test_any_text_after_set_and_any_bytes_fail_in_coded_lines(folder: Path, catalog: Catalog, text: str, path: str, noise: bytes) -> None:
    (folder / "rich.yaml").write_text(RICH)
    (folder / "noise.yaml").write_bytes(noise)
    settle(folder / "rich.yaml", catalog, {"DATA": "/data"}, (f"{path}={text}" if path else text,))
    settle(folder / "noise.yaml", catalog, {"DATA": "/data"})
