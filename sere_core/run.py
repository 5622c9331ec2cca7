"""A run from its config to its record; it reads in the order in which things happen.

corpora -> task -> features -> for each fold: train, predict, score -> record -> table
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sere_core.config import Resolved
from sere_core.plan import Plan, make_plan
from sere_registry import BuildContext

if TYPE_CHECKING:
    from sere_core.console import Speaker


def dry_run(resolved: Resolved) -> int:
    """Check everything that can be checked without torch, and say what the run would do."""
    plan = make_plan(resolved)
    for warning in plan.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"{resolved.config.name}: {plan.task.protocol}")
    print(f"classes: {', '.join(plan.task.classes)}")
    for fold in plan.task.folds:
        sizes = f"{len(fold.labelled)} labelled, {len(fold.source)} source, {len(fold.target)} target, {len(fold.test)} scored"
        print(f"fold {fold.index}: {sizes}")
    for path, bound in resolved.components.items():
        print(f"{path}: {bound.full_name} ({bound.distribution} {bound.version})")
    print(f"record: {folder_of(resolved)}")
    return 0


def folder_of(resolved: Resolved) -> Path:
    """Where the record of this config goes."""
    return Path(resolved.config.output.dir) / resolved.digest()


def run(resolved: Resolved, *, resume: bool = False, fresh: bool = False, quiet: bool = False) -> int:
    """Train, score and record; or, if this very run is done already, show its record.

    Raises:
        SereError: whatever is wrong, in coded lines.
    """
    from sere_core.console import Speaker
    from sere_core.data.labels import Seal
    from sere_core.score.reading import Record
    from sere_core.score.records import RunFolder
    from sere_core.score.table import print_summary

    speaker = Speaker(quiet)
    folder = RunFolder(Path(resolved.config.output.dir), resolved.digest())
    started = time.perf_counter()
    seal = Seal()
    plan = make_plan(resolved, seal)
    if folder.done and not fresh:
        record = Record.read(folder.path)
        plan.check_unchanged(record.manifest["digests"]["corpora"], folder.path)
        if not quiet:
            print_summary(record, speaker.console)
        speaker.say(f"this run was done before; its record: {folder.path} (--fresh trains again)")
        return 0
    speaker.warn(plan.warnings)
    mode: Literal["new", "resume", "fresh"] = "fresh" if fresh else "resume" if resume else "new"
    with folder.claim(mode):
        Run(resolved, plan, seal, folder, speaker, started).whole()
    if not quiet:
        print_summary(Record.read(folder.path), speaker.console)
    speaker.say(f"record: {folder.path}")
    return 0


class Run:
    """One run in its folder."""

    def __init__(self, resolved: Resolved, plan: Plan, seal: Any, folder: Any, speaker: Speaker, started: float) -> None:
        from sere_core.hookbus import HookBus
        from sere_core.score.scorer import Scorer
        from sere_registry.hookspecs import RunInfo

        self.resolved, self.plan, self.folder, self.speaker = resolved, plan, folder, speaker
        self.config = resolved.config
        self.scorer = Scorer(plan.task, seal)
        hooks = {name: resolved.components[f"hooks.{name}"] for name in self.config.hooks}
        self.bus = HookBus(
            {name: bound.build(BuildContext(id=name)) for name, bound in hooks.items()},
            {name: f"{bound.distribution} {bound.full_name}" for name, bound in hooks.items()},
        )
        task = plan.task
        self.info = RunInfo(
            self.config.name, folder.path.name, folder.path, len(task.folds), task.classes, speaker.interactive, speaker.quiet
        )
        self.times: dict[str, float] = {"plan": time.perf_counter() - started}

    @contextmanager
    def timed(self, phase: str) -> Iterator[None]:
        """Adds to the seconds of a phase."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.times[phase] = self.times.get(phase, 0.0) + time.perf_counter() - begin

    def whole(self) -> None:
        """All phases; hooks are told of the end whatever happens."""
        failure: BaseException | None = None
        try:
            with self.timed("import torch"):
                import torch

                from sere_core.train.device import choose_device
                from sere_core.train.size import peaks
                from sere_core.train.stage import optimizer_class
                from sere_core.watching import guard_of
            optimizer_class(self.config.train, self.resolved.place)  # now, not after hours of extraction
            self.device = choose_device(self.config.train.device, self.resolved.place("train.device"))
            self._begin()
            with self.timed("features"):
                self._features()
            torch.set_num_threads(self.config.train.threads or self._threads(torch.get_num_threads()))
            self.guard = guard_of(self.resolved, self.plan, self.folder, type(self).whole.__code__)
            with self.guard.watching():
                self._manifest()
                self.bus.call("sere_run_start", run=self.info)
                with self.timed("train and score"):
                    for fold in self.plan.task.folds:
                        self._fold(fold)
            for phase, seconds in self.times.items():
                self.folder.add_time(phase, seconds)
            for what, mebibytes in peaks(self.device).items():
                self.folder.note_peak(what, mebibytes)
            self.folder.finish()
        except BaseException as caught:
            failure = caught
            raise
        finally:
            scores = dict(self.scorer.summary().mean) if self.scorer.scored and failure is None else None
            self.bus.call("sere_run_end", run=self.info, scores=scores, error=failure)

    def _begin(self) -> None:
        """The record's first files, and how far an interrupted run came."""
        from sere_core.train.checkpoint import Checkpoint

        self.folder.write("config.yaml", self.resolved.dump().encode())
        self.folder.write_folds(self.plan.task)
        self.checkpoints = {
            fold.index: Checkpoint.load(path) for fold in self.plan.task.folds if (path := self._checkpoint_path(fold.index)).exists()
        }
        reached = max((checkpoint.position.history for checkpoint in self.checkpoints.values()), default=0)
        self.folder.truncate_history(reached)
        scores = self.folder.read_json("scores.json")
        if scores is not None:
            self.scorer.load(scores)
        if self.checkpoints:
            done = sum(checkpoint.position.finished for checkpoint in self.checkpoints.values())
            self.speaker.say(f"going on: {done} of {len(self.plan.task.folds)} folds are done")

    def _checkpoint_path(self, fold: int) -> Path:
        path: Path = self.folder.checkpoints / f"fold-{fold}.safetensors"
        return path

    def _features(self) -> None:
        """Extract what is not in the cache."""
        from sere_core.material import gather

        self.material = gather(self.plan, self.device, self.speaker)
        self.speaker.warn(self.material.warnings)

    def _threads(self, cores: int) -> int:
        """All cores where an encoder is trained; else one: the engine's own layers are too small to be worth sharing."""
        trained = any(parameter.requires_grad for encoder in self.material.preparer.encoders.values() for parameter in encoder.parameters())
        return cores if trained else 1

    def _manifest(self) -> None:
        """What the run is made of."""
        from sere_core.data.leakage import checked
        from sere_core.score.manifest import Component, manifest, manifest_changes
        from sere_core.train.device import computes_in, describe
        from sere_core.train.order import fold_seed, order_digests
        from sere_core.train.size import count_parameters

        self.material.preparer.streams(self.plan.task.folds[0])  # states whose statistics normalise
        components = [Component.of(path, bound) for path, bound in self.resolved.components.items()]
        odd = [f"{each.place.path}: {each.message}" for each in self.resolved.warnings]
        digests = {key: self.material.features.audio_digest(recording) for key, (recording, _) in self.plan.recordings().items()}
        leakage = checked(self.plan.task.folds, digests, self.material.preparer.statements)
        self.speaker.say("checked: " + "\n         ".join(f"{what}: {found}" for what, found in leakage.items()))
        notes = {
            "leakage": leakage,
            "normalisation": self.material.preparer.statements,
            "warnings": [*odd, *self.plan.warnings, *self.material.warnings],
            "trimmed": self.material.features.report.trimmed,
            "cut": self.material.features.report.cut,
            "probes": self.folder.read_json("probes.json") or [],
        }
        old = self.folder.read_json("manifest.json")
        new = manifest(
            name=self.config.name,
            job=self.folder.path.name,
            protocol=self.plan.task.protocol,
            selection=self.config.select.use,
            components=components,
            corpora=self.plan.digests(),
            folds=self.plan.task.digest,
            features={"all": self.material.features.digest},
            seeds={"run": self.config.seed, "task": self.plan.task.seed},
            device=describe(self.device),
            precision=computes_in(self.config.train.precision, self.device),
            streams=order_digests(self.plan.task.folds, self.config.train, self.config.seed),
            parameters=count_parameters(self._assembler(fold_seed(self.config.seed, 0), None).method()),
            notes=notes,
        )
        if old is not None:  # an interrupted run goes on
            self.plan.check_unchanged(old["digests"]["corpora"], self.folder.path)
            self.speaker.warn(tuple(f"not as when this run began: {change}" for change in manifest_changes(old, new)))
        self.folder.write_manifest(new)

    def _fold(self, fold: Any) -> None:
        """Train on one fold (or take up what an interrupted run left), predict, score."""
        from sere_core.train.fold import FoldTrainer
        from sere_core.train.order import fold_seed, steps_per_epoch
        from sere_core.train.views import build_chains

        checkpoint = self.checkpoints.get(fold.index)
        streams = self.material.preparer.streams(fold)
        test = streams["test"]
        trainer = FoldTrainer(
            index=fold.index,
            assembler=self._assembler(fold_seed(self.config.seed, fold.index), fold.index),
            streams=streams,
            train=self.config.train,
            steps=steps_per_epoch(self.config.train, fold),
            selector=self.resolved.components["select"].build(BuildContext(id="select", classes=self.plan.task.classes)),
            path=self._checkpoint_path(fold.index),
            views=build_chains(self.resolved, self.material.preparer.encoders),
            listener=self._listener(fold.index),
            names=self.material.preparer.names,
        )
        result = trainer.run(checkpoint)
        self.guard.check()
        posteriors = result.posteriors.double().numpy()
        if fold.index not in self.scorer.scored:
            pseudo = None if result.pseudo is None else result.pseudo.tolist()
            self.scorer.score(fold, posteriors, result.embeddings.numpy(), pseudo)
        self.folder.write_predictions(fold.index, [recording.id for recording in fold.test], posteriors, self.plan.task.classes)
        self.folder.write_scores(self.scorer.as_json())
        embeddings = self._embeddings(fold, result)
        if fold.index == 0:
            self._picture(fold, trainer)
        assert len(test) == len(posteriors)
        mine = self.scorer.of(fold.index)
        self.bus.call(
            "sere_fold_scored",
            run=self.info,
            fold=fold.index,
            scores=_numbers(mine.as_json()),
            confusion=mine.confusion,
            embeddings=embeddings,
        )

    def _embeddings(self, fold: Any, result: Any) -> Path:
        """The scored utterances' embeddings with the answers to them, and those of S_l with its labels; no label of the target."""
        import numpy as np

        held: dict[str, Any] = {
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
        with self.folder.atomic(f"embeddings/fold-{fold.index}.npz") as path, open(path, "wb") as file:
            np.savez(file, **held)
        found: Path = self.folder.path / f"embeddings/fold-{fold.index}.npz"
        return found

    def _picture(self, fold: Any, trainer: Any) -> None:
        """What the report's maps show: some utterances before and after training."""
        import numpy as np

        from sere_core.train.checkpoint import Checkpoint
        from sere_core.train.picture import take_picture

        state = Checkpoint.load(trainer.path).under("method")
        with self.folder.atomic("embeddings/picture.npz") as path, open(path, "wb") as file:
            np.savez(file, **take_picture(trainer.assembler, state, fold, trainer.streams))

    def _assembler(self, seed: int, fold: int | None) -> Any:
        """Builds methods; hooks hear of the components of a fold's only."""
        from sere_core.train.assemble import Assembler

        def built(kind: str, id: str, name: str) -> None:
            if fold is not None:
                self.bus.call("sere_component_built", run=self.info, kind=kind, id=id, name=name)

        return Assembler(self.resolved, self.plan.task.classes, self.material.input_dim, seed, self.plan.paths, self.device, built)

    def _listener(self, fold: int) -> Any:
        """Hooks and history hear of the fold's steps and epochs."""
        from sere_core.train.fold import Listener

        call, info = self.bus.call, self.info

        def step_end(stage: str, epoch: int, step: int, losses: Mapping[str, float]) -> None:
            self.guard.check()
            call("sere_step_end", run=info, fold=fold, stage=stage, epoch=epoch, step=step, losses=losses)

        def epoch_end(stage: str, report: Any, score: float | None) -> int:
            entry = {"fold": fold, "stage": stage, "epoch": report.epoch, "losses": report.losses, "diagnostics": report.diagnostics}
            self.folder.append_history(entry if score is None else {**entry, "selection": score})
            call(
                "sere_epoch_end", run=info, fold=fold, stage=stage, epoch=report.epoch, losses=report.losses, diagnostics=report.diagnostics
            )
            position: int = self.folder.history_position()
            return position

        return Listener(
            stage_start=lambda stage, epochs, steps, first: call(
                "sere_stage_start", run=info, fold=fold, stage=stage, epochs=epochs, steps=steps, first_epoch=first
            ),
            step_end=step_end,
            epoch_end=epoch_end,
            checkpoint_saved=lambda path: call("sere_checkpoint_saved", run=info, fold=fold, path=path),
            should_stop=lambda stage, epoch: call("sere_should_stop", run=info, fold=fold, stage=stage, epoch=epoch),
        )


def _numbers(scores: Mapping[str, Any]) -> dict[str, float]:
    """Only the plain numbers."""
    return {name: float(value) for name, value in scores.items() if isinstance(value, (int, float))}
