"""The trainer's promises: zero weights change nothing, a stage sees what it declares, a resumed fold ends in the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import Listener
from sere_core.train.streams import Sampler, ViewChains
from sere_plugins.losses.coral import Coral
from sere_plugins.losses.fixmatch import FixMatch
from sere_plugins.losses.tric import Tric
from sere_plugins.methods.jdar import Jdar
from sere_plugins.methods.joint import Joint
from sere_plugins.methods.mcd import Mcd
from sere_plugins.methods.nrc import Nrc
from sere_plugins.resonance.irf import Irf
from sere_plugins.specs import losses as loss_specs
from sere_plugins.specs import methods as method_specs
from sere_plugins.specs import resonance as field_specs
from sere_plugins.specs import views as view_specs
from sere_plugins.views import FeatureDropout, FrameMask
from sere_registry import BuildContext, SereError, Stage
from tests.train.toy import ToyAssembler, classify, joint, stream, streams, trainer


def coral(context: BuildContext) -> Any:
    return Coral(loss_specs.CORAL.params(), context)


def tric(context: BuildContext) -> Any:
    return Tric(loss_specs.TRIC.params(), context)


def fixmatch(context: BuildContext) -> Any:
    return FixMatch(loss_specs.FIXMATCH.params(), context)


def irf(context: BuildContext) -> Any:
    return Irf(field_specs.IRF.params(), context)


def views() -> ViewChains:
    drop = FeatureDropout(view_specs.FEATURE_DROPOUT.params(), BuildContext("weak"))
    mask = FrameMask(view_specs.FRAME_MASK.params(), BuildContext("strong"))
    return ViewChains(weak=[drop], strong=[mask])


RECIPES: dict[str, tuple[ToyAssembler, dict[str, Any]]] = {
    "source_only": (ToyAssembler(joint, {"classify": (classify, 1.0)}), {}),
    "coral": (ToyAssembler(joint, {"classify": (classify, 1.0), "adapt": (coral, 1.0)}), {}),
    "tric": (ToyAssembler(joint, {"classify": (classify, 1.0), "adapt": (tric, 1.0)}, resonance=irf), {}),
    "fixmatch": (
        ToyAssembler(lambda c: Joint(method_specs.JointParams(ema=0.9), c), {"classify": (classify, 1.0), "adapt": (fixmatch, 1.0)}),
        {"views": views()},
    ),
    "mcd": (ToyAssembler(lambda c: Mcd(method_specs.MCD.params(), c), {}), {}),
    "nrc": (ToyAssembler(lambda c: Nrc(method_specs.NRC.params(), c), {}), {}),
    "jdar": (ToyAssembler(lambda c: Jdar(method_specs.JDAR.params(), c), {}), {}),
}


def posteriors(folder: Path, name: str, **more: Any) -> torch.Tensor:
    assembler, extra = RECIPES[name]
    return trainer(folder, assembler, **extra, **more).run().posteriors


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_and_gives_posteriors(tmp_path: Path, name: str) -> None:
    result = posteriors(tmp_path, name)
    assert result.shape == (15, 3)
    torch.testing.assert_close(result.sum(dim=1), torch.ones(15))
    assert (result.argmax(dim=1) == torch.arange(15) % 3).float().mean() > 0.5  # the toy is easy; chance is a third


@pytest.mark.parametrize("name", RECIPES)
def test_same_seed_same_bits(tmp_path: Path, name: str) -> None:
    first, second = (posteriors(tmp_path / part, name) for part in "ab")
    assert torch.equal(first, second)


class _Stop(Exception):
    pass


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_fold_goes_on_to_the_same_bits(tmp_path: Path, name: str, after: int) -> None:
    """Stopped in the middle of an epoch, the fold goes on from its last checkpoint and ends as if it had not been."""
    whole = posteriors(tmp_path / "whole", name)
    seen = 0

    def stop(stage: str, epoch: int, step: int, losses: object) -> None:
        nonlocal seen
        seen += 1
        if seen == after * 3 + 2:
            raise _Stop

    assembler, extra = RECIPES[name]
    try:
        trainer(tmp_path / "killed", assembler, listener=Listener(step_end=stop), **extra).run()
    except _Stop:
        pass
    else:
        assert name == "jdar", "only a closed form is over before it can be stopped"
    path = tmp_path / "killed" / "fold-0.safetensors"
    kept = Checkpoint.load(path)
    resumed = trainer(tmp_path / "killed", assembler, **extra).run(kept).posteriors
    assert torch.equal(resumed, whole)


@pytest.mark.parametrize("loss", [coral, tric, fixmatch])
def test_zero_weight_is_source_only_bit_for_bit(tmp_path: Path, loss: Any) -> None:
    """A loss weighted zero is still computed; that it changes no bit shows that streams do not share draws."""
    field = irf if loss is tric else None
    plain = ToyAssembler(joint, {"classify": (classify, 1.0)})
    weighted = ToyAssembler(joint, {"classify": (classify, 1.0), "adapt": (loss, 0.0)}, resonance=field)
    alone = trainer(tmp_path / "a", plain)
    both = trainer(tmp_path / "b", weighted, views=views())
    assert torch.equal(alone.run().posteriors, both.run().posteriors)
    ours, theirs = (Checkpoint.load(run.path).under("method") for run in (alone, both))
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


def test_the_zero_weight_test_can_fail(tmp_path: Path) -> None:
    plain = ToyAssembler(joint, {"classify": (classify, 1.0)})
    weighted = ToyAssembler(joint, {"classify": (classify, 1.0), "adapt": (coral, 0.1)})
    assert not torch.equal(trainer(tmp_path / "a", plain).run().posteriors, trainer(tmp_path / "b", weighted).run().posteriors)


def test_a_loss_without_source_encodes_no_source(tmp_path: Path) -> None:
    """Without the source stream the fold still trains: nobody asked for it."""
    _, extra = RECIPES["coral"]
    without = {name: value for name, value in streams().items() if name != "source"}
    assert trainer(tmp_path, ToyAssembler(joint, {"classify": (classify, 1.0)}), streams=without, **extra).run().posteriors.shape == (15, 3)


def test_source_free_stage_cannot_reach_the_source(tmp_path: Path) -> None:
    """NRC's second stage runs on an instance that was built after the source streams were taken away."""
    seen: list[tuple[str, list[str]]] = []

    class Watched(Nrc):
        def stages(self) -> Any:
            made = []
            for stage in super().stages():
                inner = stage.begin

                def begin(data: Any, stage: Stage = stage, inner: Any = inner) -> None:
                    reached = []
                    for name in ("labelled", "source", "target"):
                        try:
                            data.size(name)
                            reached.append(name)
                        except SereError as sealed:
                            assert sealed.problems[0].code == "D611"
                    seen.append((stage.name, reached))
                    if inner is not None:
                        inner(data)

                made.append(Stage(**{**vars(stage), "begin": begin}))
            return made

    assembler = ToyAssembler(lambda c: Watched(method_specs.NRC.params(), c), {})
    trainer(tmp_path, assembler).run()
    assert [names for _, names in seen] == [["labelled"], ["target"]]


def test_a_stage_that_reads_more_than_it_declares_is_refused(tmp_path: Path) -> None:
    class Greedy(Joint):
        def stages(self) -> Any:
            return [Stage(**{**vars(stage), "sees": frozenset({"target"})}) for stage in super().stages()]

    assembler = ToyAssembler(lambda c: Greedy(method_specs.JointParams(), c), {"classify": (classify, 1.0)})
    with pytest.raises(SereError, match="D611"):
        trainer(tmp_path, assembler).run()


class _Broken(nn.Module):
    def forward(self, target: Any, progress: Any) -> dict[str, torch.Tensor]:
        value = target.embedding.sum()
        return {"drift": value * float("nan") if progress.step == 4 else value * 0.0}


def test_nan_stops_with_term_step_and_utterances(tmp_path: Path) -> None:
    assembler = ToyAssembler(joint, {"classify": (classify, 1.0), "adapt": (lambda c: _Broken(), 1.0)})
    with pytest.raises(SereError) as caught:
        trainer(tmp_path, assembler).run()
    message = str(caught.value)
    assert "[T501]" in message and "'adapt.drift'" in message and "step 4" in message and "target/" in message


class _NotScalar(nn.Module):
    def forward(self, labelled: Any) -> dict[str, torch.Tensor]:
        return {"rows": labelled.logits.sum(dim=1)}


def test_a_term_that_is_no_scalar_is_named(tmp_path: Path) -> None:
    assembler = ToyAssembler(joint, {"adapt": (lambda c: _NotScalar(), 1.0)})
    with pytest.raises(SereError, match=r"T501.*rows.*\(9,\)"):
        trainer(tmp_path, assembler).run()


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    assembler = ToyAssembler(joint, {"adapt": (tric, 1.0)})
    with pytest.raises(SereError, match=r"C311.*resonance"):
        trainer(tmp_path, assembler).run()


def test_unlabelled_ids_do_not_tell_the_file_name() -> None:
    labelled, target = stream("labelled", 4), stream("target", 4)
    assert labelled.names([0]) == ("labelled/0",)
    assert "target" not in "".join(target.names(range(4))) and len(set(target.names(range(4)))) == 4


def test_the_sampler_passes_over_everything_before_it_repeats() -> None:
    sampler = Sampler(7, 3, seed=1, name="target")
    drawn = [position for step in range(7) for position in sampler(step)]
    assert sorted(drawn[:7]) == sorted(drawn[7:14]) == list(range(7)) and drawn[:7] != drawn[7:14]
    assert Sampler(7, 3, seed=1, name="target")(5) == sampler(5)


def test_the_selector_keeps_the_epoch_it_scores_highest(tmp_path: Path) -> None:
    class Second:
        def score(self, epoch: int, target: torch.Tensor) -> float:
            assert target.shape == (22, 3)
            return 1.0 if epoch == 1 else 0.0

    run = trainer(tmp_path / "a", RECIPES["source_only"][0], selector=Second())
    result = run.run()
    assert result.kept_epoch == 1
    short = trainer(tmp_path / "b", RECIPES["source_only"][0], epochs=2)
    assert torch.equal(result.posteriors, short.run().posteriors)


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "fold-0.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(SereError, match="T505"):
        Checkpoint.load(path)
