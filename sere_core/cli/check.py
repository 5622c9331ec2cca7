"""`sere plugins check`: does an installed plugin keep what its kind promises?  The conformance kit, without writing tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sere_core.testing.subject import Result
    from sere_registry.catalog import Catalog
    from sere_registry.entries import Entry

#: what is said of a component, and of all of them: one width
WORDS = {True: "passed", None: "partly", False: "FAILED"}


def add_arguments(parser: Any) -> None:
    """What is checked, and values for parameters that have no default."""
    parser.add_argument("names", nargs="+", metavar="DIST|NAME", help="a distribution, a component, or KIND=file:PATH:ATTRIBUTE")
    parser.add_argument(
        "--set",
        dest="sets",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter of all components that have it; repeatable",
    )


def run(arguments: Any, catalog: Catalog) -> int:
    """Check what the arguments name; see `check`."""
    from sere_registry import error

    params: dict[str, Any] = {}
    for text in arguments.sets:
        name, equals, value = text.partition("=")
        if not equals:
            raise error("C305", f"--set {text}: there is no `=`", "write --set root=/data/emodb")
        params[name] = _value(value)
    return check(arguments.names, arguments.json, catalog=catalog, params=params)


def check(names: Sequence[str], as_json: bool, *, catalog: Catalog | None = None, params: Mapping[str, Any] | None = None) -> int:
    """Run the kit on components and print what it finds, one line for each component and each failed check.

    A component is `passed` if all of its checks were run; `partly` says that some could not be (no corpus folder, no weights), which
    are counted with the reason.  As JSON, `passed` is true, false, or null for partly.

    Returns:
        0, or 3 where a check failed.

    Raises:
        SereError: R201 for a name that is neither a distribution nor a component.
    """
    from sere_core.testing.harness import run_entry
    from sere_registry.catalog import Catalog

    catalog = Catalog() if catalog is None else catalog
    rows: list[dict[str, Any]] = []
    for entry in entries_of(names, catalog):
        known = entry.loaded or _spec(entry)
        mine = {name: value for name, value in (params or {}).items() if known is not None and name in known.params.model_fields}
        results = run_entry(entry, catalog, mine)
        rows.append({"kind": entry.kind, "name": entry.full_name, "distribution": entry.distribution, "version": entry.version})
        rows[-1]["passed"] = verdict(result.passed for result in results)
        rows[-1]["not_run"] = sum(result.passed is None for result in results)
        rows[-1]["why_not_run"] = reasons(results)
        rows[-1]["checks"] = [{"id": result.id, "passed": result.passed, "message": result.message} for result in results]
        if not as_json:
            _show(entry, results)
    passed, not_run = verdict(row["passed"] for row in rows), sum(row["not_run"] for row in rows)
    if as_json:
        print(json.dumps({"components": rows, "passed": passed, "not_run": not_run}, indent=2, ensure_ascii=False))
    elif len(rows) > 1:
        found = [row["passed"] for row in rows]
        counts = f"{found.count(True)} passed, {found.count(None)} partly, {found.count(False)} failed"
        print(f"{WORDS[passed]}  {len(rows)} components: {counts}" + (f"; {not_run} checks not run" if not_run else ""))
    return 3 if passed is False else 0


def verdict(found: Iterable[bool | None]) -> bool | None:
    """False if one is False, else None if one is None, else True.

    >>> verdict([True, None]), verdict([None, False]), verdict([True])
    (None, False, True)
    """
    every = set(found)
    return False if False in every else None if None in every else True


def reasons(results: Sequence[Result]) -> list[str]:
    """Why checks were not run, each reason once; what waits for a check that failed has none of its own."""
    return [str(result) for result in results if result.passed is None and not result.message.startswith("not run after")]


def entries_of(names: Sequence[str], catalog: Catalog) -> list[Entry]:
    """The entries that the names mean, each once."""
    from sere_core.testing.harness import entry_of
    from sere_registry import error, suggest
    from sere_registry.scan import canonical

    found: list[Entry] = []
    for name in names:
        kind, equals, rest = name.partition("=")
        if equals and rest.startswith("file:"):
            found.append(entry_of(kind, rest, catalog))
            continue
        mine = [entry for entry in catalog.entries if canonical(entry.distribution) == canonical(name)]
        mine = mine or [entry for entry in catalog.entries if name in (entry.full_name, entry.short_name)]
        if not mine:
            known = {entry.distribution for entry in catalog.entries} | {entry.full_name for entry in catalog.entries}
            raise error("R201", f"'{name}' is neither a distribution with components nor a component", suggest(name, known))
        found += [entry for entry in mine if entry not in found]
    return found


def _spec(entry: Entry) -> Any:
    """Its spec, None where it cannot be had: the kit says why."""
    from sere_registry import SereError
    from sere_registry.errors import Place

    try:
        return entry.load(Place())
    except SereError:
        return None


def _show(entry: Entry, results: Sequence[Result]) -> None:
    found = [result.passed for result in results]
    count = f"{found.count(True)} of {len(found)} checks"
    if None in found:
        count += f"; {found.count(None)} not run: {'; '.join(reasons(results)) or 'they come after one that failed'}"
    print(f"{WORDS[verdict(found)]}  {entry.kind} {entry.full_name} ({entry.owner}): {count}", flush=True)
    for result in results:
        if result.passed is False:
            print(f"    {result}")


def _value(text: str) -> Any:
    """JSON where it is JSON, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text
