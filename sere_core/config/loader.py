"""From files and the command line to a checked config: read -> merge -> replace references -> check -> `Resolved`.

Every mistake found is reported, all in one error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path as FilePath
from typing import NoReturn

from sere_core.config.checks import Checks
from sere_core.config.files import Sources
from sere_core.config.merge import apply
from sere_core.config.model import Output, RunConfig
from sere_core.config.nodes import Data, Node, Path, at, block_of, dotted, noted, place_of, plain, tidy
from sere_core.config.references import References
from sere_core.config.resolved import Bound, Resolved
from sere_core.config.validation import allows_null, below, fields, kind_of_parts, may_be_path, mentions_path, show, validate
from sere_registry.catalog import Catalog
from sere_registry.entries import WORDS, noun
from sere_registry.errors import Place, Problem, SereError, error, reason
from sere_registry.guard import of_user
from sere_registry.kinds import Kind
from sere_registry.params import Params

GRAMMAR = 1
#: where component blocks stand: those of a section, and a section that is one
MAPS: dict[str, Kind] = {"corpora": "corpus", "encoders": "encoder", "losses": "loss", "hooks": "hook"}
SINGLE: dict[str, Kind] = {"dynamics": "dynamics", "resonance": "resonance", "method": "method", "select": "selector"}


def load(
    path: str | FilePath | Mapping[str, object],
    *,
    sets: Sequence[str] = (),
    unsets: Sequence[str] = (),
    seed: int | None = None,
    catalog: Catalog | None = None,
    environ: Mapping[str, str] | None = None,
) -> Resolved:
    """Read, merge and check a config.  Imports no component, only the light objects that announce them.

    Args:
        path: a file, or the name of a config that comes with sere; or a config as plain data, which extends nothing.
        sets: changes `a.b=VALUE`; VALUE is YAML.
        unsets: paths to remove.
        seed: replaces the config's.
        catalog: where components are found; default: the installed ones.
        environ: what `${env:X}` reads; default: the environment.

    Raises:
        SereError: with every problem that was found.
    """
    problems: list[Problem] = []
    sources = Sources(problems)
    root = plain(path, Place("config")) if isinstance(path, Mapping) else sources.tree(str(path))
    if root is None or any(problem.code in ("C304", "C310") for problem in problems):
        _stop(problems)  # nothing else can be checked without the text
    if root.child("compare") is not None:
        hint = "`sere compare` and `sere sweep` read it; the config that it varies stands in `base`"
        message = f"{FilePath(root.start.file).name} is a comparison, not the config of a run"
        raise error("C302", message, hint, place_of(root, ("compare",)))
    root = apply(root, sets, unsets, problems)
    if seed is not None:
        here = Place(file=f"--seed {seed}")
        root = replace(root, value={**root.value, "seed": Node(seed, here, here)})
    return resolve(root, sources, catalog or Catalog(), os.environ if environ is None else environ, problems)


def resolve(root: Node, sources: Sources, catalog: Catalog, environ: Mapping[str, str], problems: Sequence[Problem] = ()) -> Resolved:
    """Check a merged tree.

    Args:
        root: the whole config.
        sources: which files it came from, and their folders.
        catalog: where components are found.
        environ: what `${env:X}` reads.
        problems: what was wrong before.

    Raises:
        SereError: with every problem that was found.
    """
    problems = list(problems)
    _check_grammar(root, problems)
    root = _with_defaults(root)
    references = References(root, environ, problems)
    root = references.resolve(root)
    root = replace(root, value={name: child for name, child in root.value.items() if name != "vars"})

    found: list[Problem] = []
    disable = _check_plugins(root, catalog, found)
    data, components, cause = root.data(), dict[str, Bound](), None
    for path, kind in blocks(root):
        try:
            whole = bind(root, path, kind, catalog, disable, sources.folders)
        except SereError as wrong:
            cause = cause or wrong.__cause__
            found.extend(wrong.problems)
            continue
        for place, bound in whole.items():
            components[dotted(place)] = bound
            block_of(data, place).update(use=bound.use, params=bound.params.model_dump(mode="json", by_alias=True))
    cache = at(root, ("features", "cache"))
    if cache is not None and isinstance(cache.value, str):
        data["features"]["cache"] = _absolute(cache, sources.folders)
    config, wrongs = validate(RunConfig, data, lambda path, key: place_of(root, path, key), "a config", ("extends", "vars"))
    checks = Checks(root, components)
    everything = [*found, *wrongs, *checks.problems()]
    problems += [problem for problem in everything if not references.hides(problem.place)]
    if problems or config is None:
        _stop(problems, cause)
    return Resolved(config, components, tuple(tidy(list(checks.warnings()))), tuple(sources.files), root)


def blocks(root: Node) -> Iterator[tuple[Path, Kind]]:
    """The paths of all component blocks, with the kind that each must be."""
    for section, kind in MAPS.items():
        node = root.child(section)
        if node is not None and isinstance(node.value, dict):
            yield from (((section, name), kind) for name in node.value)
    yield from (((section,), kind) for section, kind in SINGLE.items() if root.child(section) is not None)
    for strength in ("weak", "strong"):
        node = at(root, ("views", strength))
        if node is not None and isinstance(node.value, list):
            yield from ((("views", strength, name), "view") for name, _ in node.children())


def _stop(problems: list[Problem], cause: BaseException | None = None) -> NoReturn:
    raise SereError(*tidy(problems)) from cause


def _check_grammar(root: Node, problems: list[Problem]) -> None:
    version, place = root.child("sere"), place_of(root, ("sere",))
    if version is None:
        message, hint = "the config does not say its grammar version", f"add the line `sere: {GRAMMAR}`"
        problems.append(Problem("C309", message, hint, place))
    elif type(version.value) is not int or version.value != GRAMMAR:
        message = f"the grammar version {show(version.data())} is unknown"
        _stop([*problems, Problem("C309", message, f"this sere reads `sere: {GRAMMAR}`", place)])


def _with_defaults(root: Node) -> Node:
    """With the components that every run has, and the folder of the record, which refers to the name."""
    start = replace(root.start, line=None, column=None)
    value = dict(root.value)
    for section in SINGLE:
        block = RunConfig.model_fields[section].get_default(call_default_factory=True)
        if block is not None:
            value.setdefault(section, Node({"use": Node(block.use, start, start)}, start, start))
    output = value.get("output", Node({}, start, start))
    if isinstance(output.value, dict) and "dir" not in output.value:
        value["output"] = replace(output, value={**output.value, "dir": Node(Output().dir, start, start)})
    return replace(root, value=value)


def _check_plugins(root: Node, catalog: Catalog, problems: list[Problem]) -> tuple[str, ...]:
    """Check what the config requires; what it disables."""
    names: dict[str, dict[str, str]] = {}
    for section in ("require", "disable"):
        node = at(root, ("plugins", section))
        items = node.children() if node is not None and isinstance(node.value, list) else ()
        names[section] = {index: item.value for index, item in items if isinstance(item.value, str)}
    for index, requirement in names["require"].items():
        with noted(problems):
            catalog.require(requirement, place_of(root, ("plugins", "require", index)))
    return tuple(names["disable"].values())


def bind(
    root: Node,
    path: Path,
    kind: Kind,
    catalog: Catalog,
    disable: tuple[str, ...],
    folders: Mapping[str, FilePath],
    default: Node | None = None,
) -> dict[Path, Bound]:
    """The component of the block at `path` with its checked parameters, and then its parts by their paths.

    Nothing where the config's model says what is wrong.  `default`: the block of a part that is not written.
    """
    node = at(root, path) or default
    where = place_of(root, (*path, "use"))
    if node is None:
        return {}
    if not isinstance(node.value, dict):
        hint = f"write {{use: {node.value}}}" if isinstance(node.value, str) else ""
        raise error("C302", f"should be a mapping, not {show(node.data())}", hint, place_of(root, path))
    use = node.child("use")
    if use is None:
        hint = f"add `use: NAME`; {noun(kind)} names: {', '.join(catalog.names(kind)) or 'none'}"
        raise error("C303", f"this block does not say which {noun(kind)} to use", hint, where)
    if not isinstance(use.value, str) or not use.value:
        raise error("C302", f"should be the name of {WORDS[kind]}, not {show(use.data())}", "", where)
    name = use.value
    file, _, attribute = name.removeprefix("file:").rpartition(":")
    if name.startswith("file:") and file:  # from the folder of the file in which it stands
        name = f"file:{(folders.get(use.start.file, FilePath.cwd()) / file).resolve()}:{attribute}"
    entry = catalog.find(kind, name, where, disable)
    spec = entry.spec
    full_name = f"local.{spec.name}" if entry.local else entry.full_name
    params = node.child("params")
    if params is None or params.value is None:
        params = Node({}, node.start)
    if not isinstance(params.value, dict):
        return {}
    known = fields(spec.params)
    given, written = rooted(params, spec.params, folders)
    given = {key: value for key, value in given.items() if value is not None or key not in known or allows_null(known[key])}
    try:
        checked, problems = validate(spec.params, given, lambda below, key: place_of(root, (*path, "params", *below), key), full_name)
    except BaseException as cause:  # a validator of the plugin is broken, or ends the process
        if of_user(cause):
            raise
        what = f"{spec.kind} '{full_name}' of {entry.owner} could not check its parameters"
        place = place_of(root, (*path, "params"))
        raise error("B401", f"{what}: {reason(cause)}", "--traceback shows where", place) from cause
    if checked is None:
        raise SereError(*problems)
    here = replace(node.place, path=dotted(path))
    said = name if entry.local else full_name
    parts, inner = dict[str, list[Bound]](), dict[Path, Bound]()
    for key, of in ((key, of) for key, about in known.items() if (of := kind_of_parts(about))):
        parts[key] = []
        for index, part in enumerate(getattr(checked, key)):
            spot = (*path, "params", key, str(index))
            whole = bind(root, spot, of, catalog, disable, folders, plain(part.model_dump(), node.start))
            parts[key] += [whole[spot]]
            inner |= whole
    return {path: Bound(spec, full_name, entry.distribution, entry.version, checked, dotted(path), said, here, written, parts), **inner}


def rooted(params: Node, model: type[Params], folders: Mapping[str, FilePath]) -> tuple[dict[str, Data], dict[str, str]]:
    """Parameters with their paths made absolute; and of those that may be names instead, and are paths, what was written."""
    known, given = fields(model), _rooted(params, model, folders)
    names = {name: child for name, child in params.children() if name in known and may_be_path(known[name])}
    found = {name: path for name, child in names.items() if FilePath(path := _absolute(child, folders)).exists()}
    return given | found, {name: str(names[name].value) for name in found}


def _rooted(node: Node, annotation: object, folders: Mapping[str, FilePath]) -> Data:
    """The data of a node, its paths of the file system made absolute."""
    if isinstance(node.value, dict):
        return {name: _rooted(child, below(annotation, name), folders) for name, child in node.children()}
    if isinstance(node.value, list):
        return [_rooted(child, below(annotation, name), folders) for name, child in node.children()]
    return _absolute(node, folders) if isinstance(node.value, str) and mentions_path(annotation) else node.value


def _absolute(node: Node, folders: Mapping[str, FilePath]) -> str:
    """A path from the folder of the file that it was written in; from the working directory where a flag or the environment gave it."""
    text = str(node.value)
    if text.startswith("~") or not text:
        return text
    return os.path.normpath(folders.get((node.origin or node.start).file, FilePath.cwd()) / text)
