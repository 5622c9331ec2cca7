"""From a record to a model: a fold's own network, or one trained on everything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from torch import Tensor

from sere_core.config import Resolved, load
from sere_core.console import Speaker
from sere_core.data.plan import Fold
from sere_core.model import folder
from sere_core.model.card import card
from sere_core.model.folder import About
from sere_core.plan import make_plan
from sere_core.score.records import Record
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.device import choose_device
from sere_core.train.material import Material, gather
from sere_core.train.streams import StreamSet
from sere_registry import error


def of_record(record: Record, out: Path, *, quiet: bool = False) -> Path:
    """A model trained on all of the source and the whole target, whose card quotes the scores of the record's folds.

    Where the record's training left nothing out, its network is taken.  Else it is trained, as a run of its own below the
    same folder: the same config with `task.setting: transductive`, which can be interrupted and goes on.

    Raises:
        SereError: C311 for a record that was trained on target labels; and what a run raises.
    """
    if record.folds["uses_target_labels"]:
        hint = "name the record of a method; `--fold K` exports the network of a fold"
        raise error("C311", f"{record.path} was trained on labels of the target: a ceiling, not a method", hint)
    whole = record
    if record.folds["setting"] == "inductive":
        from sere_core.run import folder_of, run

        places = ["task.setting=transductive", f"output.dir={json.dumps(str(record.path.parent))}"]
        resolved = load(record.path / "config.yaml", sets=places)
        run(resolved, resume=True, quiet=quiet)
        whole = Record.read(folder_of(resolved))
    return of_fold(whole, 0, out, Speaker(quiet), quoted=record)


def of_fold(record: Record, fold: int, out: Path, speaker: Speaker, *, quoted: Record | None = None) -> Path:
    """The network of one fold, with the statistics that standardised what it scored.

    Args:
        quoted: the record whose scores the card tells; default: this one.

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
    return _write(material, plan.task.folds[fold], Checkpoint.load(path).under("method"), out, record, quoted or record)


def _write(material: Material, fold: Fold, state: Mapping[str, Tensor], out: Path, record: Record, quoted: Record) -> Path:
    """Put a trained fold into a model's folder, which is new or another model's."""
    if out.exists() and not (out / folder.SUMS).exists() and any(out.iterdir()):
        raise error("X704", f"{out} is there, and is no model", "name a new folder with -o")
    plan = material.plan
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
        if checkpoint := _checkpoint(resolved.config.encoders[name].params):
            shutil.copytree(checkpoint, out / "encoders" / name, dirs_exist_ok=True)
    scored = quoted if quoted.scores.get("folds") else None
    folder.write(out, _portable(resolved), about, tensors, card(about, record, scored))
    return out


def _support(stream: StreamSet) -> dict[str, Tensor]:
    assert stream.labels is not None
    tensors = {"support/labels": stream.labels, "support/language": torch.tensor([each.language for each in stream.items])}
    for number, each in enumerate(stream.items):
        tensors |= {f"support/{number}/frames": each.frames, f"support/{number}/static": each.static}
    return tensors


def _checkpoint(params: Mapping[str, object]) -> Path | None:
    """The local folder of a pretrained encoder's checkpoint."""
    named = params.get("model")
    return Path(named).expanduser() if isinstance(named, str) and named and Path(named).expanduser().is_dir() else None


def _portable(resolved: Resolved) -> str:
    """The config without hooks and places of this machine: what is left says how the model was made."""
    data = yaml.safe_load(resolved.dump())
    data["hooks"], data["output"], data["features"]["cache"] = {}, {}, None
    for name, block in data["corpora"].items():
        kept = {key: value for key, value in block["params"].items() if key not in ("root", "file")}
        given = {key: name for key in ("root", "file") if key in block["params"]}
        block["params"] = {**kept, **given}
    for block in data["encoders"].values():
        if checkpoint := _checkpoint(block["params"]):
            block["params"]["model"] = checkpoint.name
    return yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
