"""What a check is, what it is run on, and what it says."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sere_core.config.validation import kind_of_parts
from sere_registry import BuildContext, ComponentSpec, Params
from sere_registry.catalog import Catalog
from sere_registry.entries import Entry

#: in `Check.after`: all checks before it
EVERYTHING = "*"


class NotRun(Exception):
    """A check that cannot be run here, and why: neither passed nor failed."""


class Noted(Exception):
    """What somebody should look at in a component that passes."""


@dataclass(frozen=True)
class Result:
    """What a check found.

    Args:
        id: of the check.
        passed: None where it was not run.
        message: one line: what is wrong, why it was not run, or a note; "" where there is nothing to say.
    """

    id: str
    passed: bool | None
    message: str = ""

    def __str__(self) -> str:
        return f"{self.id}: {self.message}" if self.message else self.id


@functools.cache
def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="sere-kit-")


@dataclass(frozen=True)
class Subject:
    """The component that is checked.

    Args:
        entry: as it is announced; loaded once `static.metadata` has passed.
        catalog: where it was found.
        params: values for its parameters, beyond their defaults.
        folder: an empty folder that checks may write to.
        kept: what a check has made that later ones look at too.
    """

    entry: Entry
    catalog: Catalog
    params: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(dir=_scratch().name)))
    kept: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def spec(self) -> ComponentSpec:
        return self.entry.spec

    @property
    def missing(self) -> list[str]:
        """Parameters that have neither a default nor a value here."""
        return [name for name, about in self.spec.params.model_fields.items() if about.is_required() and name not in self.params]

    def build(self, context: BuildContext | None = None, *, seed: int = 0) -> Any:
        """A new instance, as a run builds it, its first weights drawn under `seed`."""
        import torch

        torch.default_generator.manual_seed(seed)  # alone: who draws otherwise is to be found; and see `sere_core.rng.reseed`
        context = context or BuildContext("checked", cache=self.folder)
        params = self.spec.params(**self.params)
        return self.spec.load()(params, replace(context, parts=functools.partial(self._parts, params, context)))

    def _parts(self, params: Params, context: BuildContext, name: str) -> list[Any]:
        """What `BuildContext.parts` builds in a run."""
        kind, found = kind_of_parts(self.spec.params.model_fields[name]), []
        for index, part in enumerate(getattr(params, name)):
            spec = self.catalog.find(kind, part.use).spec  # type: ignore[arg-type]  # a parameter without parts names none
            found += [spec.load()(spec.params(**part.params), replace(context, id=f"{context.id}.params.{name}.{index}"))]
        return found

    def fresh(self, name: str) -> Path:
        """A new empty folder."""
        return Path(tempfile.mkdtemp(prefix=name + "-", dir=self.folder))


@dataclass(frozen=True)
class Check:
    """One claim about a component of a kind.

    Args:
        id: stable: `kind.claim`.
        claim: one line.
        test: raises `AssertionError` where the claim does not hold, `NotRun` where it cannot be tested.
        after: checks without which this one says nothing; it is not run where one of them fails.
    """

    id: str
    claim: str
    test: Callable[[Subject], None]
    after: tuple[str, ...] = ()


class Checks(list[Check]):
    """The checks of one file, in order; calling it makes a decorator that adds one."""

    def __call__(self, id: str, *after: str) -> Callable[[Callable[[Subject], None]], Callable[[Subject], None]]:
        def add(test: Callable[[Subject], None]) -> Callable[[Subject], None]:
            claim = (test.__doc__ or "").strip().splitlines()[0]
            self.append(Check(id, claim, test, after))
            return test

        return add


def shared_folder(name: str) -> Path:
    """A folder for all checks of a process."""
    path = Path(_scratch().name) / name
    path.mkdir(exist_ok=True)
    return path
