"""Records that somebody forged, with the digests of what he forged: every command that reads them ends in a line, or in what it makes."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from sere_core.cli import main, run_main
from sere_core.compare.jobs import run_job
from sere_core.model.folder import seal
from sere_core.score.records import digest_files
from sere_registry.errors import SereError
from tests.compare.tiny import BASE, COMPARISON, made
from tests.corpora.layouts import sound, write
from tests.end_to_end.conftest import TINY

JSON_FILES = ("manifest.json", "folds.json", "scores.json", "history.jsonl", "done")
ODD: tuple[Any, ...] = (None, True, -1, 10**30, 1e308, "", "x", [], {}, [[]], {"x": [None]}, "\x1b[2J", [1, "x"])
TEXTS: dict[str, bytes] = {
    "deep list": b"[" * 100_000,
    "deep mapping": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "huge integer": b'{"a": ' + b"9" * 100_000 + b"}",
    "not finite": b'{"mean": {"uar": NaN}}',
    "overflow": b'{"mean": {"uar": 1e999}}',
    "surrogate": b'{"name": "\\ud800"}',
    "not UTF-8": b'{"name": "\xff\xfe"}',
    "NUL": b"\0" * 1000,
    "empty": b"",
    "YAML aliases": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(12)),
    "YAML depth": b"a: " + b"[" * 5000,
    "YAML tag": b"a: !!python/object/apply:os.system [true]\n",
}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A finished run's record."""
    folder = tmp_path_factory.mktemp("forged")
    (folder / "tiny.yaml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERE_CACHE", str(folder / "cache"))
        patch.chdir(folder)
        assert run_main(["tiny.yaml", "--set", "train.epochs=1", "--quiet"]) == 0
        yield next((folder / "runs").glob("*/done")).parent.absolute()


def commands(record: Path) -> dict[str, Callable[[], object]]:
    """What reads a record."""
    import sere

    def from_python() -> None:
        read = sere.read_record(record)
        read.uar, read.confusion(), read.misclassified(), read.tables(), repr(read), read._repr_html_(), read.history, read.timing

    return {
        "report": lambda: main(["report", str(record), "--resonance", "0", "-o", "page.html"]),
        "embeddings": lambda: main(["embeddings", str(record), "-o", "map.png"]),
        "export": lambda: main(["export", str(record), "--fold", "1", "-o", "model"]),
        "import sere": from_python,
    }


def forge(record: Path, name: str, content: bytes | Callable[[Path], None]) -> None:
    """Put something into a record, with the digests of what is there now."""
    path = record / name
    if callable(content):
        path.unlink()
        content(path)
        return
    path.write_bytes(content)
    if name != "done":
        (record / "done").write_text(json.dumps({"sha256": digest_files(record)}))


def mutated(draw: random.Random, data: Any) -> Any:
    """JSON data with one part replaced, removed or doubled."""
    if isinstance(data, (dict, list)) and data and draw.random() < 0.85:
        keys: Sequence[Any] = list(data) if isinstance(data, dict) else range(len(data))
        key, copy = draw.choice(keys), data.copy()
        if draw.random() < 0.15:
            del copy[key]
        else:
            copy[key] = mutated(draw, data[key])
        return copy
    return draw.choice(ODD)


def cases(draw: random.Random, count: int, record: Path) -> Iterator[tuple[str, str, bytes | Callable[[Path], None]]]:
    """(what, file, what is put there)."""
    special: list[tuple[str, str, bytes | Callable[[Path], None]]] = []
    special += [(what, name, text) for what, text in TEXTS.items() for name in (*JSON_FILES, "config.yaml", "predictions.csv")]
    for name in (*JSON_FILES, "config.yaml", "predictions.csv", "checkpoints/fold-0.safetensors"):
        special += [("folder", name, Path.mkdir), ("FIFO", name, os.mkfifo), ("loop", name, lambda path: path.symlink_to(path))]
        special += [("cut", name, (record / name).read_bytes()[: draw.randrange(1, (record / name).stat().st_size)])]
    yield from draw.sample(special, min(len(special), count))


@pytest.mark.parametrize("count", [8, pytest.param(300, marks=pytest.mark.counts)])
def test_forged_records_end_in_a_line(record: Path, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    draw, results = random.Random(count), Counter[str]()
    for what, name, content in cases(draw, count, record):
        copy = tmp_path / record.name
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(record, copy)
        forge(copy, name, content)
        command, call = draw.choice(list(commands(copy).items()))
        try:
            code = call() or 0
            said = capsys.readouterr().err
        except SereError as cause:
            code, said = 1, f"{cause}\n"
        assert "Traceback" not in said, (what, name, command, said)
        assert not code or "[T505]" in said or "[C3" in said, (what, name, command, said)
        results["line" if code else "no use of it"] += 1
    with capsys.disabled():
        print(f"\nforged records: {dict(results)}")


@pytest.fixture(scope="module")
def resonance(record: Path) -> list[str]:
    """The words that draw a map of this record, wherever it is copied to."""
    first, second = json.loads((record / "folds.json").read_bytes())["folds"][0]["test"][:2]
    return [
        "resonance",
        str(record.parents[1] / "tiny.yaml"),
        first,
        second,
        "--fold",
        "1",
        "-o",
        "resonance.png",
        "--set",
        "train.epochs=1",
    ]


@pytest.mark.counts
def test_a_map_of_a_forged_record_ends_in_a_line(
    record: Path, resonance: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*resonance, "--set", f"output.dir={tmp_path}"]
    copy = tmp_path / record.name
    for name in (None, "checkpoints/fold-0.safetensors", "done", "config.yaml"):
        for content in (b"", b"[" * 100_000, os.mkfifo):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(record, copy)
            if name is None:
                assert main(words) == 0, capsys.readouterr().err
                continue
            forge(copy, name, content)
            code, said = main(words), capsys.readouterr().err
            assert "Traceback" not in said and (not code or "[T505]" in said or "[C302]" in said), (name, said)
            assert code or name == "config.yaml", "what it does not read may be anything"


@pytest.mark.counts
def test_forged_records_in_a_comparison_end_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(BASE)
    plan, folder = made(COMPARISON)
    jobs = [job.job for job in plan.jobs]
    assert all(run_job(folder, job).code == "" for job in jobs)
    draw, record, calls = random.Random(0), folder / "records" / jobs[1], (["table", str(folder)], ["report", str(folder), "--quiet"])
    shutil.copytree(record, tmp_path / "sound")
    forgeries = [each for each in cases(draw, 30, record) if each[1] in (*JSON_FILES, "config.yaml", "predictions.csv")]
    for what, name, content in forgeries:
        shutil.rmtree(record)
        shutil.copytree(tmp_path / "sound", record)
        forge(record, name, content)
        for call in calls:
            code, told = main(call), capsys.readouterr()
            said = told.out + told.err
            assert "Traceback" not in said and (not code or "[T505]" in said or "[T506]" in said), (what, name, call, said)


@pytest.mark.counts
def test_forged_models_end_in_a_line(record: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound_model, model = tmp_path / "sound", tmp_path / "model"
    assert main(["export", str(record), "-o", str(sound_model), "--quiet"]) == 0
    write(tmp_path / "one.wav", sound("anger", "s1", "a"))
    write(tmp_path / "two.wav", sound("sadness", "s1", "a"))
    files = [str(tmp_path / "one.wav"), str(tmp_path / "two.wav")]
    calls = {
        "predict": ["predict", str(model), *files, "-o", str(tmp_path / "predicted.csv"), "--fresh", "--quiet"],
        "annotate": ["annotate", str(model), *files, "-k", "1", "--list", "-o", str(tmp_path / "labels.csv")],
    }
    draw, results = random.Random(0), Counter[str]()
    special: list[tuple[str, str, bytes | Callable[[Path], None]]] = []
    for name in ("config.yaml", "model.json", "weights.safetensors", "sha256"):
        special += [(what, name, text) for what, text in TEXTS.items()]
        special += [("folder", name, Path.mkdir), ("FIFO", name, os.mkfifo), ("loop", name, lambda path: path.symlink_to(path))]
    about = json.loads((sound_model / "model.json").read_bytes())
    forgeries = [*draw.sample(special, 30), *(("key", "model.json", json.dumps(mutated(draw, about)).encode()) for _ in range(30))]
    for what, name, content in [("nothing", "README.md", b"# sound\n"), *forgeries]:
        shutil.rmtree(model, ignore_errors=True)
        shutil.copytree(sound_model, model)
        (model / name).unlink()
        if callable(content):
            content(model / name)
        else:
            (model / name).write_bytes(content)
            if name != "sha256":
                seal(model)
        for command, words in calls.items():
            code, said = main(words), capsys.readouterr().err
            assert "Traceback" not in said and (not code or "[T505]" in said), (what, name, command, said)
            assert not code or what != "nothing", said
            results["line" if code else "no use of it"] += 1
    with capsys.disabled():
        print(f"\nforged models: {dict(results)}")
