"""`sere config VERB`: what a config says, what it means, and where it says so."""

from __future__ import annotations

import json
import textwrap
import traceback
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

from sere_core.cli import COMMANDS
from sere_core.cli.arguments import Subparsers, add_command, add_config_arguments, print_json, read_config
from sere_core.cli.json_schema import schema as json_schema
from sere_core.cli.parameters import parameters
from sere_core.config import Bound, Resolved, load
from sere_core.config.files import Sources, shown
from sere_core.config.model import RunConfig
from sere_core.config.nodes import Data, Dropped, at, children, dotted, leaves
from sere_core.config.source_code import check_factories
from sere_core.config.validation import description, keys, models, walk
from sere_core.config.yaml_text import flow
from sere_registry.catalog import Catalog
from sere_registry.errors import Place, Problem, SereError, counted, error, suggest
from sere_registry.files import write_atomically

DEFAULT = "default"
_ABSENT = object()
_COLUMN = 56  # where origins begin, if lines are not longer

_SHOW = """\
examples:
  sere config show sere_default
  sere config show my.yaml --origins --set train.epochs=5"""
_FILL = """\
examples:
  sere config fill my.yaml -o whole.yaml"""
_EXPLAIN = """\
examples:
  sere config explain my.yaml losses.adapt.weight
  sere config explain sere_default task"""
_CHECK = """\
examples:
  sere config check my.yaml
  sere config check my.yaml --set losses.adapt.use=coral"""
_DIFF = """\
examples:
  sere config diff sere_default my.yaml"""
_SCHEMA = """\
examples:
  sere config schema -o sere.schema.json"""


def add_parser(subparsers: Subparsers) -> None:
    parser = subparsers.add_parser("config", help=COMMANDS["config"][1], allow_abbrev=False)
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    show_ = add_command(verbs, "show", show, _SHOW, json=True, verb="print the resolved config as YAML")
    fill_ = add_command(verbs, "fill", fill, _FILL, json=True, verb="write a complete config from a partial one")
    explain_ = add_command(verbs, "explain", explain, _EXPLAIN, json=True, verb="what each key means, its value, and who set it")
    check_ = add_command(verbs, "check", check, _CHECK, json=True, verb="report every mistake, and run nothing")
    diff_ = add_command(verbs, "diff", diff, _DIFF, json=True, verb="the resolved values in which two configs differ")
    schema_ = add_command(verbs, "schema", schema, _SCHEMA, json=True, verb="print the JSON Schema of configs, for editors")
    for verb in (show_, fill_, explain_, check_):
        add_config_arguments(verb)
    help = "beside each value the file:line:column or --set that set it"
    show_.add_argument("--origins", action="store_true", help=help)
    for verb in (fill_, schema_):
        verb.add_argument("-o", "--output", metavar="FILE", default=None, help="write it there (default: print it)")
    fill_.add_argument("--force", action="store_true", help="replace FILE if it exists")
    help = "only what is at or below it, e.g. losses.adapt"
    explain_.add_argument("path", metavar="PATH", nargs="?", default="", help=help)
    diff_.add_argument("first", metavar="A", help="a YAML file, or the name of a config that comes with sere")
    diff_.add_argument("second", metavar="B", help="another")


def show(arguments: Namespace) -> int:
    """Print the resolved config; its digest stands in the first line, as a comment."""
    resolved = read_config(arguments)
    data = resolved.config.model_dump(mode="json")
    sources = [shown(file) for file in resolved.sources]
    if arguments.json:
        about: dict[str, object] = {"digest": _digest(resolved), "sources": sources, "config": data}
        if arguments.origins:
            about["origins"] = {dotted(path): origin(resolved, path) for path, _ in leaves(data)}
            about["dropped"] = {
                path: [{"param": one.name, "of": one.of, "origin": _spot(one.place)} for one in lost]
                for path in resolved.components
                if (lost := dropped(resolved, tuple(path.split("."))))
            }
        print_json(about)
        return 0
    print(f"# digest {_digest(resolved)}, from {', '.join(sources)}")
    if not arguments.origins:
        print(resolved.dump(), end="")
        return 0
    lines = list(_lines(resolved, data, (), ""))
    width = min(_COLUMN, max((len(line) for line, comment in lines if comment), default=0))
    for line, comment in lines:
        print(f"{line.ljust(width)}  # {comment}" if comment else line)
    return 0


def _lines(resolved: Resolved, data: Data, path: tuple[str, ...], indent: str) -> Iterator[tuple[str, str]]:
    """The lines of the config as YAML, each with what set its value."""
    for name, child in data.items():
        here = (*path, name)
        if isinstance(child, dict) and child:
            yield f"{indent}{flow(name)}:", ""
            yield from _lines(resolved, child, here, indent + "  ")
        elif isinstance(child, list) and any(isinstance(item, dict) for item in child):
            yield f"{indent}{flow(name)}:", ""
            for index, item in enumerate(child):
                for number, (line, comment) in enumerate(_lines(resolved, item, (*here, str(index)), indent + "  ")):
                    yield (f"{indent}- {line[len(indent) + 2 :]}" if number == 0 else line), comment
        else:
            lost = dropped(resolved, path) if name == "use" else []
            notes = [f"drops {one.name} of {one.of} ({_spot(one.place)})" for one in lost]
            yield f"{indent}{flow(name)}: {flow(child)}", "; ".join([origin(resolved, here), *notes])


def fill(arguments: Namespace) -> int:
    """Write the config with every default filled in, without `extends` and `vars`; a missing `sere` or `name` is added."""
    root = Sources([]).tree(arguments.config)
    if root is not None:  # else loading will say what is wrong
        named = {*root.value, *(text.partition("=")[0].strip() for text in arguments.sets)}
        head = {"sere": "1", "name": json.dumps(Path(arguments.config).stem)}
        arguments.sets = [*(f"{key}={value}" for key, value in head.items() if key not in named), *arguments.sets]
    resolved = read_config(arguments)
    config = resolved.config.model_dump(mode="json")
    text = resolved.dump()
    if arguments.json:
        filled = [dotted(path) for path, _ in leaves(config) if origin(resolved, path) == DEFAULT]
        text = json.dumps({"config": config, "filled": filled}, indent=2, ensure_ascii=False) + "\n"
    return _write(text, arguments.output, arguments.force)


def schema(arguments: Namespace) -> int:
    """Print the schema.  A config names it in its first line: `# yaml-language-server: $schema=FILE`."""
    return _write(json.dumps(json_schema(Catalog()), indent=2, ensure_ascii=False) + "\n", arguments.output, force=True)


def _write(text: str, output: str | None, force: bool) -> int:
    if output is None:
        print(text, end="")
    elif Path(output).exists() and not force:
        raise error("C304", f"{output} exists", "choose another name, or replace it with --force")
    else:
        write_atomically(Path(output), text.encode())
    return 0


def explain(arguments: Namespace) -> int:
    """Print one block for each key."""
    rows = list(explained(read_config(arguments), arguments.path))
    if arguments.json:
        print_json(rows)
        return 0
    for row in rows:
        print(row["path"] if row["section"] else f"{row['path']} = {flow(row['value'])}    ({row['origin']})")
        if row["meaning"]:
            print(textwrap.fill(row["meaning"], 110, initial_indent="    ", subsequent_indent="    "))
        if row["choices"]:
            print(f"    {row['choices']}")
    return 0


def explained(resolved: Resolved, path: str = "") -> Iterator[dict[str, Data]]:
    """A row for each section, component and value at or below `path`."""
    data = resolved.config.model_dump(mode="json")
    steps = tuple(path.split(".")) if path else ()
    for index, part in enumerate(steps):
        known = dict(children(data))
        if part not in known:
            above = steps[:index]
            found = component(resolved, above)
            in_params = found is not None and found[1] == ("params",)
            model = found[0].spec.params if found is not None and in_params else walk(RunConfig, above)
            hint = suggest(part, [*known, *(keys(model) or [])], f"keys of {dotted(above) or 'the config'}")
            raise error("C302", f"nothing stands at {path}", hint, path)
        data = known[part]

    def rows(value: Data, here: tuple[str, ...]) -> Iterator[dict[str, Data]]:
        nested = isinstance(value, dict) and bool(value)
        nested = nested or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
        if not nested or (here and here[-1] != "params"):
            about = {"path": dotted(here), "section": nested, "value": value, "origin": origin(resolved, here)}
            yield {**about, "meaning": meaning(resolved, here), "choices": _choices(resolved, here)}
        for name, child in children(value) if nested else ():
            yield from rows(child, (*here, name))

    yield from rows(data, steps)


def _choices(resolved: Resolved, path: tuple[str, ...]) -> str:
    """The type, bounds and default of a parameter."""
    found = component(resolved, path)
    if found is None or found[1][:1] != ("params",):
        return ""
    rows = (row for row in parameters(found[0].spec.params) if row.name == ".".join(found[1][1:]))
    return next((", ".join([row.type, *row.bounds, row.said_default]) for row in rows), "")


def check(arguments: Namespace) -> int:
    """Print what is wrong, all at once; 0 if nothing is, else the exit code of the first mistake (2 for the config's own)."""
    catalog = Catalog(disable=arguments.disable)
    try:
        resolved = read_config(arguments, quiet=arguments.json, catalog=catalog)
        check_factories(resolved)
    except SereError as mistake:
        if not arguments.json:
            raise
        warnings = [*map(_data, catalog.left_out_in_vain())]
        print_json({"ok": False, "problems": [*map(_data, mistake.problems)], "warnings": warnings})
        if arguments.traceback:
            traceback.print_exception(mistake)
        return mistake.exit_code
    odd = [*catalog.left_out_in_vain(), *resolved.warnings, *catalog.left_out_in_vain(resolved.disabled)]
    if arguments.json:
        print_json({"ok": True, "digest": _digest(resolved), "problems": [], "warnings": [*map(_data, odd)]})
    else:
        warnings_ = f", {counted(len(odd), 'warning')}" if odd else ""
        print(f"{arguments.config}: ok{warnings_} (digest {_digest(resolved)})")
        for path, bound in resolved.unread.items():
            print(f"{path}: {bound.distribution} is imported, and its parameters are checked, when the run starts")
    return 0


def _digest(resolved: Resolved) -> str:
    """Of the config; not known where parameters of a file, which is imported when the run starts, may have defaults."""
    return "?" if resolved.unread else resolved.digest()


def _data(problem: Problem) -> dict[str, object]:
    return {"code": problem.code, "message": problem.message, "hint": problem.hint, **vars(problem.place)}


def diff(arguments: Namespace) -> int:
    """Print one block for each value that differs; 0 whether or not there is one."""
    first, second = load(arguments.first), load(arguments.second)
    rows, digests = differences(first, second), [_digest(first), _digest(second)]
    if arguments.json:
        print_json({"same": not rows, "digests": digests, "differences": rows})
        return 0
    for row in rows:
        print(row["path"])
        for side in ("a", "b"):
            print(f"    {side}: {flow(row[side])}    ({row['origin_' + side]})" if side in row else f"    {side}: -")
    said = "the digest is the same" if digests[0] == digests[1] else f"digests {' and '.join(digests)}"
    print(f"values that differ: {len(rows)}; {said}")
    return 0


def differences(first: Resolved, second: Resolved) -> list[dict[str, Data]]:
    """Rows of path, `a` and `b` (left out on the side that has no such value) and their origins."""
    sides = [dict(leaves(config.config.model_dump(mode="json"))) for config in (first, second)]
    rows: list[dict[str, Data]] = []
    for path in dict.fromkeys([*sides[0], *sides[1]]):
        one, other = (side.get(path, _ABSENT) for side in sides)
        if type(one) is type(other) and one == other:
            continue
        row: dict[str, Data] = {"path": dotted(path)}
        for side, value, config in zip("ab", (one, other), (first, second), strict=True):
            if value is not _ABSENT:
                row |= {side: value, f"origin_{side}": origin(config, path)}
        rows.append(row)
    return rows


def origin(resolved: Resolved, path: tuple[str, ...]) -> str:
    """Who set this value: `file:line:column`, `--set ...`, or `default`."""
    node = at(resolved.root, path) if path else None
    return DEFAULT if node is None else _spot(node.place)


def _spot(place: Place) -> str:
    if place.line is None and not place.file.startswith("--"):
        return DEFAULT
    return ":".join(str(part) for part in (place.file, place.line, place.column) if part is not None)


def dropped(resolved: Resolved, path: tuple[str, ...]) -> list[Dropped]:
    """The parameters of the component at `path` that a changed `use` dropped and nobody gave again."""
    block, params = at(resolved.root, path), at(resolved.root, (*path, "params"))
    given = {} if params is None else dict(params.children())
    return [] if block is None else [one for one in block.dropped if one.name not in given]


def component(resolved: Resolved, path: tuple[str, ...]) -> tuple[Bound, tuple[str, ...]] | None:
    """The component whose block `path` is, or lies in, and the rest of the path."""
    for length in range(len(path), 0, -1):
        bound = resolved.components.get(".".join(path[:length]))
        if bound is not None:
            return bound, path[length:]
    return None


def meaning(resolved: Resolved, path: tuple[str, ...]) -> str:
    """What the key at `path` means, as its model or its component says, or of what it is a part; "" where nobody does."""
    found = component(resolved, path)
    if found is not None:
        bound, rest = found
        if not rest:
            return f"{bound.full_name}: {bound.spec.summary}"
        if rest[0] == "params" and len(rest) > 1:
            return description(bound.spec.params, rest[1:])
        if rest == ("use",):
            return f"which {bound.spec.kind}; this one: {bound.spec.summary}"
    about = description(RunConfig, path)
    if about:
        return about
    for model in models(walk(RunConfig, path)):
        if model.__doc__:
            return model.__doc__.strip().splitlines()[0]
    return meaning(resolved, path[:-1]) if len(path) > 1 else ""
