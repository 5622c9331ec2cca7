"""What the cache takes to have made an array: of an encoder's package what it reaches, of the engine what reads audio."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sere_core.config import Bound, source_code
from sere_core.config.source_code import reached
from sere_core.content import Contents
from sere_core.features.origin import encoder_origin, engine_origin
from sere_registry import ComponentSpec, NoParams, Params
from sere_registry.catalog import Catalog

FILES = {
    "__init__.py": "",
    "encoders.py": "from . import near\nfrom .deep.more import x\nimport json, scipy.signal\n",
    "near.py": "def late():\n    from PACKAGE.far import *\n",
    "deep/__init__.py": "",
    "deep/more.py": "from ..table import y as x\n",
    "far.py": "y = 1\n",
    "table.py": "y = 2\n",
    "weights.npy": "0000",
    "losses.py": "from PACKAGE import encoders\n",
}
_NUMBERS = itertools.count()
Origin = Callable[[str], list[str]]


class Paths(Params):
    """An encoder that reads a file of the user's."""

    weights: Path


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with an encoder, under a name of its own: what was read of a module is remembered."""
    name = f"origin_test_{next(_NUMBERS)}"
    for file, text in FILES.items():
        (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name / file).write_text(text.replace("PACKAGE", name))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / name


def bound(factory: str, params: Params | None = None, use: str = "x.it", distribution: str = "not-installed") -> Bound:
    spec = ComponentSpec(kind="encoder", name="it", summary="for tests", factory=factory, params=type(params or NoParams()))
    return Bound(spec, "x.it", distribution, "1.0", params or NoParams(), "encoders.it", use)


def origin(package: Path) -> list[str]:
    return encoder_origin(bound(f"{package.name}.encoders:It"), Contents())


@pytest.mark.parametrize("file", FILES)
def test_what_an_encoder_reaches_in_its_package_counts(package: Path, file: str) -> None:
    before = origin(package)
    assert origin(package) == before and any(each.startswith("scipy ") for each in before) and package.name not in sys.modules
    (package / file).write_text((package / file).read_text() + "\n")
    assert (origin(package) != before) is (file != "losses.py")


def test_new_data_count_and_compiled_python_does_not(package: Path) -> None:
    before = origin(package)
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "near.cpython-311.pyc").write_bytes(b"0")
    assert origin(package) == before
    (package / "deep" / "more.txt").write_text("")
    assert origin(package) != before


@pytest.mark.parametrize("call", ["importlib.import_module('.losses', __package__)", "exec(open(somewhere).read())"])
def test_where_code_is_run_that_no_import_names_all_of_the_package_counts(package: Path, call: str) -> None:
    (package / "near.py").write_text(f"import importlib\n{call}\n")
    before = origin(package)
    (package / "losses.py").write_text("")
    assert origin(package) != before


def test_an_encoder_made_of_another_packages_encoder_counts_that_too(package: Path) -> None:
    (package / "near.py").write_text("from sere_plugins.encoders.whisper import Whisper\n")
    modules, others = reached({f"{package.name}.encoders"}, {package.name, "sere_plugins"})
    assert {"sere_plugins.encoders.pretrained", "sere_plugins.encoders.checkpoint", f"{package.name}.table"} <= modules
    assert {"scipy", "json", "torch", "transformers"} <= others


def test_a_library_counts_by_version_and_a_checkout_on_the_path_by_content(package: Path, tmp_path: Path) -> None:
    other = tmp_path / f"{package.name}_lab"
    other.mkdir()
    (other / "__init__.py").write_text("")
    (package / "near.py").write_text(f"import {other.name}.dsp\n")
    before = origin(package)
    (other / "dsp.py").write_text("y = 1\n")
    assert next(one for one, its in zip(origin(package), before, strict=True) if one != its).startswith(other.name)


def test_files_that_parameters_name_count_by_content(package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "weights").write_bytes(b"0")
    given = bound(f"{package.name}.encoders:It", Paths(weights=folder))
    before = encoder_origin(given, Contents())
    (folder / "weights").write_bytes(b"1")
    assert encoder_origin(given, Contents()) != before
    folder.rename(tmp_path / "moved")
    (tmp_path / "moved" / "weights").write_bytes(b"0")
    assert encoder_origin(bound(f"{package.name}.encoders:It", Paths(weights=tmp_path / "moved")), Contents()) == before


def test_a_file_as_encoder_counts_with_what_it_imports(package: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(f"import beside, {package.name}.far\n")
    (tmp_path / "beside.py").write_text("y = 1\n")

    def found() -> list[str]:
        return encoder_origin(bound("sere_local_mine:It", use="file:./mine.py:SPEC", distribution=str(tmp_path / "mine.py")), Contents())

    before = found()
    for name in ("mine.py", "beside.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "\n")
        assert found() != before
        before = found()


def test_the_engines_part_follows_its_code_and_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    before = engine_origin(Contents())
    assert {each.split()[0] for each in before[1:]} >= {"librosa", "soxr", "soundfile", "torch", "torchcrepe", "numpy"}
    digest = Contents.digest
    monkeypatch.setattr(Contents, "digest", lambda self, path: "edited" if path.name == "spectra.py" else digest(self, path))
    assert engine_origin(Contents())[0] != before[0] and engine_origin(Contents())[1:] == before[1:]


def test_of_the_engines_functions_an_encoder_counts_the_files_that_it_imports(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss's helper may change, and the features are still good; who imports from the package as a whole counts all of it."""
    counted: dict[str, set[str]] = {}
    for line in (
        "",
        "from sere_core.functional.frames import wide",
        "from sere_core.functional.rows import mmd",
        "from sere_core.functional import mmd",
    ):
        (package / "near.py").write_text(line)
        monkeypatch.setattr(
            "sere_core.features.origin.digest_of", lambda files, contents, line=line: counted.update({line: {name for name, _ in files}})
        )
        encoder_origin(bound(f"{package.name}.encoders:It"), Contents())
        source_code._tree.cache_clear()
    used = [{Path(name).name for name in names if "functional/" in name} for names in counted.values()]
    assert used[:3] == [set(), {"frames.py"}, {"frames.py", "rows.py"}]
    assert {"__init__.py", "adversaries.py", "modules.py"} < used[3]


@pytest.mark.parametrize("encoder", ["acoustic", "logmel", "whisper"])
def test_no_encoder_of_sere_counts_what_losses_use(encoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names: set[str] = set()
    monkeypatch.setattr("sere_core.features.origin.digest_of", lambda files, contents: names.update(name for name, _ in files))
    entry = Catalog(environ={}).find("encoder", encoder)
    spec = entry.spec
    encoder_origin(
        Bound(spec, entry.full_name, entry.distribution, entry.version, spec.params(), "encoders.it", entry.full_name), Contents()
    )
    assert not {name for name in names if "functional/" in name} - {"sere_core/functional/frames.py"} and not {
        each for each in names if "losses/" in each
    }
