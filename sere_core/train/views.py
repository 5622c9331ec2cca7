"""The chains of alterations that make weak and strong views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sere_core.config import Resolved
from sere_core.train.coder import ViewChains
from sere_registry import BuildContext, Problem, SereError


def build_chains(resolved: Resolved, encoders: Mapping[str, Any]) -> ViewChains:
    """The config's views, built.

    Views alter what the trained part of the network reads.  Behind an encoder whose frozen part is cached these are
    frames, so a view of the waveform would alter nothing: that is an error, not a silent identity.

    Raises:
        SereError: C311 for every waveform view on a path that reads cached frames.
    """
    chains: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    for kind in ("weak", "strong"):
        chains[kind] = []
        for number, _ in enumerate(getattr(resolved.config.views, kind)):
            path = f"views.{kind}.{number}"
            bound = resolved.components[path]
            view = bound.build(BuildContext(id=path))
            if view.level == "waveform":
                problems += [
                    Problem(
                        "C311",
                        f"the view '{bound.spec.name}' alters waveforms, but the encoder '{name}' reads frames from the cache",
                        hint="use frame-level views (frame_mask, feature_dropout, jitter, crop), or an encoder with `train: all`",
                        place=resolved.place(path),
                    )
                    for name, encoder in encoders.items()
                    if encoder.normalise
                ]
                view = _OnSamples(view)
            chains[kind].append(view)
    if problems:
        raise SereError(*problems)
    return ViewChains(**chains)


class _OnSamples:
    """A waveform view over a padded batch of samples `[B, N, 1]`."""

    level = "frames"

    def __init__(self, view: Any) -> None:
        self.view = view

    def __call__(self, frames: Any, generator: Any) -> Any:
        import torch

        from sere_core.train.streams import pad

        altered = []
        for values, mask in zip(frames.values, frames.mask, strict=True):
            samples = values[mask][:, 0].cpu().numpy()
            altered.append(torch.as_tensor(self.view(samples, generator), dtype=values.dtype)[:, None])
        return pad(altered, frames.rate, frames.values.device)
