"""`sere doctor`: what it finds in environments that are broken in known ways."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sere_core.cli import doctor
from sere_registry.catalog import Catalog, Entry

Install = Callable[..., None]


class Installed:
    """A distribution of which only what is read is there."""

    def __init__(self, folder: Path, name: str, version: str) -> None:
        self.folder, self.name, self.version = folder, name, version

    def locate_file(self, path: str) -> Path:
        return self.folder / path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """`install("torch", "2.13.0+cpu", {"torch/version.py": "..."})`; nothing else is installed."""
    there: dict[str, Any] = {}
    monkeypatch.setattr(doctor, "_metadata", there.get)

    def install(name: str, version: str, files: dict[str, bytes] | None = None) -> None:
        there[name] = Installed(tmp_path, name, version)
        for path, content in (files or {}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_bytes(content)

    return install


CPU = b"__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nraise RuntimeError('run')\n"
CUDA = b"__version__ = '2.13.0+cu126'\ncuda: Optional[str] = '12.6'\n"


def found() -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in doctor.torch()}


def test_the_build_of_torch_is_read_and_not_run(install: Install) -> None:
    install("torch", "2.13.0", {"torch/version.py": CPU})
    assert found()["torch"].text == "2.13.0+cpu (CPU build)"
    install("torch", "2.13.0", {"torch/version.py": CUDA})
    assert found()["torch"].text == "2.13.0+cu126 (CUDA 12.6)"
    (doctor._metadata("torch").locate_file("torch/version.py")).unlink()  # type: ignore[union-attr]
    install("torch", "2.13.0+cu126")
    assert found()["torch"].text == "2.13.0+cu126 (CUDA 126)"


@pytest.mark.parametrize(
    ("version", "library", "state"),
    [("2.13.0", b"libcudart.so.12", "bad"), ("2.13.0+cu126", b"", "bad"), ("2.9.0+cpu", b"", "bad"), ("2.13.0+cpu", b"libc.so", "note")],
)
def test_a_torchaudio_that_does_not_fit(install: Install, version: str, library: bytes, state: str) -> None:
    install("torch", "2.13.0", {"torch/version.py": CPU})
    install("torchaudio", version, {"torchaudio/lib/libtorchaudio.so": library})
    finding = found()["torchaudio"]
    assert finding.state == state
    if state == "bad":
        assert finding.problem is not None and finding.problem.code == "X701" and "pip uninstall torchaudio" in finding.problem.hint


def test_the_pin_of_torchcrepe(install: Install) -> None:
    install("torch", "2.13.0", {"torch/version.py": CPU})
    install("torchcrepe", "0.0.22")
    assert found()["torchcrepe"].state == "ok"
    install("torchcrepe", "0.0.24")
    finding = found()["torchcrepe"]
    assert finding.problem is not None and finding.problem.hint == "pip install torchcrepe==0.0.22"


def test_an_idle_gpu_is_worth_a_note(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("torch", "2.13.0", {"torch/version.py": CPU})
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    finding = doctor.devices()
    assert finding.state == "note" and finding.problem is not None and finding.problem.code == "X702"
    install("torch", "2.13.0", {"torch/version.py": CUDA})
    assert doctor.devices().state == "ok"


def test_the_cache_is_measured_and_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERE_CACHE", str(tmp_path / "cache" / "deep"))
    assert doctor.cache().state in ("ok", "note") and "not made yet" in doctor.cache().text and not (tmp_path / "cache").exists()
    (tmp_path / "cache" / "deep").mkdir(parents=True)
    (tmp_path / "cache" / "deep" / "x").write_bytes(b"0" * 1500)
    assert "1 file, 1.5 kB" in doctor.cache().text
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SERE_CACHE", str(tmp_path / "file" / "below"))
    finding = doctor.cache()
    assert finding.state == "bad" and finding.problem is not None and finding.problem.code == "X704"


def test_a_checkout_that_was_not_installed_again(tmp_path: Path) -> None:
    project = tmp_path / "pyproject.toml"
    scripts = '[project.scripts]\nsere = "a:b"\n'
    project.write_text(f'[project]\nname = "sere"\n{scripts}[project.entry-points."sere.losses"]\n"sere.x" = "a:B"\n')
    assert doctor._declared(project) == {("console_scripts", "sere"), ("sere.losses", "sere.x")}
    project.write_text(f'[project]\nname = "another"\n{scripts}')
    assert doctor._declared(project) == set()
    project.write_text("not toml [")
    assert doctor._declared(project) == set()


def test_a_broken_plugin_alone_exits_with_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> Any:
        raise ImportError("gone")

    known = Catalog([Entry.of(fails, distribution="sere-xyz", name="xyz.gone", kind="loss")], environ={}, host_version="0.1.0")
    monkeypatch.setattr(doctor, "examine", lambda: iter([doctor.Finding("python", "3")]))
    assert doctor.run(Namespace(json=False, deep=False), known) == 3
    out = capsys.readouterr().out
    assert "BAD   plugin sere-xyz" in out and "[P102] loss 'xyz.gone' of sere-xyz 1.0" in out
    assert doctor.run(Namespace(json=True, deep=False), Catalog([], environ={})) == 0


def test_this_environment_is_examined_without_importing_anything_heavy() -> None:
    script = "from sere_core.cli import main\ncode = main(['doctor', '--json'])\nimport sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    text, _, modules = done.stdout.rpartition("}")
    names = [finding["name"] for finding in json.loads(text + "}")["findings"]]
    assert names[:2] == ["python", "sere"] and {"torch", "torchcrepe", "devices", "cache", "extra avi", "plugins"} <= set(names)
    assert not set(modules.split()) & {"torch", "numpy", "transformers", "librosa", "torchaudio", "torchcrepe"}
