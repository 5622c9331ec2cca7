"""From a record to a model: a fold's own network, or one trained on everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from torch import Tensor

from sere_core.config import Resolved
from sere_core.config.nodes import Data, block_of, children
from sere_core.console import Speaker
from sere_core.content import files_below
from sere_core.data.plan import Fold
from sere_core.identity import check_unchanged, identify
from sere_core.model import card, folder, temperature
from sere_core.model.folder import NETWORK, About
from sere_core.model.temperature import Temperature
from sere_core.plan import Plan, make_plan, recorded
from sere_core.provenance import files_of
from sere_core.run import run
from sere_core.score.records import Record, checkpoint_of
from sere_core.score.table import LABEL_USE
from sere_core.train.build import Builder
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.device import choose_device
from sere_core.train.fold import load_state
from sere_core.train.material import Material, gather
from sere_core.train.streams import StreamSet, read
from sere_registry import Encoder, Method, Problem, Recording, SereError, error


def of_record(record: Record, out: Path, trust: bool, *, quiet: bool = False) -> None:
    """A model trained on all of the source and the whole target, whose card quotes the scores of the record's folds.

    Where the record's training left nothing out, its network is taken.  Else it is trained, as a run of its own below the
    same folder: the same config with `task.setting: transductive`, without `target_shares`, which can be interrupted and goes
    on.  `trust`: may what the record names be imported, beside sere's own?

    Raises:
        SereError: C311 for a record that was trained on target labels, X704; and what a run raises.
    """
    if record.folds["uses_target_labels"]:
        hint = "name the record of a method; `--fold K` exports the network of a fold"
        raise error("C311", f"{record.path} is not of a method: {'; '.join(LABEL_USE[use] for use in record.label_use)}", hint)
    whole = record
    thinned = recorded(record.path, trust).config.task.target_shares is not None
    if record.folds["setting"] == "inductive" or thinned:
        folder.check_place(out)
        places = ["task.setting=transductive", f"output.dir={json.dumps(str(record.path.parent))}"]
        places += ["task.target_shares=null"] if thinned else []
        resolved = recorded(record.path, trust, places)
        Speaker(quiet).say("now the model, on all of the target; the card quotes the scores of the folds above, not these:")
        whole = run(resolved, resume=True, quiet=quiet)
    of_fold(whole, 0, out, Speaker(quiet), trust, quoted=record)


def of_fold(record: Record, fold: int, out: Path, speaker: Speaker, trust: bool, *, quoted: Record | None = None) -> None:
    """The network of one fold, with the statistics that standardised what it scored.

    Args:
        trust: as in `of_record`.
        quoted: the record whose scores the card tells; default: this one.

    Raises:
        SereError: T505 (the record has no such fold, or its corpora have changed), C311 (a part of the network is a file), X704
            or X705.
    """
    folder.check_place(out)
    if "chosen" in record.label_use:
        raise error("C311", f"{record.path} holds no network of the epochs that its oracle chose", "name the record of another selector")
    if fold not in _networks(record):
        hint = f"folds with a network: {', '.join(str(each + 1) for each in _networks(record)) or 'none'}"
        raise error("T505", f"{record.path} holds no network of fold {fold + 1}", hint)
    trained, whole = Trained.of(record, speaker, trust), quoted or record
    folds = trained if quoted is None else Trained.of(whole, speaker, trust)
    numbers = _networks(whole)
    temperatures = {each: folds.temperature(folds.network(each)) for each in numbers if folds is not trained or each != fold}
    network = trained.network(fold)
    own = trained.temperature(network)
    temperatures = {each: temperatures.get(each, own) for each in numbers}
    trained.write(fold, network, own, out, card.quoted(whole, temperatures))


def some_of_target(record: Record, most: int, trust: bool) -> list[Recording]:
    """Utterances of the target, evenly from all of them, in the order of their ids."""
    plan = make_plan(recorded(record.path, trust))
    target = {each.id: each for fold in plan.task.folds for each in (*fold.target, *fold.test)}
    names = sorted(target)
    return [target[names[place * len(names) // most]] for place in range(most)] if len(names) > most else [target[name] for name in names]


def _networks(record: Record) -> list[int]:
    """The folds whose checkpoints are there."""
    paths = {fold["index"]: record.path / "checkpoints" / f"fold-{fold['index']}.safetensors" for fold in record.folds["folds"]}
    return [index for index, path in paths.items() if path.exists()]


class Network(NamedTuple):
    """That of a fold, and the fold's streams."""

    builder: Builder
    method: Method
    streams: Mapping[str, StreamSet]


@dataclass(frozen=True)
class Trained:
    """A record with the data that its networks were trained on."""

    record: Record
    plan: Plan
    material: Material
    device: torch.device

    @classmethod
    def of(cls, record: Record, speaker: Speaker, trust: bool) -> Trained:
        """Plan its task again, and gather its features.

        Raises:
            SereError: C311 for every part of the network that is a file; T505 if the corpora have changed.
        """
        plan = make_plan(recorded(record.path, trust))
        problems = [
            Problem("C311", f"'{bound.use}' is a file: a model names what is installed", "sere plugins new", plan.resolved.place(path))
            for path, bound in plan.resolved.components.items()
            if bound.use.startswith("file:") and path.partition(".")[0] in NETWORK
        ]
        if plan.resolved.config.paths.predict == "mean" and len(plan.paths) > 1:
            what = "a model reads an utterance by one encoder, and `predict: mean` asks several"
            problems.append(Problem("C311", what, "train with `predict: own`", plan.resolved.place("paths.predict")))
        if problems:
            raise SereError(*problems)
        check_unchanged(identify(plan), record.manifest, record.path)
        device = choose_device(plan.resolved.config.train.device)
        material = gather(plan, device, speaker)
        return cls(record, material.plan, material, device)

    def _fold(self, number: int) -> Fold:
        return self.plan.task.folds[number]

    def _checkpoint(self, number: int) -> Checkpoint:
        return Checkpoint.load(checkpoint_of(self.record.path, number), number, self.record.manifest["job"])

    def temperature(self, network: Network) -> Temperature:
        """Fitted to the fold's T_u."""
        builder, method, streams = network
        support = streams["labelled"] if method.needs_support else None
        return temperature.fit(method, streams["target"], support, self.device, builder.seed)

    def network(self, number: int) -> Network:
        """A fold's; what standardises is as it was at the end of training."""
        fold, state = self._fold(number), self._checkpoint(number).under("method")
        builder, streams = self.material.builder(fold, self.device), self.material.streams(fold)
        method = builder.method()
        load_state(method, state)
        self.material.standardise(fold, method)
        return Network(builder, method, streams)

    def write(self, number: int, network: Network, own: Temperature, out: Path, quoted: card.Facts | None) -> None:
        """Put a fold's network into a folder of its own.

        Args:
            number: of the fold.
            network: the fold's.
            own: its temperature.
            out: the folder, which is new or a model's.
            quoted: the scores that the card tells.

        Raises:
            SereError: X704 or X705.
        """
        plan, fold, resolved = self.plan, self._fold(number), self.plan.resolved
        languages = [each.language for each in (*fold.target, *fold.test)]
        builder, method, streams = network
        given = sum(each.corpus != plan.task.source for each in fold.labelled)
        about = About(
            name=resolved.config.name,
            classes=plan.task.classes,
            languages=plan.languages,
            paths={language: resolved.encoder_of(language) for language in dict.fromkeys(languages)},
            encoders=plan.paths,
            target=plan.task.target,
            normalisation=resolved.config.task.normalise,
            input_dim=builder.context.input_dim,
            speakers=builder.context.speakers,
            seed=builder.seed,
            temperature=own.value,
            facts={"trained": card.trained(self.record, number, given), "temperature": vars(own), "quoted": quoted},
        )
        checkpoint = self._checkpoint(number)
        tensors = {f"{what}/{name}": value for what in ("method", "texts") for name, value in checkpoint.under(what).items()}
        tensors |= self._statistics(fold)
        if method.needs_support:
            support = streams["labelled"]
            within = resolved.config.paths.field_path == "own"  # else S_l is compared as its own path's encoder reads it
            tensors |= _support(support if within else replace(support, others=()))
        named = self._named()
        with folder.made(out) as place:
            for path, sources in named.items():
                for parameter, source in sources.items():
                    for below, file in files_below(source):
                        _copy(file, place / _place(path, parameter, source) / (below if source.is_dir() else ""))
            for name, encoder in _unfolded(self.material.encoders):
                for file in map(Path, getattr(encoder, "files", ())):
                    if not any(file.is_relative_to(source) for source in named.get(f"encoders.{name}", {}).values()):
                        _copy(file, place / "encoders" / name / file.name)
            folder.write(place, _portable(resolved, named), about, tensors, card.card(about, self.record))

    def _named(self) -> dict[str, dict[str, Path]]:
        """Of each component of the network, what its parameters name on this machine.

        Without the `model` of an encoder that lists its `files`: a model brings these.
        """
        listing = {f"encoders.{name}" for name, encoder in _unfolded(self.material.encoders) if getattr(encoder, "files", ())}
        found: dict[str, dict[str, Path]] = {}
        for path, bound in self.plan.resolved.components.items():
            section, _, name = path.partition(".")
            if section in NETWORK and (section != "encoders" or name.partition(".")[0] in self.material.encoders):
                brought = {"model"} & set(bound.written) if path in listing else set()
                found[path] = {parameter: source for parameter, source in files_of(bound).items() if parameter not in brought}
        return found

    def _statistics(self, fold: Fold) -> dict[str, Tensor]:
        """Of the target corpus and of its speakers."""
        tensors, target = {}, self.plan.task.target
        for path, normaliser in self.material.normalisers(fold).items():
            found = [("corpus", "", normaliser.corpora[target])] if target in normaliser.corpora else []
            found += [("speaker", name, each) for (corpus, name), each in normaliser.speakers.items() if corpus == target]
            for what, name, (mean, divisor) in found:
                tensors[f"statistics/{what}/{path}/mean/{name}"] = torch.from_numpy(mean)
                tensors[f"statistics/{what}/{path}/divisor/{name}"] = torch.from_numpy(divisor)
        return tensors


def _unfolded(encoders: Mapping[str, Encoder]) -> Iterator[tuple[str, Encoder]]:
    """Encoders by id; of one that is made of others these, by where they stand."""
    for name, encoder in encoders.items():
        parts: Mapping[str, Encoder] = getattr(encoder, "parts", {})
        yield from _unfolded({f"{name}.{below}": part for below, part in parts.items()}) if parts else [(name, encoder)]


def _place(path: str, parameter: str, source: Path) -> str:
    """Where a model keeps what a parameter names."""
    return f"files/{path}/{parameter.replace('/', '_')}/{source.name}"


def _copy(file: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, to)


def _support(stream: StreamSet, place: str = "support") -> dict[str, Tensor]:
    """S_l as each path reads it; the others below `through/ID`."""
    assert stream.labels is not None
    tensors = {f"{place}/labels": stream.labels, f"{place}/language": torch.tensor([each.language for each in stream.items])}
    for number, each in enumerate(stream.items):
        tensors |= {f"{place}/{number}/frames": read(each.frames).float(), f"{place}/{number}/static": read(each.static)}
        tensors |= {} if each.scaling is None else {f"{place}/{number}/scaling": each.scaling, f"{place}/{number}/vector": each.vector}
    for other in stream.others:
        tensors |= _support(other, f"{place}/through/{other.path}")
    return tensors


def _portable(resolved: Resolved, named: Mapping[str, Mapping[str, Path]]) -> str:
    """The config without hooks and places of this machine: what is left says how the model was made.

    Args:
        named: by component and parameter, what the model holds copies of: these are named, from its folder.
    """
    data = yaml.safe_load(resolved.dump())
    data["hooks"], data["output"], data["features"]["cache"] = {}, {}, None
    data["task"]["by_text"] = resolved.by_text
    for path, bound in resolved.components.items():
        if not path.startswith("hooks."):
            block, name = block_of(data, tuple(path.split("."))), path.rpartition(".")[2]
            values = {parameter: source.name if parameter in bound.written else name for parameter, source in files_of(bound).items()}
            values |= {parameter: _place(path, parameter, source) for parameter, source in named.get(path, {}).items()}
            block["params"] = _replaced(block["params"], values)
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def _replaced(data: Data, values: Mapping[str, str], name: str = "") -> Data:
    """Plain data with other values at these dotted names."""
    if name in values:
        return values[name]
    if not isinstance(data, (dict, list)):
        return data
    made = {key: _replaced(child, values, f"{name}.{key}".lstrip(".")) for key, child in children(data)}
    return made if isinstance(data, dict) else list(made.values())
