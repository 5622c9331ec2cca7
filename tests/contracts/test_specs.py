"""What every component says of itself, read from its declaration without building it."""

from __future__ import annotations

import ast
import importlib.util
import json
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from docs.make_components import PAGE, page
from sere_registry import API, GROUPS, ComponentSpec
from sere_registry.entries import Entry
from tests.contracts.components import companions, entries

ROOT = Path(__file__).parents[2]
ENTRIES = [pytest.param(entry, id=f"{entry.kind}-{entry.short_name}") for entry in entries()]
#: values of parameters that have no default
NEEDED = {"root": "folder", "file": "list.csv"}


def test_everything_that_the_project_announces_is_found() -> None:
    """An installation older than pyproject.toml would hide components from all these tests."""
    announced = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert {name for group in GROUPS.values() for name in announced.get(group, {})} == {entry.full_name for entry in entries()}


@pytest.mark.parametrize("kind", GROUPS)
def test_every_kind_has_a_contract(kind: str) -> None:
    """A file that runs every component of the kind: `cases("<kind>")`."""
    files = {path.name: path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py")}
    assert any(f'cases("{kind}")' in text for text in files.values()), f"no contract for {kind}"


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_declaration(entry: Entry) -> None:
    spec = entry.spec
    assert (spec.kind, spec.name, spec.api) == (entry.kind, entry.short_name, API)
    assert spec.summary and "\n" not in spec.summary and spec.summary == spec.summary.strip() and not spec.summary.endswith(".")
    assert spec.evidence == "confirmed" or spec.cite or spec.tags, "what is reconstructed has an original"
    assert spec.load() is spec.load()


@pytest.mark.parametrize("entry", ENTRIES)
def test_the_parameters(entry: Entry) -> None:
    model = entry.spec.params
    schema = model.model_json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert schema["additionalProperties"] is False, "an unknown key must be an error"
    assert set(schema.get("properties", {})) == set(model.model_fields)
    for name, about in model.model_fields.items():
        assert about.description and about.description == about.description.strip(), f"{name} has no description"
        if not about.is_required():
            json.dumps(about.default)
    needed = {name: NEEDED[name] for name, about in model.model_fields.items() if about.is_required()}
    made = model(**needed)
    assert model.model_validate_json(made.model_dump_json()) == made
    assert model(**json.loads(made.model_dump_json())) == made, "the values of a record are those of a config"


@pytest.mark.parametrize("entry", ENTRIES)
def test_search_ranges_lie_within_the_bounds(entry: Entry) -> None:
    needed = {name: NEEDED[name] for name, about in entry.spec.params.model_fields.items() if about.is_required()}
    for name, about in entry.spec.params.model_fields.items():
        search: Any = (about.json_schema_extra or {}).get("search")  # type: ignore[union-attr]
        if search is None or name == "top_layers":  # which only one value of `train` allows
            continue
        for value in search[1] if search[0] == "choice" else search[1:]:
            entry.spec.params(**needed, **{name: value, **companions(entry, name, value)})


def test_announcing_imports_no_arrays() -> None:
    """Listing, checking and suggesting must cost milliseconds, and must work where torch is broken."""
    modules = sorted({entry.value.partition(":")[0] for entry in entries()})
    code = f"""
import importlib, sys
for name in {modules!r}:
    importlib.import_module(name)
    heavy = {{"torch", "numpy", "scipy", "transformers", "librosa"}} & set(sys.modules)
    if heavy:
        sys.exit(f"{{name}} imports {{heavy}}")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_parameter_is_read(entry: Entry) -> None:
    """Its name stands as an attribute in the factory's module or in one that it imports: a parameter that nothing reads is a lie."""
    read: set[str] = set()
    for module in _reachable(_module(entry.spec)):
        read |= _attributes(module)
    assert set(entry.spec.params.model_fields) <= read


def _module(spec: ComponentSpec) -> str:
    return spec.factory.partition(":")[0]


def _reachable(module: str) -> set[str]:
    """The module and all of its own package that it imports, whose specs do not count: they declare."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [other for other in _imports(name) if other.startswith("sere_plugins.") and ".specs" not in other]
    return found


@cache
def _tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    assert spec is not None and spec.origin is not None
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _imports(module: str) -> set[str]:
    found = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | {name for name in inner if name.startswith("sere_plugins.") and _is_module(name)}
    return found


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _attributes(module: str) -> set[str]:
    return {node.attr for node in ast.walk(_tree(module)) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load)}


def test_the_page_of_components_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python docs/make_components.py"
