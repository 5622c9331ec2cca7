"""Holm's correction for testing many rows at once."""

from __future__ import annotations

from collections.abc import Sequence


def holm(values: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down adjusted p-values, in the order given: the chance of any false alarm in the family stays below alpha.

    The k-th smallest of m is multiplied by m - k + 1, made monotone, and cut at 1 (S. Holm, A Simple Sequentially Rejective
    Multiple Test Procedure, Scandinavian Journal of Statistics 6, 1979).  It assumes nothing about how the tests depend on each other.

    Args:
        values: `[m]` p-values in [0, 1].

    Raises:
        ValueError: a value outside of [0, 1].

    >>> holm([0.01, 0.04, 0.03])
    (0.03, 0.06, 0.06)
    """
    if not all(0 <= value <= 1 for value in values):
        raise ValueError("p-values lie in [0, 1]")
    adjusted, highest = [0.0] * len(values), 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = highest
    return tuple(adjusted)
