"""The comparison file: its sections, and how a file or a command line becomes one checked request."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from sere_core.compare.spaces import Wanted
from sere_core.config.files import Sources, find, shown, text_of
from sere_core.config.model import Block, Section
from sere_core.config.nodes import Node, at, place_of, plain, tidy
from sere_core.config.validation import validate
from sere_core.config.yaml_text import read, write
from sere_registry.errors import Place, Problem, SereError, error, suggest

GRAMMAR = 1
#: what an overlay may not hold, since the comparison sets it
RESERVED = ("sere", "name", "seed", "extends", "output", "compare")
#: what a name in `allow` may begin with: see `sere_core.compare.reading`
CONDITIONS = ("config", "digests", "components", "versions", "seeds", "machine", "classes", "selection")
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Names = str | list[str]


def _once(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError("a seed stands twice, and would count as two runs")
    return seeds


class Budget(Section):
    """How long every run trains."""

    epochs: int | None = Field(default=None, ge=1, description="train.epochs of every run")
    steps_per_epoch: int | None = Field(default=None, ge=1, description="train.steps_per_epoch of every run")


class Tune(Section):
    """A random search over declared ranges; `sere sweep` makes it."""

    trials: int = Field(default=20, ge=1, le=10_000, description="settings tried: the row's own, then drawn ones")
    per: Literal["pair", "row"] = Field(default="pair", description="a setting for each pair of a row, or one for all pairs of it")
    repeats: int = Field(default=3, ge=1, le=1000, description="how often the whole search is done, each time with the next of the seeds")
    select: str | Block | None = Field(default=None, description="the selector that chooses a setting from the posteriors of T_u")
    params: list[str] | dict[str, bool | list[Any]] = Field(
        default=["losses", "method", "train.optimizer"],
        description="what is searched: parameters, or paths above them; or path -> true, false, or a range",
    )

    @property
    def wanted(self) -> Wanted:
        return self.params if isinstance(self.params, dict) else dict.fromkeys(self.params, True)


class Gap(Section):
    """Between which rows a gap is to be closed; with axes, those of a row's own values."""

    start: str = Field(alias="from", description="the row, or rows, that a gap is measured from: few labels, and no adaptation")
    goal: str = Field(alias="to", description="the row, or rows, where it ends, e.g. all labels of the source")


class Comparison(Section):
    """A whole comparison."""

    sere: int = Field(description="the grammar version")
    compare: str = Field(description="the comparison's name", pattern=r"^\w[\w.+ -]*$")
    base: str = Field(description="the config of every run: a file relative to this one, or a config that comes with sere")
    overlay: dict[str, object] = Field(default_factory=dict, alias="set", description="laid over the base for every run")
    rows: dict[str, dict[str, object] | None] = Field(default_factory=dict, description="name -> what is laid over the base for that row")
    vary: dict[str, list[object]] = Field(default_factory=dict, description="path -> its values; crossed with the rows and with each other")
    pairs: Literal["all"] | list[str] | dict[str, dict[str, object]] | None = Field(
        default=None, description="SOURCE>TARGET by the ids of the base's corpora, `all`, or name -> what is laid over the base"
    )
    seeds: Annotated[int, Field(ge=1, le=10_000)] | Annotated[list[Seed], AfterValidator(_once)] = Field(
        default=1, description="how many, counted from 0, or a list"
    )
    budget: Budget = Field(default_factory=Budget, description="epochs and steps of every run")
    floor: Names = Field(default_factory=list, description="the row, or rows, that adapt to nothing")
    topline: Names = Field(default_factory=list, description="the row, or rows, that learn from more labels of the source than the others")
    ceiling: Names = Field(default_factory=list, description="the row, or rows, that learn from labels of the target's other folds")
    reference: str | None = Field(default=None, description="the row that all others are tested against; default: the first method")
    gap: Gap | None = Field(default=None, description="the rows of whose difference the table says how much the others close")
    margin: float = Field(default=2.0, gt=0, le=100, description="points of UAR within which a row is equivalent to the reference")
    allow: list[str] = Field(default_factory=list, description="differences between records that are allowed, by name")
    output: str | None = Field(default=None, description="the comparison's folder; default: runs/NAME")
    executor: str | Block | None = Field(default=None, description="who runs the jobs; default: processes of this machine, `local`")
    tune: Tune | None = Field(default=None, description="how `sere sweep` chooses the settings of the rows")


@dataclass(frozen=True)
class Flags:
    """The command line's part of a comparison; it overrides the file."""

    sets: Sequence[str] = ()
    unsets: Sequence[str] = ()
    vary: Sequence[str] = ()
    rows: Sequence[str] = ()
    pairs: str | None = None
    seeds: str | None = None
    floor: Sequence[str] = ()
    ceiling: Sequence[str] = ()
    reference: str | None = None
    allow: Sequence[str] = ()
    out: str | None = None
    executor: str | None = None
    jobs: int | None = None
    trials: int | None = None
    repeats: int | None = None
    select: str | None = None
    params: Sequence[str] = ()

    @classmethod
    def of(cls, arguments: Namespace) -> Flags:
        return cls(**{each.name: getattr(arguments, each.name) for each in fields(cls) if hasattr(arguments, each.name)})


@dataclass(frozen=True)
class Request:
    comparison: Comparison
    root: Node
    base: Node
    sources: Sources = field(repr=False)
    flags: Flags

    @property
    def output(self) -> Path:
        return Path(self.comparison.output or f"runs/{self.comparison.compare}").absolute()

    @property
    def seeds(self) -> tuple[int, ...]:
        chosen = self.comparison.seeds
        return tuple(range(chosen)) if isinstance(chosen, int) else tuple(chosen)

    def place(self, *path: str) -> Place:
        return place_of(self.root, path)

    def text(self) -> str:
        """The comparison as a file that can be called again."""
        data = self.root.data() | {"base": str(self.sources.files[0]), "output": str(self.output)}
        each = {"--set": self.flags.sets, "--unset": self.flags.unsets, "--row": self.flags.rows}
        flags = [f"{flag} {text}" for flag, texts in each.items() for text in texts]
        return "".join(f"# called with {flag}\n" for flag in flags) + write(data)


def read_request(config: str, flags: Flags) -> Request:
    """A comparison file, or a run's config with flags; raises every problem."""
    problems: list[Problem] = []
    folders: dict[str, Path] = {}
    tree = _file(config, Path(), Place(config), folders, problems)
    sources, root, base = Sources(problems), tree, None
    if tree is not None and tree.child("compare") is not None:
        name = tree.child("base")
        if name is not None and isinstance(name.value, str):
            base = sources.tree(name.value, folders[name.start.file], replace(name.place, path="base"))
            sources.folders |= folders
            sources.files += [folder / Path(file).name for file, folder in folders.items()]
    else:
        base = sources.tree(config)
        root = _of_config(config, base) if base is not None else None
    if root is None or problems:
        raise SereError(*tidy(problems))
    root = _with_flags(root, flags, problems)
    comparison = _check(root, problems)
    if problems or comparison is None or base is None:
        raise SereError(*tidy(problems))
    return Request(comparison, root, base, sources, flags)


def _file(name: str, folder: Path, place: Place, folders: dict[str, Path], problems: list[Problem]) -> Node | None:
    """The mapping in a file, which joins the folders; of a comparison that extends another, with the keys that it leaves as they are.

    Its `set` is laid over the other's; below all other keys nothing is merged: rows would get parts of rows of another meaning.
    """
    path = find(name, folder, place)
    file = shown(path)
    if file in folders:
        raise error("C304", f"the comparison extends itself: {' -> '.join([*folders, file])}", "remove one of these `extends`", place)
    folders[file] = path.resolve().parent
    tree = read(text_of(path, Place(file)), Place(file), problems)
    if tree is not None and not isinstance(tree.value, dict):
        problems.append(Problem("C310", "a comparison is a mapping", "write `key: value` lines", tree.start))
        return None
    extends = tree.child("extends") if tree is not None and tree.child("compare") is not None else None
    if tree is None or extends is None:
        return tree
    spot = replace(extends.place, path="extends")
    if not isinstance(extends.value, str):
        raise error("C302", "should be the name of one comparison", "", spot)
    other = _file(extends.value, folders[file], spot, folders, problems)
    own = {key: child for key, child in tree.value.items() if key != "extends"}
    if other is None:
        return None
    if (under := other.child("set")) is not None and "set" in own:
        own["set"] = _over(under, own["set"])
    return replace(tree, value={**other.value, **own})


def _over(under: Node, over: Node) -> Node:
    """An overlay on another, as one; null stays, since it takes something away from what both are laid on."""
    if not isinstance(under.value, dict) or not isinstance(over.value, dict):
        return over
    if (use := under.child("use")) is not None and use.value != over.value.get("use", use).value:  # parameters of another component
        return over
    both = {name: _over(under.value[name], child) if name in under.value else child for name, child in over.value.items()}
    return replace(over, value={**under.value, **both})


def _of_config(config: str, base: Node) -> Node:
    """The comparison of a run's config alone: one row, its own pair."""
    here = Place(config)
    name = base.child("name")
    called = f"{name.value if name is not None else 'unnamed'}-comparison"
    words = {"sere": GRAMMAR, "compare": called, "base": config}
    return Node({key: Node(value, here, here) for key, value in words.items()}, here)


def _with_flags(root: Node, flags: Flags, problems: list[Problem]) -> Node:
    """Each flag's part stands at its flag."""
    found: dict[tuple[str, ...], Node] = {}
    for key, text in (("pairs", flags.pairs), ("seeds", flags.seeds)):
        if text is not None:
            single = "," not in text and (key == "seeds" or text == "all")
            found[key,] = _flag(f"--{key}", text, text if single else f"[{text}]", problems)
    if flags.executor is not None:
        found["executor",] = _flag("--executor", flags.executor, flags.executor, problems)
    if flags.jobs is not None:
        if flags.executor is not None:
            hint = "write it as a parameter of the executor"
            problems.append(Problem("C305", "--jobs is of processes of this machine", hint, Place("--jobs")))
        found["executor",] = plain({"use": "local", "params": {"workers": flags.jobs}}, Place(f"--jobs {flags.jobs}"))
    for text in flags.vary:
        axis, equals, values = text.partition("=")
        if not equals or not values.strip():
            hint = "write --vary PATH=VALUE,VALUE, e.g. --vary losses.adapt.weight=0.1,1"
            problems.append(Problem("C305", "--vary needs a path and values", hint, Place(f"--vary {text}")))
            continue
        node = _flag("--vary", text, f"[{values}]", problems)
        only = node.value[0] if isinstance(node.value, list) and len(node.value) == 1 else None
        found["vary", axis.strip()] = replace(only, key=node.key) if only is not None and isinstance(only.value, list) else node
    for key, names in (("floor", flags.floor), ("ceiling", flags.ceiling), ("allow", flags.allow), ("params", flags.params)):
        if names:
            found[("tune", key) if key == "params" else (key,)] = _list(f"--{key}", names)
    words = {("reference",): flags.reference, ("out",): flags.out, ("tune", "select"): flags.select}
    for path, word in (words | {("tune", "trials"): flags.trials, ("tune", "repeats"): flags.repeats}).items():
        if word is not None:
            place = Place(f"--{path[-1]} {word}")
            found[("output",) if path == ("out",) else path] = Node(word, place, place)
    for path_of, node in found.items():
        root = _put(root, path_of, node)
    return root


def _put(root: Node, path: tuple[str, ...], node: Node) -> Node:
    """The tree with a node at a path; what stands in its way goes."""
    children = dict(root.value) if isinstance(root.value, dict) else {}
    name, *rest = path
    children[name] = _put(children.get(name, Node({}, node.start, node.start)), tuple(rest), node) if rest else node
    return replace(root, value=children)


def _flag(flag: str, text: str, words: str, problems: list[Problem]) -> Node:
    """The value of a flag, read as YAML."""
    place = Place(f"{flag} {text}")
    found: list[Problem] = []
    node = read(words, place, found, lines=False)
    problems += [replace(problem, code="C305", place=place) for problem in found]
    return Node(None, place, place) if node is None else replace(node, key=place)


def _list(flag: str, names: Sequence[str]) -> Node:
    place = Place(flag)
    rows = flag in ("--floor", "--ceiling")  # whose names may have commas
    words = [word.strip() for name in names for word in ([name] if rows else name.split(","))]
    return Node([Node(word, Place(f"{flag} {word}")) for word in words], place, place)


def _check(root: Node, problems: list[Problem]) -> Comparison | None:
    version = root.child("sere")
    if version is None or type(version.value) is not int or version.value != GRAMMAR:
        what = "the comparison does not say its grammar version"
        if version is not None:
            what = f"the grammar version {version.data()!r} is unknown"
        problems.append(Problem("C309", what, f"write `sere: {GRAMMAR}`", place_of(root, ("sere",))))
    comparison, found = validate(Comparison, root.data(), lambda path, key: place_of(root, path, key), "a comparison")
    problems += found
    problems += list(_reserved(root))
    for index, name in enumerate(comparison.allow if comparison is not None else ()):
        if name.partition(".")[0] not in CONDITIONS:
            place = place_of(root, ("allow", str(index)))
            hint = suggest(name, CONDITIONS, "what is compared")
            problems.append(Problem("C308", f"nothing is compared under the name '{name}'", hint, place))
    return comparison


def _reserved(root: Node) -> Iterator[Problem]:
    paths: list[tuple[str, ...]] = [("set",)]
    for section in ("rows", "pairs"):
        node = root.child(section)
        paths += [(section, name) for name in node.value] if node is not None and isinstance(node.value, dict) else []
    for path in paths:
        layer = at(root, path)
        for key in layer.value if layer is not None and isinstance(layer.value, dict) else ():
            if key in RESERVED:
                hint = "`seeds` and `output` stand at the top of the comparison" if key in ("output", "seed") else "leave it out"
                yield Problem("C302", f"the comparison itself decides about '{key}'", hint, place_of(root, (*path, key), key=True))
