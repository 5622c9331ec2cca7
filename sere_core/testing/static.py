"""What a component says of itself, read without building it."""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterable
from typing import Annotated, Any

from sere_core.testing.subject import Checks, NotRun, Subject
from sere_registry import SereError
from sere_registry.kinds import FIRST_PARTY
from sere_registry.scan import canonical

CHECKS = Checks()

#: names that a distribution must not put on everybody's import path
_WORDS = "tests test testing plugins plugin registry configs config docs doc examples example src lib scripts utils common data models"
GENERIC = frozenset(_WORDS.split())


@CHECKS("static.names")
def names(subject: Subject) -> None:
    """Its entry point is named `namespace.name`, in lower case, and `sere.` is sere's own."""
    entry = subject.entry
    if entry.local:
        return
    namespace, _, name = entry.full_name.partition(".")
    assert name, f"'{entry.full_name}' has no namespace: write `{canonical(entry.distribution).rpartition('-')[2]}.{entry.full_name}`"
    for part in (namespace, name):
        assert part.isidentifier() and part == part.lower(), f"'{part}' of '{entry.full_name}' is not a lower-case identifier"
    assert not entry.usurps, f"'{entry.full_name}': the namespace `sere.` is reserved for sere itself"


@CHECKS("static.metadata", "static.names")
def metadata(subject: Subject) -> None:
    """Its entry point leads to a ComponentSpec of its kind, name and api."""
    entry = subject.entry
    try:
        spec = entry.load(_nowhere()) if entry.local else subject.catalog.find(entry.kind, entry.full_name).spec
    except SereError as problem:
        if problem.problems[0].code == "P108":
            raise NotRun(f"{problem.problems[0].message}; {problem.problems[0].hint}") from None
        raise
    assert ":" in spec.factory, f"the factory '{spec.factory}' is not `module:attribute`"
    assert spec.evidence == "confirmed" or spec.cite or spec.tags, f"what is {spec.evidence} has an original: say which in `cite`"


@CHECKS("static.descriptions", "static.metadata")
def descriptions(subject: Subject) -> None:
    """It has a summary of one line, and each parameter a description."""
    summary = subject.spec.summary
    assert summary and summary == summary.strip() and "\n" not in summary, "the summary is not one line"
    for name, about in subject.spec.params.model_fields.items():
        assert about.description and about.description.strip(), f"the parameter '{name}' has no description"


@CHECKS("static.schema", "static.metadata")
def schema(subject: Subject) -> None:
    """Its parameters have a JSON Schema, refuse unknown keys, and their defaults and search ranges keep to it."""
    from pydantic import TypeAdapter

    model = subject.spec.params
    found = model.model_json_schema()
    assert json.loads(json.dumps(found)) == found
    assert found.get("additionalProperties") is False, "an unknown key must be an error: derive from sere_registry.Params"
    for name, about in model.model_fields.items():
        kept: Any = Annotated[about.annotation, about]
        field: TypeAdapter[Any] = TypeAdapter(kept)
        if not about.is_required():
            default = about.get_default(call_default_factory=True, validated_data={})
            again = field.validate_json(field.dump_json(default))
            assert again == default, f"the default of '{name}' is {default!r}, and {again!r} after a way through JSON"
            field.validate_python(default)
        for value in _searched(about):
            field.validate_python(value)


@CHECKS("static.bounds", "static.metadata")
def bounds(subject: Subject) -> None:
    """Its distribution requires a range of versions of sere that has an upper end."""
    from packaging.requirements import InvalidRequirement, Requirement

    entry = subject.entry
    if entry.local or entry.distribution == FIRST_PARTY:
        return
    ranges = []
    for text in entry.requires:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            continue
        if canonical(wanted.name) == FIRST_PARTY and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            ranges.append(wanted.specifier)
    advice = 'write dependencies = ["sere>=0.1,<0.2"]'
    assert ranges, f"{entry.distribution} does not require sere: {advice}"
    closed = any(part.operator in ("<", "<=", "~=", "==", "===") for specifier in ranges for part in specifier)
    assert closed, f"{entry.distribution} requires sere{ranges[0]}, which has no upper end: {advice}"


@CHECKS("static.top_level")
def top_level(subject: Subject) -> None:
    """Its distribution installs no module with a name that anybody might use."""
    entry = subject.entry
    if entry.local:
        return
    try:
        files = importlib.metadata.files(entry.distribution)
    except importlib.metadata.PackageNotFoundError:
        return  # announced in memory: nothing is installed
    generic = sorted(top_level_names(str(file) for file in files or ()) & GENERIC)
    assert not generic, f"{entry.distribution} installs the top-level {', '.join(generic)}: put it into a package of its own"


def top_level_names(files: Iterable[str]) -> set[str]:
    """The modules and packages that stand on top of a distribution.

    >>> sorted(top_level_names(["xyz/__init__.py", "tests/test_a.py", "one.py", "xyz-1.0.dist-info/RECORD", "../../bin/xyz"]))
    ['one', 'tests', 'xyz']
    """
    found = set()
    for file in files:
        first, _, rest = file.replace("\\", "/").partition("/")
        if first.startswith((".", "_")) or first.endswith((".dist-info", ".data", ".pth")):
            continue
        if rest:
            found.add(first)
        elif first.endswith(".py"):
            found.add(first.removesuffix(".py"))
    return found


def _searched(about: Any) -> list[Any]:
    """The values at the ends of a parameter's search range, or all of its choices."""
    extra = about.json_schema_extra
    search = extra.get("search") if isinstance(extra, dict) else None
    if not search:
        return []
    return list(search[1]) if search[0] == "choice" else list(search[1:])


def _nowhere() -> Any:
    from sere_registry.errors import Place

    return Place()
