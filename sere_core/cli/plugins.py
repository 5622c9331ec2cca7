"""`sere plugins`: the components of this environment, the broken ones too; and `info`, `doctor`, `check` and `new`."""

from __future__ import annotations

import contextlib
import sys
import textwrap
import traceback
from argparse import SUPPRESS, Namespace
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, get_args

from sere_core.cli import new_plugin
from sere_core.cli.arguments import Subparsers, add_command, add_repeated, print_json, read_values
from sere_core.cli.parameters import Parameter, parameters
from sere_core.config.loader import rooted
from sere_core.config.nodes import plain
from sere_core.config.source_code import missing_factory, module_file, reads
from sere_registry.catalog import Catalog
from sere_registry.entries import WORDS, Entry
from sere_registry.errors import Place, Problem, SereError, error, suggest
from sere_registry.kinds import Kind
from sere_registry.scan import canonical

if TYPE_CHECKING:
    from sere_core.testing.subject import Result

KINDS: tuple[Kind, ...] = get_args(Kind)
#: findings that break no run that was not asked for them: the user's own choice, or an extra that is not installed
HARMLESS = frozenset({"P107", "P108"})
#: what `check` says of a component, and of all of them: one width
_VERDICTS = {True: "passed", None: "partly", False: "FAILED"}
_ASKS = {"loss": "reads", "selector": "reads", "hook": "listens to"}

_LIST = """\
examples:
  sere plugins
  sere plugins --kind loss --json"""
_INFO = """\
examples:
  sere plugins info tric
  sere plugins info file:./my_loss.py:SPEC"""
_DOCTOR = """\
examples:
  sere plugins doctor"""
_CHECK = """\
examples:
  sere plugins check sere-plugin-xyz
  sere plugins check tric
  sere plugins check loss=file:./my_loss.py:SPEC"""
_NEW = """\
examples:
  sere plugins new sere-plugin-xyz --kind loss
  sere plugins new xyz.focal --kind loss --into ~/plugins"""


def add_parser(subparsers: Subparsers) -> None:
    parser = add_command(subparsers, "plugins", show_all, _LIST, json=True)
    parser.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"only these: {', '.join(KINDS)}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    # absent after the verb does not mean False: they may have stood before it
    info = add_command(verbs, "info", show_info, _INFO, json=True, absent=SUPPRESS, verb="all about one component")
    info.add_argument("name", metavar="NAME", help="its short or full name, or file:PATH:ATTRIBUTE")
    info.add_argument("--kind", choices=KINDS, metavar="KIND", help="where several kinds have that name")
    verb = "what is wrong with the plugins of this environment"
    add_command(verbs, "doctor", show_problems, _DOCTOR, json=True, absent=SUPPRESS, verb=verb)
    verb = "does a plugin keep what its kind promises? run the conformance kit"
    check = add_command(verbs, "check", run_checks, _CHECK, json=True, absent=SUPPRESS, verb=verb)
    help = "a distribution, a component, or KIND=file:PATH:ATTRIBUTE"
    check.add_argument("names", nargs="+", metavar="DIST|NAME", help=help)
    add_repeated(check, "--set", "NAME=VALUE", "a parameter of all components that have it", "sets")
    new = add_command(verbs, "new", new_plugin.run, _NEW, json=True, absent=SUPPRESS, verb="write the package of a new plugin")
    help = "sere-plugin-xyz, or NAMESPACE.COMPONENT such as xyz.focal"
    new.add_argument("name", metavar="NAME", help=help)
    new.add_argument("--kind", choices=KINDS, required=True, metavar="KIND", help=f"one of {', '.join(KINDS)}")
    new.add_argument("--into", metavar="DIR", default=".", help="where its folder is made (default: here)")


def show_all(arguments: Namespace, catalog: Catalog | None = None) -> int:
    """List every component: kind, name, distribution, version, state, summary; below it each problem once."""
    catalog = catalog or Catalog(imports="files")
    entries = [entry for entry in catalog.inspect() if arguments.kind in (None, entry.kind)]
    rows = [_about(entry) | {"state": entry.state} for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        row |= {name: getattr(entry.loaded, name, "") for name in ("summary", "evidence", "cite")}
        row["problem"] = str(entry.problem or "")
    if arguments.json:
        print_json({"components": rows, "notes": catalog.notes})
        return 0
    table = [("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE", "SUMMARY")]
    for row in rows:
        summary = f"{row['problem'].partition(' ')[0]} see below" if row["problem"] else row["summary"]
        table.append((row["kind"], row["name"], row["distribution"], row["version"], row["state"], summary))
    widths = [max(len(cells[column]) for cells in table) for column in range(5)]
    for cells in table:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), cells[5]]).rstrip())
    causes = {entry.problem: entry.cause for entry in entries if entry.problem and entry.state != "disabled"}
    for problem, cause in causes.items():
        print(f"\n{problem}")
        if arguments.traceback and cause is not None:
            traceback.print_exception(cause, file=sys.stdout)
    for note in catalog.notes:
        print(f"\nnot listed: {note}")
    return 0


def _about(entry: Entry | None) -> dict[str, str]:
    found = [] if entry is None else [entry.kind, entry.full_name, entry.distribution, entry.version]
    return dict(zip_longest(("kind", "name", "distribution", "version"), found, fillvalue=""))


def show_info(arguments: Namespace, catalog: Catalog | None = None) -> int:
    """Print all that a component declares, and what its code reads; nothing heavy is imported."""
    catalog = catalog or Catalog(imports="files")
    kind = arguments.kind or _kind_of(arguments.name, catalog)
    catalog.probe(entry for entry in catalog.named(arguments.name) if entry.kind == kind)
    entry = catalog.find(kind, arguments.name)
    spec, rows = entry.spec, list(parameters(entry.spec.params))
    file = module_file(spec.factory.partition(":")[0])
    asks = {name: list(given) for name, given in reads(entry.kind, spec.factory).items()}
    if arguments.json:
        declared = ("summary", "evidence", "cite", "api", "factory", "extra")
        about: dict[str, object] = {**_about(entry), "short_name": entry.short_name, "state": entry.state}
        about |= {name: getattr(spec, name) for name in declared}
        about |= {"tags": list(spec.tags), "needs": list(spec.needs), "spec": entry.value, "file": str(file or "")}
        print_json({**about, "reads": asks, "parameters": [asdict(row) for row in rows]})
        return 0
    facts = {
        "evidence": spec.evidence,
        "source": spec.cite,
        "tags": ", ".join(spec.tags),
        "from": f"{entry.owner} (api {spec.api})",
        "spec": entry.value,
        "built by": spec.factory,
        "file": str(file or ""),
        "needs": ", ".join(spec.needs),
    }
    label = _ASKS.get(entry.kind, "reads")
    facts |= {label if len(asks) == 1 else f"{label} ({name})": ", ".join(given) for name, given in asks.items()}
    width = max(map(len, facts))
    print(f"{entry.kind} {entry.full_name}\n{_wrapped(spec.summary, '  ')}\n")
    print("\n".join(f"  {name.ljust(width)}  {value}" for name, value in facts.items() if value))
    print("\nparameters (below `params`):" if rows else "\nno parameters")
    for row in rows:
        words = [row.type, *row.bounds, row.said_default, _search(row)]
        print(f"  {row.name}: {', '.join(filter(None, words))}\n{_wrapped(row.description, '      ')}")
    return 0


def _kind_of(name: str, catalog: Catalog) -> Kind:
    if name.startswith("file:"):
        raise error("C302", f"'{name}' does not say its kind", "add --kind, e.g. --kind loss")
    kinds = list(dict.fromkeys(entry.kind for entry in catalog.named(name)))
    if len(kinds) > 1:
        choices = " or ".join(f"--kind {kind}" for kind in kinds)
        raise error("R202", f"'{name}' is {' and '.join(WORDS[kind] for kind in kinds)}", f"add {choices}")
    if not kinds:
        every = [entry.full_name if "." in name else entry.short_name for entry in catalog.entries]
        raise error("R201", f"no component named '{name}'", suggest(name, every, "components"))
    return kinds[0]


def _search(row: Parameter) -> str:
    if not row.search:
        return ""
    if row.search[0] == "choice":
        return f"search {' | '.join(map(str, row.search[1]))}"
    return f"search {row.search[1]} to {row.search[2]} ({row.search[0]})"


def _wrapped(text: str, indent: str) -> str:
    return textwrap.fill(text, 116, initial_indent=indent, subsequent_indent=indent)


def show_problems(arguments: Namespace, catalog: Catalog | None = None) -> int:
    """Print what is wrong; 3 if anything is broken, else 0."""
    catalog = catalog or Catalog(imports="files")
    problems = diagnose(catalog)
    broken = [problem for _, problem in problems if problem.code not in HARMLESS]
    if arguments.json:
        rows: list[dict[str, object]] = []
        for entry, problem in problems:
            about = {name: getattr(problem, name) for name in ("code", "message", "hint")}
            rows.append({**_about(entry), **about, "broken": problem in broken})
        print_json({"components": len(catalog.entries), "problems": rows})
        return 3 if broken else 0
    for _, problem in problems:
        print(problem)
    for entry in catalog.entries if arguments.traceback else ():
        if entry.cause is not None:
            traceback.print_exception(entry.cause, file=sys.stdout)
    harmless = len(problems) - len(broken)
    print(f"{len(catalog.entries)} components announced, {len(broken)} broken, {harmless} disabled or incomplete")
    return 3 if broken else 0


def diagnose(catalog: Catalog) -> list[tuple[Entry | None, Problem]]:
    """Every finding once, with the entry that it is about."""
    found: dict[Problem, Entry | None] = {}
    for entry in catalog.inspect():
        owner = (entry.full_name, entry.distribution, entry.version)
        problem = entry.problem or missing_factory(entry.spec, *owner)
        if problem is not None:
            found[problem] = entry
    hint = "install this distribution again, or uninstall it"
    found |= {Problem("P102", note, hint): None for note in catalog.notes}
    found |= dict.fromkeys(catalog.left_out_in_vain())
    return [(entry, problem) for problem, entry in found.items()]


def run_checks(arguments: Namespace, catalog: Catalog | None = None) -> int:
    """Run the conformance kit on what the arguments name; see `check`."""
    return check(arguments.names, arguments.json, catalog=catalog, params=read_values(arguments.sets))


def check(names: Sequence[str], as_json: bool, *, catalog: Catalog | None = None, params: Mapping[str, object] | None = None) -> int:
    """Run the kit on components and print what it finds, one line for each component and each failed check.

    A component is `passed` if all of its checks were run; `partly` says that some could not be (no corpus folder, no
    weights), which are counted with the reason.  As JSON, `passed` is true, false, or null for partly.

    Args:
        params: values for the parameters of all that have them; relative paths count from the working directory.

    Returns:
        0, or 3 where a check failed.
    """
    from sere_core.testing.harness import run_entry

    catalog = catalog or Catalog(imports="files")
    rows: list[dict[str, Any]] = []
    entries = _entries_of(names, catalog)
    catalog.probe(entries)
    for entry in entries:
        with contextlib.suppress(SereError):  # the kit says why
            entry.load(Place())
        mine: dict[str, Any] = {}
        if entry.loaded:
            given = {name: value for name, value in (params or {}).items() if name in entry.loaded.params.model_fields}
            mine, _ = rooted(plain(given, Place()), entry.loaded.params, {})
        results = run_entry(entry, catalog, mine)
        found = [result.passed for result in results]
        # why checks were not run, each reason once; what waits for a check that failed has none of its own
        why = [str(one) for one in results if one.passed is None and not one.message.startswith("not run after")]
        rows.append({**_about(entry), "passed": verdict(found), "not_run": found.count(None), "why_not_run": why})
        rows[-1]["checks"] = [{"id": one.id, "passed": one.passed, "message": one.message} for one in results]
        if not as_json:
            _show(entry, results, why)
    passed, not_run = verdict(row["passed"] for row in rows), sum(row["not_run"] for row in rows)
    if as_json:
        print_json({"components": rows, "passed": passed, "not_run": not_run})
    elif len(rows) > 1:
        found = [row["passed"] for row in rows]
        counts = f"{found.count(True)} passed, {found.count(None)} partly, {found.count(False)} failed"
        rest = f"; {not_run} checks not run" if not_run else ""
        print(f"{_VERDICTS[passed]}  {len(rows)} components: {counts}{rest}")
    return 3 if passed is False else 0


def verdict(found: Iterable[bool | None]) -> bool | None:
    """False if one is False, else None if one is None, else True.

    >>> verdict([True, None]), verdict([None, False]), verdict([True])
    (None, False, True)
    """
    every = set(found)
    return False if False in every else None if None in every else True


def _entries_of(names: Sequence[str], catalog: Catalog) -> list[Entry]:
    """The entries that the names mean, each once."""
    from sere_core.testing.harness import entry_of

    found: list[Entry] = []
    for name in names:
        kind, equals, rest = name.partition("=")
        if equals and rest.startswith("file:"):
            found.append(entry_of(kind, rest, catalog))
            continue
        mine = [entry for entry in catalog.entries if canonical(entry.distribution) == canonical(name)]
        mine = mine or catalog.named(name)
        if not mine:
            known = {name for entry in catalog.entries for name in (entry.distribution, entry.full_name)}
            message = f"'{name}' is neither a distribution with components nor a component"
            raise error("R201", message, suggest(name, known))
        found += [entry for entry in mine if entry not in found]
    return found


def _show(entry: Entry, results: Sequence[Result], why: Sequence[str]) -> None:
    found = [result.passed for result in results]
    count = f"{found.count(True)} of {len(found)} checks"
    if None in found:
        count += f"; {found.count(None)} not run: {'; '.join(why) or 'they come after one that failed'}"
    print(f"{_VERDICTS[verdict(found)]}  {entry.kind} {entry.full_name} ({entry.owner}): {count}", flush=True)
    for result in results:
        if result.passed is False:
            print(f"    {result}")
        elif result.passed and result.message:
            print(f"    note: {result}")
