"""A config that is ready to run: every component found, every parameter filled in and checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from sere_core.config.model import RunConfig
from sere_core.config.nodes import Node, block_of, place_of
from sere_core.config.validation import without_paths
from sere_core.config.yaml_text import write
from sere_registry.errors import Place, Problem, SereError, error, suggest, top
from sere_registry.guard import Owner, call, guarded, importing
from sere_registry.kinds import FIRST_PARTY
from sere_registry.params import Params
from sere_registry.scan import Unread
from sere_registry.spec import BY_TARGET_LABELS, BY_TEXT, ComponentSpec


@dataclass(frozen=True)
class Bound:
    """A component that the config names, with its parameters; nothing of it is imported yet.

    Args:
        spec: what announces it.
        full_name: `namespace.name`.
        distribution, version: who announces it; for a `file:` component the file and a digest of it.
        params: checked.
        path: where it stands in the config, e.g. "losses.adapt".
        use: what a config says to get it.
        place: where it was written.
        written: parameters that name a local folder, as the config writes them: relative ones are absolute in `params`.
        parts: of a component that is made of others: by the parameter that lists them.
    """

    spec: ComponentSpec
    full_name: str
    distribution: str
    version: str
    params: Params
    path: str
    use: str = ""
    place: Place = field(default=Place(), compare=False)
    written: Mapping[str, str] = field(default_factory=dict, compare=False)
    parts: Mapping[str, Sequence[Bound]] = field(default_factory=dict, compare=False)

    @property
    def owner(self) -> str:
        return f"{self.distribution} {self.version}".strip()

    @property
    def unread(self) -> bool:
        """Is it not imported, so that its parameters are as they were written, and unchecked?"""
        return self.spec.params is Unread

    def build(self, context: Any) -> Any:
        """Import the factory and call it with the parameters and a `BuildContext`.

        Raises:
            SereError: P102 or P104 (the factory cannot be imported), P109 (it may not be), B401 (it raised), or what the factory
                itself says.
        """
        who = self.watched
        if self.unread:
            raise error("P109", f"{who.title} is not imported", "if you trust it: --trust", self.place)
        try:
            with nullcontext() if who.trusted else importing(who.package, who.title):
                factory = self.spec.load()
        except SereError as cause:
            hint = f"repair or update {self.distribution}; --traceback shows where"
            problems = [replace(one, message=f"{who.title}: {one.message}", hint=hint, place=self.place) for one in cause.problems]
            raise SereError(*problems) from (cause.__cause__ or cause)
        if self.parts:
            context = replace(context, parts=partial(self._build_parts, context))
        return guarded(call(who, "build", factory, self.params, context), who)

    def _build_parts(self, context: Any, name: str) -> tuple[Any, ...]:
        return tuple(part.build(replace(context, id=part.path.partition(".")[2])) for part in self.parts[name])

    @property
    def watched(self) -> Owner:
        """Whose code it is, for the guard."""
        title = f"{self.spec.kind} '{self.full_name}' of {self.owner}"
        return Owner(
            title, self.spec.kind, top(self.spec.factory.partition(":")[0]), self.path, self.distribution == FIRST_PARTY, self.place
        )


@dataclass(frozen=True)
class Resolved:
    """A checked config.

    Args:
        config: its sections; components under their full names, with all their parameters.
        components: the components by path: "corpora.emodb", "encoders.anchor", "dynamics", "losses.adapt",
            "views.weak.0", "hooks.progress", ...; a part of another below that: "encoders.fused.params.streams.0".
        warnings: what is odd but no error.
        sources: the files that were read, the one asked for first.
        root: the merged tree, which knows where each value was written, and what a changed `use` dropped.
    """

    config: RunConfig
    components: Mapping[str, Bound]
    warnings: tuple[Problem, ...]
    sources: tuple[Path, ...]
    root: Node = field(repr=False)

    def place(self, path: str) -> Place:
        """Where `path` was written, or the nearest thing above it that was."""
        return replace(place_of(self.root, tuple(path.split("."))), path=path)

    @property
    def disabled(self) -> list[tuple[str, Place]]:
        """The distributions that the config leaves out, each with its place.  Of this machine only: no record says which were in vain."""
        return [(name, self.place(f"plugins.disable.{index}")) for index, name in enumerate(self.config.plugins.disable)]

    @property
    def unread(self) -> dict[str, Bound]:
        """The components that are not imported, by path: `file:` before the run starts, and of a record all but sere's own."""
        return {path: bound for path, bound in self.components.items() if bound.unread}

    @property
    def oracle(self) -> bool:
        """Does the scorer choose the epochs, by the target's labels?"""
        return BY_TARGET_LABELS in self.components["select"].spec.tags

    @property
    def by_text(self) -> bool:
        """Is what is said taken off the features: does the config say so, or else the method?"""
        said = self.config.task.by_text
        return BY_TEXT in self.components["method"].spec.tags if said is None else said

    def check_trust(self, trust: bool, folder: Path | None = None) -> None:
        """That the files which a run imports when it starts may be imported.

        Args:
            trust: has the user said so?
            folder: of the config that was asked for; default: of the first source.

        Raises:
            SereError: P109 for each file outside that folder, or in the folder of a record, unless the command line or a
                Python program names it.
        """
        folder, problems = folder or (self.sources[0].parent if self.sources else None), []
        if folder is not None and (folder / "manifest.json").exists():
            folder = None  # a record may be a stranger's, and so may what lies in it
        for path, bound in self.unread.items():
            place = replace(place_of(self.root, (*path.split("."), "use")), path=f"{path}.use")
            inside = folder is not None and Path(bound.distribution).resolve().is_relative_to(folder.resolve())
            if not (trust or inside or place.line is None):
                what = f"{bound.distribution} is code outside the folder of the config"
                problems.append(Problem("P109", what, "look at it; --trust imports it", place))
        if problems:
            raise SereError(*problems)

    def encoder_of(self, language: str) -> str:
        """The id of the encoder of unlabelled utterances in this language.

        Raises:
            SereError: C311 if `paths.unlabelled` has none for it.
        """
        chosen = self.config.paths.unlabelled
        if isinstance(chosen, str):
            return chosen
        if language in chosen:
            return chosen[language]
        hint = suggest(language, chosen, "languages that have one") + "; or write one encoder for all: `unlabelled: ID`"
        raise error("C311", f"no encoder for the language '{language}'", hint, self.place("paths.unlabelled"))

    @property
    def several_paths(self) -> bool:
        """Does the config name more than one encoder?"""
        chosen = self.config.paths.unlabelled
        return len({self.config.paths.labelled, *([chosen] if isinstance(chosen, str) else chosen.values())}) > 1

    @property
    def open_layers(self) -> list[str]:
        """The ids of encoders with `layer: auto`, whose layer a run chooses (`sere_core.train.layer_choice`)."""
        found = {path.partition(".")[2]: bound.params for path, bound in self.components.items() if path.startswith("encoders.")}
        return [name for name, params in found.items() if getattr(params, "layer", None) == "auto"]

    def with_layers(self, layers: Mapping[str, int]) -> Resolved:
        """The config with the layers of these encoders, by id, written into it."""
        blocks, components = dict(self.config.encoders), dict(self.components)
        for name, layer in layers.items():
            bound = components[f"encoders.{name}"]
            components[f"encoders.{name}"] = replace(bound, params=bound.params.model_copy(update={"layer": layer}))
            blocks[name] = blocks[name].model_copy(update={"params": blocks[name].params | {"layer": layer}})
        return replace(self, config=self.config.model_copy(update={"encoders": blocks}), components=components)

    def dump(self) -> str:
        """The config as YAML with every default written out; loading it gives the same config."""
        return write(self.config.model_dump(mode="json"))

    def digest(self) -> str:
        """12 hex digits that tell configs apart: all that results depend on, and neither paths nor names.

        What the paths lead to counts by content, in `sere_core.identity`.
        """
        data = self.config.model_dump(mode="json")
        for section in ("name", "plugins", "output", "hooks"):
            del data[section]
        del data["features"]["cache"]
        task = data["task"]
        for keys, name in ((data, "metrics"), (task, "target_labels"), (task, "target_shares"), (task, "validation")):
            if not keys[name]:  # as before there was such a key, so that jobs keep their names
                del keys[name]
        if not self.several_paths:  # where they say nothing
            del data["paths"]["supervise"], data["paths"]["field_path"], data["paths"]["predict"]
        for key in ("device", "threads", "checkpoint_every"):
            del data["train"][key]
        data["train"]["optimizer"]["use"] = data["train"]["optimizer"]["use"].lower()
        for path, bound in self.components.items():
            if path.startswith("hooks."):
                continue
            block = block_of(data, tuple(path.split(".")))
            block["use"] = bound.full_name
            block["params"] = without_paths(block["params"], type(bound.params)) | dict.fromkeys(bound.written)
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
