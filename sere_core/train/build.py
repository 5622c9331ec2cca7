"""Builds a method from a config: encoders, projections, dynamics, classifier, resonance field, losses, recipe.

Each part is initialised under a seed of its own, named by its place in the config, so that adding a loss changes no
other part's first weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter

from sere_core.config import Resolved
from sere_core.config.model import LossBlock, Ramp
from sere_core.rng import reseed
from sere_core.train.network import Backbone, OwnPath, Projection
from sere_core.train.streams import ViewChains, pad
from sere_registry import (
    BuildContext,
    Dynamics,
    Encoder,
    Frames,
    Loss,
    Method,
    MethodContext,
    Problem,
    SereError,
    View,
    WeightedLoss,
    error,
    suggest,
)
from sere_registry.protocols import ResonanceField, completed, networks_of
from sere_registry.training import READABLE, reads

T = TypeVar("T")

#: called with (kind, id, full name) of each component built
Built = Callable[[str, str, str], None]


@dataclass(frozen=True)
class Builder:
    """Makes new instances of the config's method; every call gives the same first weights.

    Args:
        context: of the fold: classes, languages, speakers, width of the target path's frozen output.
        paths: the encoder ids in use.
        built: called for each component.
    """

    resolved: Resolved
    context: BuildContext
    seed: int
    paths: tuple[str, ...]
    device: torch.device
    built: Built = field(default=lambda kind, id, name: None)

    def method(self) -> Method:
        """A new method on the device.

        Raises:
            SereError: B401 where a factory fails, B403 where what it returns is not a component of its kind.
        """
        config = self.resolved.config
        encoders = {name: self._component(f"encoders.{name}", "encoder", BuildContext(id=name)) for name in self.paths}
        dynamics = completed(self._component("dynamics", "dynamics", BuildContext(id="dynamics", dim=config.network.dim)), Dynamics)
        context = replace(self.context, dim=config.network.dim, dynamics_dim=cast(int, dynamics.dim))
        projections = {
            name: self._seeded(
                f"projection.{name}",
                partial(Projection, cast(int, encoder.dim), config.network.dim, config.network.dropout),
            )
            for name, encoder in encoders.items()
        }
        classifier = self._seeded("classifier", lambda: nn.Linear(context.embedding_dim, len(context.classes)))
        backbone = Backbone(encoders, projections, cast(Any, dynamics), classifier)
        context = replace(context, backbone=cast(Any, backbone))
        resonance = None
        if config.resonance is not None:
            component = self._component("resonance", "resonance", replace(context, id="resonance"))
            resonance = completed(cast(ResonanceField, component), ResonanceField)
            if config.paths.field_path == "own" and len(self.paths) > 1:
                resonance = completed(cast(ResonanceField, OwnPath(resonance)), ResonanceField)
        losses = {name: self._loss(name, block, replace(context, id=name)) for name, block in config.losses.items()}
        read = next((each for each in encoders.values() if cast(Any, each).input_dim == context.input_dim), None)
        networks = networks_of(read) if read is not None else ((1, context.input_dim),)
        full = MethodContext(**vars(replace(context, id="method")), field=resonance, losses=losses, networks=networks)
        return completed(cast(Method, self._component("method", "method", full).to(self.device)), Method)

    def _loss(self, name: str, block: LossBlock, context: BuildContext) -> WeightedLoss:
        """A loss with its weight.

        Raises:
            SereError: B403 if it reads what the engine does not offer.
        """
        path = f"losses.{name}"
        bound, place, weight = self.resolved.components[path], self.resolved.place(path), block.weight
        loss = completed(cast(Loss, self._component(path, "loss", context)), Loss)
        title = f"loss '{bound.full_name}' of {bound.owner}"
        unknown = sorted(reads(loss) - READABLE)
        if unknown:
            raise error("B403", f"{title}: its forward reads '{unknown[0]}'", suggest(unknown[0], READABLE, "a loss may read"), place)
        ramp = weight if isinstance(weight, Ramp) else Ramp(start=weight, end=weight)
        return WeightedLoss(loss, ramp.start, ramp.end, ramp.until, title, place)

    def _component(self, path: str, kind: str, context: BuildContext) -> nn.Module:
        bound = self.resolved.components[path]
        try:
            component: object = self._seeded(path, lambda: bound.build(context))
        except SereError as cause:
            raise SereError(*(self._placed(each, path) for each in cause.problems)) from cause
        if not isinstance(component, nn.Module):
            raise error(
                "B403",
                f"{kind} '{bound.full_name}' of {bound.owner} builds a {type(component).__name__}, not a torch.nn.Module",
                f"this is for the author of {bound.distribution}",
                self.resolved.place(path),
            )
        self.built(kind, context.id, bound.full_name)
        return component

    def _placed(self, problem: Problem, path: str) -> Problem:
        """What a component says while it is built, with its name and the place in the config."""
        if problem.place.file:
            return problem
        bound, place = self.resolved.components[path], self.resolved.place(problem.place.path or path)
        what = f"{bound.spec.kind} '{bound.full_name}' of {bound.owner}: {problem.message}"
        return replace(problem, message=what, place=place)

    def _seeded(self, name: str, build: Callable[[], T]) -> T:
        reseed(self.seed, "init", name)
        return build()


def build_views(resolved: Resolved, encoders: Mapping[str, Encoder]) -> ViewChains:
    """The config's views, built.

    Views alter what the trained part of the network reads.  Behind an encoder whose frozen part is cached these are
    frames, so a view of the waveform would alter nothing: that is an error, not a silent identity.

    Raises:
        SereError: C311 for every waveform view on a path that reads cached frames.
    """
    chains: dict[str, list[View]] = {"weak": [], "strong": []}
    problems: list[Problem] = []
    for kind, chain in chains.items():
        for number, _ in enumerate(getattr(resolved.config.views, kind)):
            path = f"views.{kind}.{number}"
            bound = resolved.components[path]
            view: View = bound.build(BuildContext(id=path))
            if view.level == "waveform":
                problems += [
                    Problem(
                        "C311",
                        f"the view '{bound.spec.name}' alters waveforms, but the encoder '{name}' reads frames from the cache",
                        hint="use frame-level views (frame_mask, feature_dropout, jitter, crop), or an encoder with `train: all`",
                        place=resolved.place(path),
                    )
                    for name, encoder in encoders.items()
                    if encoder.normalise or encoder.input_dim > 1  # else it reads samples
                ]
                view = _OnSamples(view)
            chain.append(view)
    if problems:
        raise SereError(*problems)
    return chains


class _OnSamples:
    """A waveform view over a padded batch of samples `[B, N, 1]`."""

    level: Any = "frames"

    def __init__(self, view: View) -> None:
        self.view = view

    def __call__(self, frames: Frames, generator: torch.Generator) -> Frames:
        altered: Sequence[Tensor] = [
            torch.as_tensor(self.view(values[mask][:, 0].cpu().numpy(), generator), dtype=values.dtype)[:, None]
            for values, mask in zip(frames.values, frames.mask, strict=True)
        ]
        return pad(altered, frames.rate, frames.values.device)


def count_parameters(method: Method) -> dict[str, int]:
    """How many numbers a method trains by gradient in any of its stages, and how many parameters it has in all.

    A closed form that writes its solution into the method's parameters trains none by gradient.
    """
    groups = method.parameters_by_group()
    names = {name for stage in method.stages() for phase in stage.phases for name in phase.trains}
    trained = {id(each): each for name in names & set(groups) for each in groups[name].parameters if each.requires_grad}
    every = cast(nn.Module, method).parameters()
    numbers = {"trained": trained.values(), "total": every}
    return {name: sum(each.numel() for each in some if not isinstance(each, UninitializedParameter)) for name, some in numbers.items()}
