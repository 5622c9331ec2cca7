"""The last epoch: no criterion at all, and the default."""

from __future__ import annotations

from sere_registry import BuildContext, Params


class Last:
    """Keeps the last epoch.

    >>> from sere_registry import NoParams
    >>> Last(NoParams(), BuildContext("select")).score(7)
    7.0
    """

    keeps_last = True  # spares the trainer a copy of the state after every epoch

    def __init__(self, params: Params, context: BuildContext) -> None: ...

    def score(self, epoch: int) -> float:
        """The epoch's number."""
        return float(epoch)
