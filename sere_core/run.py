"""A run from its config to its record; it reads in the order in which things happen.

corpora -> task -> features -> for each fold: train, predict, score -> record -> table

Checking a config must not import torch, so what needs it is imported where it is used.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.config import Resolved
from sere_core.content import Contents
from sere_core.identity import Identity, changed_since, identify
from sere_core.plan import Plan, list_corpus, make_plan, make_plans
from sere_registry import BuildContext, Problem, SereError, error
from sere_registry.files import cache_folder
from sere_registry.guard import blamed, running
from sere_registry.settings import settle

if TYPE_CHECKING:
    import torch

    from sere_core.console import Speaker
    from sere_core.data.plan import Fold
    from sere_core.hookbus import HookBus
    from sere_core.score.records import Data, Record, RunFolder
    from sere_core.score.scorer import Scorer
    from sere_core.train.checkpoint import Checkpoint
    from sere_core.train.fold import FoldResult, FoldTrainer, Listener
    from sere_core.train.material import Material
    from sere_core.train.stage import EpochReport
    from sere_registry.hookspecs import RunInfo


def dry_run(resolved: Resolved) -> int:
    """Check everything that can be checked without torch and without importing `file:`, and say what the run would do."""
    for path, bound in resolved.unread.items():
        print(f"{path}: {bound.distribution} is imported, and its parameters are checked, when the run starts")
    if any(path.startswith("corpora.") for path in resolved.unread):
        return 0
    plan = make_plan(resolved)
    for warning in plan.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    for note in plan.task.notes:
        print(f"note: {note}")
    print(f"{resolved.config.name}: {plan.task.protocol}")
    print(f"classes: {', '.join(plan.task.classes)}")
    for fold in plan.task.folds:
        what = "predicted" if plan.task.unlabelled else "scored"
        sizes = f"{len(fold.labelled)} labelled, {len(fold.source)} source, {len(fold.target)} target, {len(fold.test)} {what}"
        sizes += f", {len(fold.validation)} for validation" if fold.validation else ""
        print(f"fold {fold.index + 1}: {sizes}")
    if plan.task.unlabelled:
        print(f"target: {plan.task.labelled} utterances have a label and are scored, {plan.task.unlabelled} have none")
    for path, bound in resolved.components.items():
        open_ = "; its layer is chosen when features are there" if path.partition(".")[2] in resolved.open_layers else ""
        print(f"{path}: {bound.full_name} ({bound.distribution} {bound.version}){open_}")
    print(f"record: {resolved.config.output.dir if resolved.unread else folder_of(plan)}")
    return 0


def folder_of(plan: Plan) -> Path:
    """Where the record of a planned run goes."""
    return Path(plan.resolved.config.output.dir) / identify(plan).name


def run(resolved: Resolved, *, resume: bool = False, fresh: bool = False, quiet: bool = False) -> Record:
    """Train, score and record; or, if this very run is done already, take its record.  Print what it says.

    Raises:
        SereError: whatever is wrong, in coded lines.
    """
    from sere_core.console import Speaker
    from sere_core.score.table import print_summary

    speaker = Speaker(quiet)
    record, trained = obtain(resolved, speaker, resume=resume, fresh=fresh)
    if not quiet:
        print_summary(record, speaker.console)
    before = "" if trained else "this run was done before; its "
    speaker.say(f"{before}record: {record.path}{'' if trained else ' (--fresh trains again)'}")
    return record


def obtain(
    resolved: Resolved,
    speaker: Speaker,
    *,
    resume: bool = False,
    fresh: bool = False,
    job: str | None = None,
    begin: Callable[[], None] = lambda: None,
) -> tuple[Record, bool]:
    """The record of a config, and whether it had to be trained for it.

    Args:
        fresh: throw away what the config has left in its folder, read every file in full, and train again.
        job: what the run was called when it was planned.
        begin: called when the run has its folder for itself; what it raises ends the run.

    Raises:
        SereError: whatever is wrong, in coded lines; T505 if the run is not `job`, or an interrupted run that is to go on was made
            of something else.
    """
    from sere_core.console import Speaker
    from sere_core.score.records import RunFolder

    clock, output = Clock(), Path(resolved.config.output.dir)
    with clock.timed("plan"), speaker.bar("digests of files") as tell:
        contents = Contents(cache_folder(resolved.config.features.cache), fresh, tell)
        (plan,) = make_plans(resolved, contents, (resolved.config.seed,))
        identity = identify(plan)
    folder = RunFolder(output, identity.name)
    if job is not None and folder.path.name != job:
        what = f"what job {job} is made of has changed since it was planned: its corpora, weights, or code"
        raise error("T505", what, "`sere compare` plans it anew")
    if folder.done and not fresh:
        return folder.record(), False
    if job is None:
        speaker.warn(changed_since(output, identity, resume and not folder.started, fresh))
    speaker.warn(plan.warnings)
    noted: list[str] = []

    def note(line: str) -> None:  # of what a component did: said even where other warnings are not
        noted.append(line)
        Speaker(quiet=False).warn((line,))

    with folder.claim("fresh" if fresh else "resume" if resume else "new"), running(note):
        if folder.done and not fresh:  # by another process, since it was looked for
            return folder.record(), False
        begin()
        carry_out(plan, identity, folder, speaker, clock, noted)
    return folder.record(), True


class Clock:
    """Seconds by phase of the run."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds to the seconds of a phase."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.times[phase] = self.times.get(phase, 0.0) + time.perf_counter() - begin


def carry_out(plan: Plan, identity: Identity, folder: RunFolder, speaker: Speaker, clock: Clock, noted: Sequence[str] = ()) -> None:
    """All phases of a run in its folder; hooks hear of the end whatever happens."""
    from sere_core.hookbus import HookBus
    from sere_core.score.scorer import Scorer
    from sere_core.score.torch_metrics import TorchMetrics
    from sere_registry.hookspecs import RunInfo

    resolved, task = plan.resolved, plan.task
    config = resolved.config
    hooks = {name: resolved.components[f"hooks.{name}"] for name in config.hooks}
    bus = HookBus(
        {name: bound.build(BuildContext(id=name)) for name, bound in hooks.items()},
        {name: f"{bound.distribution} {bound.full_name}" for name, bound in hooks.items()},
    )
    info = RunInfo(config.name, folder.path.name, folder.path, len(task.folds), task.classes, speaker.interactive, speaker.quiet)
    metrics = TorchMetrics(config.metrics, len(task.classes), resolved.place)
    scorer = Scorer(task, partial(list_corpus, resolved, task.target), metrics.measure)
    failure: BaseException | None = None
    try:
        with clock.timed("import torch"):
            import torch

            from sere_core.train.device import choose_device, forget_peak_memory, peak_memory, torch_threads
            from sere_core.train.material import gather
            from sere_core.train.stage import try_optimizer
        settle()
        try_optimizer(config.train, resolved.place)
        metrics.build()
        device = choose_device(config.train.device, resolved.place("train.device"))
        forget_peak_memory(device)
        checkpoints = _begin(plan, folder, speaker)
        with clock.timed("features"):
            material = gather(plan, device, speaker)
        speaker.say(f"features: {material.counted()}")
        speaker.warn(material.warnings)
        training = Training(plan, identity, folder, speaker, scorer, bus, info, device, material, checkpoints)
        manifest = training.write_manifest()
        bus.call("sere_run_start", run=info)
        threads = config.train.threads or (torch.get_num_threads() if material.trains_encoder else 1)
        with clock.timed("train and score"), torch_threads(threads):
            for fold in task.folds:
                training.fold(fold, manifest)
            training.reveal()
        texts, missing = material.texts_told(), material.texts_missing()
        speaker.warn(tuple(missing))
        if noted or texts:
            manifest["notes"]["warnings"] += [*missing, *sorted(noted)]
            manifest["notes"].update({"texts": texts} if texts else {})
            folder.write_json("manifest.json", manifest)
        folder.add_timing(clock.times, peak_memory(device))
        folder.finish()
    except BaseException as caught:
        failure = blamed(caught, (bound.watched for bound in resolved.components.values()))
        raise failure from failure.__cause__
    finally:
        scores = dict(scorer.summary().mean) if scorer.scored and failure is None else None
        bus.call("sere_run_end", run=info, scores=scores, error=failure)


def _begin(plan: Plan, folder: RunFolder, speaker: Speaker) -> dict[int, Checkpoint]:
    """The record's first files, and how far an interrupted run came: its checkpoints by fold; all else is made again from them."""
    from sere_core.train.checkpoint import Checkpoint

    folder.forget_results()
    folder.write("config.yaml", plan.resolved.dump().encode())
    plan.task.write(folder.path)
    checkpoints: dict[int, Checkpoint] = {}
    for fold in plan.task.folds:
        path = folder.checkpoint(fold.index)
        if path.is_symlink() or path.exists():
            try:
                checkpoints[fold.index] = Checkpoint.load(path, fold.index, folder.path.name)
            except SereError as damaged:
                speaker.warn(tuple(f"{problem.message}; the fold is trained again" for problem in damaged.problems))
    if checkpoints:
        done = sum(checkpoint.position.finished for checkpoint in checkpoints.values())
        speaker.say(f"going on: {done} of {len(plan.task.folds)} folds are done")
    return checkpoints


@dataclass(frozen=True)
class Training:
    """A run whose features are there: what its folds are trained, scored and recorded with."""

    plan: Plan
    identity: Identity
    folder: RunFolder
    speaker: Speaker
    scorer: Scorer
    bus: HookBus
    info: RunInfo
    device: torch.device
    material: Material
    checkpoints: Mapping[int, Checkpoint] = field(default_factory=dict)

    def write_manifest(self) -> Data:
        """What the run is made of; T505 if what an interrupted run was made of forbids to go on."""
        from sere_core.data.leakage import checked
        from sere_core.score.manifest import component, machine, made_of, manifest_changes
        from sere_core.train.build import count_parameters
        from sere_core.train.device import computes_in, describe
        from sere_core.train.streams import order_digests

        plan, resolved, material = self.plan, self.plan.resolved, self.material
        config, folds = resolved.config, plan.task.folds
        material.streams(folds[0])  # states whose statistics normalise, and finds texts
        features = {"all": material.features.digest}
        if material.texts[folds[0].index]:
            features["by_text"] = hashlib.sha256(f"{material.features.digest} by text".encode()).hexdigest()
        odd = [f"{each.place.path}: {each.message}" for each in resolved.warnings]
        leakage = checked(folds, material.digests, material.statements)
        self.speaker.say("checked: " + "\n         ".join(f"{what}: {found}" for what, found in leakage.items()))
        new = {
            "name": config.name,
            "job": self.folder.path.name,
            "protocol": plan.task.protocol,
            "selection": config.select.use,
            **made_of([component(bound) for bound in resolved.components.values()]),
            "made_of": dict(self.identity.parts),
            "digests": {
                "folds": plan.task.digest,
                "features": features,
                "streams": order_digests(folds, config.train, config.seed),
            },
            "corpora": material.corpora(),
            "parameters": count_parameters(material.builder(folds[0], self.device).method()),
            "seeds": {"run": config.seed, "task": plan.task.seed},
            "machine": machine(describe(self.device), computes_in(config.train.precision, self.device)),
            "notes": {
                "leakage": leakage,
                "normalisation": material.statements,
                **({"layers": [str(choice) for choice in material.layers]} if material.layers else {}),
                "warnings": [*odd, *plan.warnings, *plan.skipped, *material.warnings],
                "trimmed": material.features.report.trimmed,
                "cut": material.features.report.cut,
            },
        }
        changes = dict[str, None]()
        for checkpoint in self.checkpoints.values():  # an interrupted run goes on
            changes |= dict.fromkeys(manifest_changes(checkpoint.manifest, new))
        if forbidden := [change for change in changes if change.startswith("digests.")]:
            hint = "--fresh begins again with what is there now"
            raise SereError(*(Problem("T505", f"not as when this run began: {change}", hint) for change in forbidden))
        self.speaker.warn(tuple(f"not as when this run began: {change}" for change in changes))
        written: Data = self.folder.write_json("manifest.json", new)
        return written

    def fold(self, fold: Fold, manifest: Data) -> None:
        """Train on one fold (or take up what an interrupted run left), predict, and score what is on the disk."""
        trainer, checkpoint = self._trainer(fold, manifest), self.checkpoints.get(fold.index)
        if checkpoint is not None:
            self.folder.append_history(checkpoint.position.history)
        result = trainer.run(checkpoint)
        if result.posteriors.shape[1] != len(self.plan.task.classes):
            what = f"predict returns posteriors of {result.posteriors.shape[1]} classes, the task has {len(self.plan.task.classes)}"
            raise error("B403", what, "this is for the author of the method", self.plan.resolved.place("method"))
        if self.plan.resolved.oracle:
            epochs = result.epochs or {0: result}  # a closed form has none to choose from
            result = epochs[self.scorer.choose(fold, {number: each.posteriors.double().numpy() for number, each in epochs.items()})]
        scored = self.plan.task.labelled > 0
        posteriors = result.posteriors.double().numpy()
        ids = [recording.id for recording in fold.test]
        self.folder.write_predictions(fold.index, ids, posteriors, self.plan.task.classes)
        pseudo = None if result.pseudo is None else result.pseudo.tolist()
        if scored:
            self.scorer.score(fold, posteriors, result.embeddings.numpy(), pseudo)
        else:
            self.scorer.describe(posteriors)
        self.folder.write_json("scores.json", self.scorer.as_json())
        embeddings = self._write_embeddings(fold, result)
        if fold.index == 0 and not self.plan.resolved.oracle:  # of the chosen epoch there is no network
            self._write_picture(fold, trainer)
        if scored:
            self.bus.call(
                "sere_fold_scored",
                run=self.info,
                fold=fold.index,
                scores=self.scorer.numbers(fold.index),
                confusion=self.scorer.of(fold.index).confusion,
                embeddings=embeddings,
            )

    def reveal(self) -> None:
        """With every fold trained: score all of them together, and put the labels, if there are any, beside the predictions."""
        if not self.plan.task.labelled:
            return
        truth = self.scorer.pool(self.folder.predictions())
        self.folder.write_json("scores.json", self.scorer.as_json())
        self.folder.write_truth(truth, self.plan.task.classes)

    def _trainer(self, fold: Fold, manifest: Data) -> FoldTrainer:
        from sere_core.train.build import build_views
        from sere_core.train.fold import FoldTrainer
        from sere_core.train.streams import steps_per_epoch
        from sere_registry.protocols import Selector, completed

        resolved, material = self.plan.resolved, self.material
        context = BuildContext(id="select", classes=self.plan.task.classes)

        def built(kind: str, id: str, name: str) -> None:
            self.bus.call("sere_component_built", run=self.info, kind=kind, id=id, name=name)

        return FoldTrainer(
            index=fold.index,
            builder=replace(material.builder(fold, self.device), built=built),
            streams=material.streams(fold),
            train=resolved.config.train,
            steps=steps_per_epoch(resolved.config.train, fold),
            selector=completed(resolved.components["select"].build(context), Selector),
            path=self.folder.checkpoint(fold.index),
            views=build_views(resolved, material.encoders),
            listener=self._listener(fold.index),
            names=material.names,
            standardise=partial(material.standardise, fold),
            texts=partial(material.texts_of_target, fold),
            manifest=manifest,
            every_epoch=resolved.oracle,
        )

    def _listener(self, fold: int) -> Listener:
        """Hooks and history hear of the fold's steps and epochs."""
        from sere_core.score.records import json_line
        from sere_core.train.fold import Listener

        call = partial(self.bus.call, run=self.info, fold=fold)

        def epoch_end(stage: str, report: EpochReport, score: float | None) -> str:
            said = {"stage": stage, "epoch": report.epoch, "losses": report.losses, "diagnostics": report.diagnostics}
            entry = {"fold": fold, **said}
            line = json_line(entry if score is None else {**entry, "selection": score})
            self.folder.append_history(line)
            call("sere_epoch_end", **said)
            return line

        return Listener(
            stage_start=lambda stage, epochs, steps, first: call(
                "sere_stage_start", stage=stage, epochs=epochs, steps=steps, first_epoch=first
            ),
            step_end=lambda stage, epoch, step, losses: call("sere_step_end", stage=stage, epoch=epoch, step=step, losses=losses),
            epoch_end=epoch_end,
            checkpoint_saved=lambda path: call("sere_checkpoint_saved", path=path),
            should_stop=lambda stage, epoch: call("sere_should_stop", stage=stage, epoch=epoch),
        )

    def _write_embeddings(self, fold: Fold, result: FoldResult) -> Path:
        """The scored utterances' embeddings with their predictions, and those of S_l with its labels; no label of the target."""
        import numpy as np

        held = {
            "id": np.array([recording.id for recording in fold.test]),
            "embedding": result.embeddings.numpy(),
            "predicted": result.posteriors.argmax(dim=1).numpy(),
            "language": np.array([recording.language for recording in fold.test]),
        }
        if result.support is not None:
            held |= {
                "support_embedding": result.support.numpy(),
                "support_label": np.array(fold.labels),
                "support_language": np.array([recording.language for recording in fold.labelled]),
            }
        return self.folder.write_arrays(f"embeddings/fold-{fold.index}.npz", held)

    def _write_picture(self, fold: Fold, trainer: FoldTrainer) -> None:
        """What the report's maps show: some utterances before and after training."""
        from sere_core.train.checkpoint import Checkpoint
        from sere_core.train.picture import take_picture

        state = Checkpoint.load(trainer.path, fold.index, self.folder.path.name).under("method")
        self.folder.write_arrays("embeddings/picture.npz", take_picture(trainer.builder, state, fold, trainer.streams, trainer.standardise))
