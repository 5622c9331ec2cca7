"""From a record to a model: a fold's own network, or one trained on everything."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml
from torch import Tensor

from sere_core.config import Resolved, load
from sere_core.data.plan import Fold
from sere_core.model import folder
from sere_core.model.folder import About
from sere_core.plan import Plan, make_plan
from sere_core.score.records import Record
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.device import choose_device
from sere_core.train.material import Material, gather
from sere_core.train.streams import StreamSet
from sere_registry import error

if TYPE_CHECKING:
    from sere_core.console import Speaker


def of_fold(record: Record, fold: int, out: Path, speaker: Speaker) -> Path:
    """The network of one fold, with the statistics that standardised what it scored.

    Raises:
        SereError: T505 (the record has no such fold, or its corpora have changed), X704 or X705.
    """
    path = record.path / "checkpoints" / f"fold-{fold}.safetensors"
    if not path.exists():
        there = sorted(int(each.stem.removeprefix("fold-")) for each in path.parent.glob("fold-*.safetensors"))
        hint = f"folds with a network: {', '.join(map(str, there)) or 'none'}"
        raise error("T505", f"{record.path} holds no network of fold {fold}", hint)
    resolved = load(record.path / "config.yaml")
    plan = make_plan(resolved)
    plan.check_unchanged(record.manifest["digests"]["corpora"], record.path)
    material = gather(plan, choose_device(resolved.config.train.device), speaker)
    return write(plan, material, plan.task.folds[fold], Checkpoint.load(path).under("method"), out, record)


def write(plan: Plan, material: Material, fold: Fold, state: Mapping[str, Tensor], out: Path, record: Record) -> Path:
    """Put a trained fold into a model's folder."""
    resolved, languages = plan.resolved, [each.language for each in (*fold.target, *fold.test)]
    paths = {language: resolved.encoder_of(language) for language in dict.fromkeys(languages)}
    builder = material.builder(fold, torch.device("cpu"))
    about = About(
        name=resolved.config.name,
        classes=plan.task.classes,
        languages=plan.languages,
        paths=paths,
        target=plan.task.target,
        normalisation=resolved.config.task.normalise,
        input_dim=builder.context.input_dim,
        speakers=builder.context.speakers,
        seed=builder.seed,
    )
    tensors = {f"method/{name}": value for name, value in state.items()}
    for path, normaliser in material.normalisers(fold).items():
        found = [("corpus", "", normaliser.corpora[about.target])] if about.target in normaliser.corpora else []
        found += [("speaker", name, each) for (corpus, name), each in normaliser.speakers.items() if corpus == about.target]
        for what, name, (mean, divisor) in found:
            tensors[f"statistics/{what}/{path}/mean/{name}"] = torch.from_numpy(mean)
            tensors[f"statistics/{what}/{path}/divisor/{name}"] = torch.from_numpy(divisor)
    if builder.method().needs_support:
        tensors |= _support(material.streams(fold)["labelled"])
    for name in sorted({*paths.values(), resolved.config.paths.labelled}):
        checkpoint = Path(str(getattr(resolved.components[f"encoders.{name}"].params, "model", ""))).expanduser()
        if checkpoint.is_dir():
            shutil.copytree(checkpoint, out / "encoders" / name, dirs_exist_ok=True)
    folder.write(out, _portable(resolved), about, tensors, card(about, record))
    return out


def _support(stream: StreamSet) -> dict[str, Tensor]:
    assert stream.labels is not None
    tensors = {"support/labels": stream.labels, "support/language": torch.tensor([each.language for each in stream.items])}
    for number, each in enumerate(stream.items):
        tensors |= {f"support/{number}/frames": each.frames, f"support/{number}/static": each.static}
    return tensors


def _portable(resolved: Resolved) -> str:
    """The config without hooks and places of this machine: what is left says how the model was made."""
    data = yaml.safe_load(replace(resolved).dump())
    data["hooks"], data["output"], data["features"]["cache"] = {}, {}, None
    for name, block in data["corpora"].items():
        kept = {key: value for key, value in block["params"].items() if key not in ("root", "file")}
        given = {key: name for key in ("root", "file") if key in block["params"]}
        block["params"] = {**kept, **given}
    for block in data["encoders"].values():
        if "model" in block["params"]:
            block["params"]["model"] = (
                Path(block["params"]["model"]).name if Path(block["params"]["model"]).is_dir() else block["params"]["model"]
            )
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)


def card(about: About, record: Record) -> str:
    """The model card."""
    return f"# {about.name}\n\nClasses: {', '.join(about.classes)}.  Protocol: {record.manifest['protocol']}.\n"
