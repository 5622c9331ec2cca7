"""Workers on this machine."""

from __future__ import annotations

from sere_plugins.specs.executors import LocalParams
from sere_registry import BuildContext, WorkOrder
from sere_registry.processes import Child, Children, cores


class Local:
    """Processes of this machine, which end with this one; of several, each has one thread."""

    def __init__(self, params: LocalParams, context: BuildContext) -> None:
        self.workers, self.losses = params.workers or cores(), params.losses

    def start(self, order: WorkOrder) -> Children:
        count = min(self.workers, order.jobs)
        words = (*order.words, "--losses", str(self.losses))
        return Children([Child(words, 1 if count > 1 else None) for _ in range(count)])
