"""What each row of a sweep searches: ranges that parameters declare, those of the engine's own settings, and draws from them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sere_core.compare.plan import Row
from sere_core.compare.proof import is_below
from sere_core.config import Resolved
from sere_core.config.model import LossBlock, Ramp, RunConfig
from sere_core.config.source_code import arguments
from sere_core.config.validation import fields, members, walk
from sere_core.tables import Cell, Column, Line, Table
from sere_core.tables.model import plain
from sere_registry.errors import counted, error

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

#: path of a parameter -> its value
Setting = Mapping[str, object]
#: what is searched: path -> as declared at and below it, or not, or this range
Wanted = Mapping[str, bool | Sequence[object]]
#: the sections in which rows may be searched; all others are the protocol, which a comparison holds equal
SECTIONS = ("losses", "method", "encoders", "dynamics", "resonance", "views", "network", "train")
BUDGET = ("train.epochs", "train.steps_per_epoch")
#: how a run is made, not what it learns
MACHINE = ("train.device", "train.precision", "train.threads", "train.checkpoint_every")

#: The engine's own settings, for every row that trains by gradient.  The widths are those of DomainBed (arXiv:2007.01434,
#: `hparams_registry.py`), which gives each algorithm as many random draws: weights of terms 10^U(-1, 1), weight decay
#: 10^U(-6, -2), batches 2^U(3, 5), rates over about two decades.  Rates and weights are factors of the row's own value, since the
#: right rate depends on the optimizer and the encoder.
LR = WEIGHT = (0.1, 10.0)
WEIGHT_DECAY = (1e-6, 1e-2)
BATCH = (8, 32)
#: all of S_l at each step is the default, and a draw of its own
BATCH_LABELLED = ("all", 8, 16, 32)

_FORMS = "it should be [log, LOW, HIGH], [uniform, LOW, HIGH], [int, LOW, HIGH] or [choice, [VALUE, ...]]"


class Range(NamedTuple):
    """ "log", "uniform" or "int" between two ends, or one of a "choice"."""

    path: str
    kind: str
    values: tuple[object, ...]
    whole: bool = False

    @classmethod
    def of(cls, path: str, given: Sequence[object], annotation: object = None) -> Range:
        """From the form that `search=` and a comparison file have."""
        kind, *values = given or ("",)
        if kind == "choice" and len(values) == 1 and isinstance(values[0], (list, tuple)):
            values = list(values[0])
        kinds = members(annotation)
        return cls(path, str(kind), tuple(values), kind == "int" or (int in kinds and float not in kinds))

    def distribution(self) -> BaseDistribution:
        """C302 for a range that is none."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        try:
            if self.kind == "choice":
                return CategoricalDistribution(range(len(self.values)))  # of places in the list: values may be anything
            low, high = ((int if self.whole else float)(one) for one in self.values)  # type: ignore[call-overload, arg-type]
            right = self.kind in ("log", "uniform", "int") and all(math.isfinite(one) for one in (low, high))
            if not right or (low, high) != self.values:
                raise ValueError(_FORMS + (", and whole numbers here" if self.whole else ""))
            return (IntDistribution if self.whole else FloatDistribution)(low, high, log=self.kind == "log")
        except (ValueError, TypeError, OverflowError) as cause:
            what = f"{list(self.values)!r} ({self.kind}) is no range of '{self.path}': {cause}"
            raise error("C302", what, "correct it, or leave it out of `tune.params`", self.path) from cause

    def __str__(self) -> str:
        if self.kind == "choice":
            return f"one of {', '.join(map(str, self.values))}"
        return f"{self.kind} {self.values[0]:g}..{self.values[1]:g}"


def ranges_of(resolved: Resolved, wanted: Wanted, own: Sequence[str] = ()) -> tuple[Range, ...]:
    """What a row searches, sorted by path.

    Args:
        resolved: the row's config.
        wanted: the longest path at or above a parameter decides.
        own: what the row itself sets and is named after; never searched.

    Raises:
        SereError: C302 for a range that is none, at the path of its parameter.
    """

    declared = [*_of_components(resolved), *_of_losses(resolved, wanted)]
    trains = "closed form" not in resolved.components["method"].spec.tags
    found = {
        one.path: one for one in [*declared, *(_of_training(resolved) if trains else ())] if wanted.get(decider(wanted, one.path)) is True
    }
    for path, given in wanted.items():
        annotation = annotation_of(resolved, path)
        if not isinstance(given, bool) and annotation not in (None, object) and (trains or not is_below(path, "train", "network")):
            found[path] = Range.of(path, given, annotation)
    for one in found.values():
        one.distribution()
    return tuple(sorted(one for path, one in found.items() if not any(is_below(path, it) or is_below(it, path) for it in own)))


def decider(wanted: Wanted, path: str) -> str:
    """The longest path that is wanted or not, at or above this one; "" where there is none."""
    return max((each for each in wanted if is_below(path, each)), key=len, default="")


def _of_components(resolved: Resolved) -> Iterator[Range]:
    for path, bound in resolved.components.items():
        for name, about in fields(type(bound.params)).items() if is_below(path, *SECTIONS) else ():
            extra = about.json_schema_extra
            search = extra.get("search") if isinstance(extra, Mapping) else None
            if isinstance(search, (list, tuple)):
                yield Range.of(f"{path}.params.{name}", search, about.annotation)


def _of_losses(resolved: Resolved, wanted: Wanted) -> Iterator[Range]:
    """The weights.  A supervised loss's is the unit of the others, searched where it is named; one of 0 switches its loss off."""
    for name, block in resolved.config.losses.items():
        path, weight = f"losses.{name}.weight", block.weight
        if "supervised" in resolved.components[f"losses.{name}"].spec.tags and path not in wanted:
            continue
        if isinstance(weight, Ramp):  # towards the end that is not 0
            path, weight = (f"{path}.end", weight.end) if weight.end else (f"{path}.start", weight.start)
        if weight > 0:
            yield Range(path, "log", tuple(factor * weight for factor in WEIGHT))


def _of_training(resolved: Resolved) -> Iterator[Range]:
    optimizer = resolved.config.train.optimizer
    takes = arguments("torch.optim", optimizer.use)
    with contextlib.suppress(TypeError, ValueError):  # a run says what is wrong with it
        rate = float(optimizer.params.get("lr", takes.get("lr")))  # type: ignore[arg-type]
        if 0 < rate < math.inf:
            yield Range("train.optimizer.params.lr", "log", tuple(factor * rate for factor in LR))
    if "weight_decay" in takes:
        yield Range("train.optimizer.params.weight_decay", "log", WEIGHT_DECAY)
    yield Range("train.batch.labelled", "choice", BATCH_LABELLED)
    yield from (Range(f"train.batch.{stream}", "log", BATCH, True) for stream in ("source", "target"))


def annotation_of(resolved: Resolved, path: str) -> object:
    """The type of what stands at a path of a row's config; None where there is no such place, or it cannot be searched."""
    parts, components = tuple(path.split(".")), resolved.components
    if parts[0] in ("train", "network"):
        takes = arguments("torch.optim", resolved.config.train.optimizer.use)
        unknown = parts[:3] == ("train", "optimizer", "params") and takes and parts[3:4] and parts[3] not in takes
        return None if unknown else walk(RunConfig, parts)
    if parts[0] in SECTIONS and any(is_below(where, path) for where in components):
        return object  # a section, or a component
    where = next((where for where in components if parts[0] in SECTIONS and is_below(path, where)), None)
    if where is None:
        return None
    inside = parts[where.count(".") + 1 :]
    if inside[0] == "params":
        return walk(type(components[where].params), inside[1:])
    return walk(LossBlock, inside) if inside[0] == "weight" and parts[0] == "losses" else None


def draw(ranges: Sequence[Range], trials: int, *place: object) -> tuple[Setting, ...]:
    """`trials` settings by Optuna's random sampler; a smaller search of the same place has the first of them.

    Each row, pair and repeat (`place`) has draws of its own; without ranges all settings are empty.
    """
    if not ranges:
        return tuple({} for _ in range(trials))
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    distributions = {one.path: one.distribution() for one in ranges}
    seed = int.from_bytes(hashlib.sha256(json.dumps(place).encode()).digest()[:4], "big")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    drawn = [study.ask(distributions).params for _ in range(trials)]
    return tuple(
        {one.path: one.values[params[one.path]] if one.kind == "choice" else params[one.path] for one in ranges} for params in drawn
    )


def space_table(rows: Sequence[Row]) -> Table:
    """What each row searches: a line for each parameter."""
    columns = (Column("", ("row",), text=True), Column("searched", ("parameters", "trials", "searched", "range"), text=True))
    sections = []
    for row in rows:
        lines: list[Line] = []
        about = {"row": plain(row.name), "role": row.role}
        for path, words in (row.space or {"nothing:": "all trials are one run" if row.trials else "not tuned"}).items():
            name = "" if lines else f"{plain(row.name)} ({len(row.space)})"
            searched = Cell(plain(f"{path} {words}"), data=(len(row.space), row.trials, path.removesuffix(":"), plain(words)))
            lines.append(Line((Cell(name), searched), about))
        sections.append(tuple(lines))
    trials = max((row.trials for row in rows), default=0)
    caption = (
        f"What each row searches (how many parameters), at random, with {counted(trials, 'trial')}, the first with the row's own values"
    )
    return Table("space", caption, columns, tuple(sections))
