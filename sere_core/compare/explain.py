"""Which difference between two runs is explained by what a row varies; everything else must be equal."""

from __future__ import annotations

from collections.abc import Sequence

from sere_core.compare.plan import Row

_BUDGET = ("train.epochs", "train.steps_per_epoch")  # itself never explained, see below

#: what is compared -> the config paths, or what lies below or above them, that explain a difference in it
_WHY: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "digests.features",
        (
            "encoders",
            "dynamics",
            "features",
            "paths",
            "corpora",
            "task.normalise",
            "task.source",
            "task.target",
            "task.classes",
            "task.shots",
        ),
    ),
    ("digests.corpora", ("corpora",)),
    ("digests.folds.labelled", ("task.source", "task.classes", "task.shots", "corpora")),
    ("digests.folds.source", ("task.source", "task.classes", "task.shots", "corpora")),
    ("digests.streams.labelled", (*_BUDGET, "train.batch.labelled", "task.source", "task.classes", "task.shots", "corpora")),
    ("digests.streams.source", (*_BUDGET, "train.batch.source", "task.source", "task.classes", "task.shots", "corpora")),
    ("digests.streams.target", (*_BUDGET, "train.batch.target")),  # nobody trains on another target
    ("selection", ("select",)),
    ("machine.device", ("train.device",)),
    ("machine.precision", ("train.precision",)),
)
#: never explained by a row: who is scored, in which classes, from which draw, with which budget and which libraries
_NEVER = (
    "digests.folds.test",
    "digests.folds.target",
    "classes",
    *(f"config.{path}" for path in _BUDGET),
    "config.task.target",
    "seeds",
    "versions",
)


def touches(path: str, other: str) -> bool:
    """Is one of two dotted paths the other, or below it?

    >>> touches("losses", "losses.adapt.use"), touches("losses.adapt.use", "losses"), touches("loss", "losses")
    (True, True, False)
    """
    return path == other or path.startswith(other + ".") or other.startswith(path + ".")


def below(path: str, other: str) -> bool:
    """Is `path` the other, or below it?"""
    return path == other or path.startswith(other + ".")


def explained(name: str, row: Row) -> bool:
    """May this row differ from the others in `name`?

    >>> row = Row("ours", "method", ("losses.adapt.params.margin", "train.batch.target"))
    >>> [explained(name, row) for name in ("config.losses.adapt.params.margin", "digests.streams.target", "components.losses.adapt.code")]
    [True, True, False]
    """
    if any(below(name, one) for one in _NEVER):
        return False
    if name.startswith("config."):
        return any(touches(name.removeprefix("config."), path) for path in row.varied)
    if name.startswith("components."):
        block = name.removeprefix("components.").removesuffix(".code")
        return any(below(block, path) for path in row.varied)
    return any(touches(path, cause) for what, causes in _WHY if below(name, what) for cause in causes for path in row.varied)


def allow_name(name: str) -> str:
    """The name by which a difference is allowed: coarse where the parts belong together.

    >>> allow_name("digests.features.all"), allow_name("components.losses.adapt.code"), allow_name("config.train.epochs")
    ('digests.features', 'components.losses.adapt', 'config.train.epochs')
    """
    parts = name.split(".")
    if parts[0] == "digests" and parts[1] in ("features", "corpora"):
        return ".".join(parts[:2])
    return name.removesuffix(".code") if parts[0] == "components" else name


def allowed_by(name: str, allow: Sequence[str]) -> bool:
    """Is the difference allowed, by its own name or by one above it?"""
    return any(below(name, one) for one in allow)
