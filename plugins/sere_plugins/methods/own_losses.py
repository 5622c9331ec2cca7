"""For methods that bring their losses: a loss in the config would silently do nothing."""

from __future__ import annotations

from sere_registry import MethodContext, error


def refuse_losses(method: str, context: MethodContext) -> None:
    """Check that the config has no losses.

    Raises:
        SereError: C311 if it has.
    """
    if context.losses:
        names = ", ".join(sorted(context.losses))
        message = f"method '{method}' brings its own losses; these would do nothing: {names}"
        raise error("C311", message, hint="remove them, or use method 'joint'", place="losses")
