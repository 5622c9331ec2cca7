"""Parameters of a component: one pydantic model that validation, docs, JSON Schema and sweeps all read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Params(BaseModel):
    """Base of every component's parameters: frozen, unknown keys are errors, non-finite numbers too."""

    # a validator is built when it is first needed: listing all components builds none
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Part(Params):
    """A component that is a part of another: see `param(parts=...)`."""

    use: str = Field(description="the component's name, short or full", min_length=1)
    params: dict[str, Any] = Field(default={}, description="its parameters")


class NoParams(Params):
    """For a component without parameters."""


def param(
    default: Any,
    description: str,
    *,
    search: tuple[Literal["log", "uniform", "int"], float, float] | tuple[Literal["choice"], Sequence[Any]] | None = None,
    path: bool = False,
    parts: str | None = None,
    **bounds: Any,
) -> Any:
    """One parameter: its default, what it means, its bounds (`ge=`, `gt=`, `le=`, `lt=`) and its search range.

    Pass `...` as the default of a parameter that has none.  A relative path, of type `Path`, counts from the folder of the config
    and arrives absolute; with `path=True` so does a `str` that names something, such as a model on a hub, or a local path.
    With `parts="encoder"` a list of `Part`s names components of that kind, which the context's `parts` builds.

    >>> class CoralParams(Params):
    ...     ridge: float = param(0.0, "added to the diagonal of both covariances", ge=0, search=("log", 1e-6, 1e-1))
    >>> CoralParams().ridge
    0.0
    """
    extra: Any = ({"search": list(search)} if search is not None else {}) | ({"path": True} if path else {})
    extra |= {"parts": parts} if parts is not None else {}
    return Field(default, description=description, json_schema_extra=extra or None, **bounds)
