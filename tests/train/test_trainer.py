"""The trainer's promises: zero weights change nothing, a stage sees what it declares, a resumed fold ends in the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from sere_core.config.model import Optimizer, Train
from sere_core.functional import frozen_copy
from sere_core.testing.toy import CPU, Toy, stream, streams
from sere_core.train.checkpoint import Checkpoint
from sere_core.train.fold import Listener
from sere_core.train.stage import make_optimizer
from sere_core.train.streams import Sampler
from sere_plugins.specs import methods, source_free
from sere_registry import Backbone, ComponentSpec, Group, MethodContext, Phase, Place, Schedule, Selector, SereError, Stage
from sere_registry.protocols import completed
from tests.train.recipes import RECIPES, VIEWS, Factory, coral, fixmatch, irf, toy, tric

SOURCE_FREE = [source_free.NRC, source_free.SHOT, source_free.AAD, source_free.ECAN]


def posteriors(folder: Path, name: str) -> Tensor:
    return RECIPES[name].trainer(folder, views=VIEWS).run().posteriors


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

    try:
        RECIPES[name].trainer(tmp_path / "killed", views=VIEWS, listener=Listener(step_end=stop)).run()
    except _Stop:
        pass
    else:
        assert name == "jdar", "only a closed form is over before it can be stopped"
    path = tmp_path / "killed" / "fold-0.safetensors"
    kept = Checkpoint.load(path)
    resumed = RECIPES[name].trainer(tmp_path / "killed", views=VIEWS).run(kept).posteriors
    assert torch.equal(resumed, whole)


@pytest.mark.parametrize(("loss", "weight"), [(coral, 0.0), (tric, 0.0), (fixmatch, 0.0), (coral, 0.1)])
def test_zero_weight_is_source_only_bit_for_bit_and_no_other_is(tmp_path: Path, loss: Factory, weight: float) -> None:
    """A loss weighted zero is still computed; that it changes no bit shows that streams do not share draws."""
    alone = toy().trainer(tmp_path / "a")
    both = toy(adapt=loss, weight=weight, resonance=irf if loss is tric else None).trainer(tmp_path / "b", views=VIEWS)
    assert torch.equal(alone.run().posteriors, both.run().posteriors) == (weight == 0)
    ours, theirs = (Checkpoint.load(run.path).under("method") for run in (alone, both))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items()) == (weight == 0)


def test_a_loss_without_source_encodes_no_source(tmp_path: Path) -> None:
    """Without the source stream the fold still trains: nothing reads it."""
    without = {name: value for name, value in streams().items() if name != "source"}
    assert toy().trainer(tmp_path, streams_=without).run().posteriors.shape == (15, 3)


@pytest.mark.parametrize("spec", SOURCE_FREE, ids=lambda spec: spec.name)
def test_source_free_stage_cannot_reach_the_source(tmp_path: Path, spec: ComponentSpec) -> None:
    """The second stage runs on an instance that was built after the source streams were taken away."""
    seen: list[tuple[str, list[str]]] = []

    class Watched(spec.load()):  # type: ignore[misc]
        def stages(self) -> list[Stage]:
            found = []
            for stage in super().stages():

                def begin(data: Any, stage: Stage = stage) -> None:
                    reached = []
                    for name in ("labelled", "source", "target"):
                        try:
                            data.size(name)
                            reached.append(name)
                        except SereError as sealed:
                            assert sealed.problems[0].code == "D611"
                    seen.append((stage.name, reached))
                    if stage.begin is not None:
                        stage.begin(data)

                found.append(replace(stage, begin=begin))
            return found

    Toy(lambda context: Watched(spec.params(), context)).trainer(tmp_path).run()
    assert [names for _, names in seen] == [["labelled"], ["target"]]


def test_a_stage_that_reads_more_than_it_declares_is_refused(tmp_path: Path) -> None:
    class Greedy(methods.JOINT.load()):  # type: ignore[misc]
        def stages(self) -> list[Stage]:
            return [replace(stage, sees=frozenset({"target"})) for stage in super().stages()]

    with pytest.raises(SereError, match="D611"):
        toy(recipe=lambda context: Greedy(methods.JOINT.params(), context)).trainer(tmp_path).run()


class _Broken(nn.Module):
    def forward(self, target: Any, progress: Any) -> dict[str, torch.Tensor]:
        value = target.embedding.sum()
        return {"drift": value * float("nan") if progress.step == 4 else value * 0.0}


def test_nan_stops_with_term_step_and_utterances(tmp_path: Path) -> None:
    with pytest.raises(SereError) as caught:
        toy(adapt=lambda context: _Broken()).trainer(tmp_path).run()
    message = str(caught.value)
    assert "[T501]" in message and "'adapt.drift'" in message and "step 4" in message and "target/" in message


class _NotScalar(nn.Module):
    def forward(self, labelled: Any) -> dict[str, torch.Tensor]:
        return {"rows": labelled.logits.sum(dim=1)}


def test_a_term_that_is_no_scalar_is_named(tmp_path: Path) -> None:
    with pytest.raises(SereError, match=r"B403.*\(9,\).*rows"):
        toy(adapt=lambda context: _NotScalar()).trainer(tmp_path).run()


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SereError, match=r"C311.*resonance"):
        toy(adapt=tric).trainer(tmp_path).run()


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

    result = toy().trainer(tmp_path / "a", selector=Second()).run()
    assert result.kept_epoch == 1
    assert torch.equal(result.posteriors, toy().trainer(tmp_path / "b", epochs=2).run().posteriors)


def test_a_fold_that_was_stopped_and_then_killed_stops_there_again(tmp_path: Path) -> None:
    def enough(stage: str, epoch: int) -> str | None:
        return "enough" if epoch == 1 else None

    path, saved = tmp_path / "fold-0.safetensors", list[Checkpoint]()
    listener = Listener(should_stop=enough, checkpoint_saved=lambda path: saved.append(Checkpoint.load(path)))
    whole = toy().trainer(path.parent, epochs=4, listener=listener).run().posteriors
    assert [(each.position.epoch, each.position.finished) for each in saved] == [(1, False), (2, True)]
    saved[0].save(path)  # killed before the fold was finished: one of the epoch that stopped would go on behind it
    assert torch.equal(toy().trainer(path.parent, epochs=4, listener=listener).run(Checkpoint.load(path)).posteriors, whole)


def test_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "fold-0.safetensors"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(SereError, match="T505"):
        Checkpoint.load(path)


class _Reader(nn.Module):
    """A loss that reads what it is told to, and remembers what it was given."""

    def __init__(self, reads: frozenset[str]) -> None:
        super().__init__()
        self.reads, self.given = reads, []  # type: ignore[var-annotated]

    def forward(self, **given: Any) -> Mapping[str, Tensor]:
        self.given.append(set(given))
        return {"none": torch.zeros(())}


def test_a_loss_is_given_just_what_it_reads(tmp_path: Path) -> None:
    """Without `target` among `reads` of the losses the method need not see it."""
    readers = [_Reader(frozenset(names)) for names in (("source", "progress"), ("support",))]
    without = {name: value for name, value in streams().items() if name != "target"}
    toy(one=lambda context: readers[0], two=lambda context: readers[1]).trainer(tmp_path, epochs=1, streams_=without).run()
    assert all(len(reader.given) == 3 and set(map(frozenset, reader.given)) == {reader.reads} for reader in readers)


def test_a_batch_is_encoded_again_by_a_frozen_copy(tmp_path: Path) -> None:
    """The same weights give the same values, also of views and of altered frames; the copy gets no gradient and stays behind."""
    network = cast(Backbone, toy().method().backbone).eval()  # type: ignore[attr-defined]
    copy = frozen_copy(network)
    for name in ("labelled", "target"):
        batch = network.encode(stream(name, 5).collate(range(5), CPU))  # type: ignore[type-var]
        again = copy.encode(batch)
        assert type(again) is type(batch) and again.ids == batch.ids and again.inputs is batch.inputs
        assert all(torch.equal(getattr(again, part), getattr(batch, part)) for part in ("embedding", "logits", "bursts", "index"))
        assert batch.logits.requires_grad and not again.logits.requires_grad
        altered = copy.encode(batch, replace(batch.inputs.frames, values=batch.inputs.frames.values + 1))
        assert not torch.equal(altered.logits, batch.logits)
    with torch.no_grad():
        network.classifier.weight += 1  # type: ignore[union-attr,operator]
    assert torch.equal(copy.encode(batch).logits, again.logits)


def test_the_vectors_of_a_view_are_the_means_of_its_frames(tmp_path: Path) -> None:
    class Seen(_Reader):
        views = frozenset({"target"})

        def forward(self, **given: Any) -> Mapping[str, Tensor]:
            target = given["target"]
            for view in (target.views.weak, target.views.strong):
                torch.testing.assert_close(view.vectors, view.inputs.frames.mean())
                assert not torch.equal(view.vectors, target.vectors)
            torch.testing.assert_close(target.vectors, target.inputs.frames.mean())
            return super().forward(**given)

    reader = Seen(frozenset({"target"}))
    toy(one=lambda context: reader).trainer(tmp_path, epochs=1, views=VIEWS).run()
    assert reader.given


class _Grouped(nn.Module):
    """A method with two groups: the features as the config says, the classifier by an optimizer of its own."""

    schedule = Schedule(use="linear", warm_up=0.25)

    def __init__(self, context: MethodContext) -> None:
        super().__init__()
        self.backbone = context.backbone

    def parameters_by_group(self) -> Mapping[str, Group]:
        own = Group(list(cast(nn.Module, self.backbone.classifier).parameters()), 0.5, {"momentum": 0.8, "lr": 0.2}, "sgd", self.schedule)
        return {"features": Group(list(self.backbone.features())), "classifier": own}

    def stages(self) -> list[Stage]:
        return [Stage("all", frozenset({"labelled"}), (Phase("learn", self.learn, ("features", "classifier")),))]

    def learn(self, labelled: Any) -> Mapping[str, Tensor]:
        return {"ce": nn.functional.cross_entropy(labelled.logits, labelled.labels)}

    def predict(self, batch: Any) -> Tensor:
        return cast(Tensor, batch.logits).softmax(dim=1)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD", "RMSprop", "NAdam", "LBFGS", "Adafactor"])
def test_optimizers_are_those_of_torch_bit_for_bit(name: str) -> None:
    made: list[tuple[torch.optim.Optimizer, torch.nn.Parameter]] = []
    for ours in (True, False):
        parameter = torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))
        train = Train(optimizer=Optimizer(use=name.lower(), params={"lr": 0.1}))
        trained = make_optimizer(Group([parameter]), train, lambda path: Place(path=path))
        assert trained is not None
        fused = {"fused": True} if trained.optimizer.defaults.get("fused") else {}
        made.append((trained.optimizer if ours else getattr(torch.optim, name)([parameter], lr=0.1, **fused), parameter))
    for step in range(4):
        for optimizer, parameter in made:
            parameter.grad = torch.sin(parameter.detach() + step)
            optimizer.step(*([lambda: 1.0] if name == "LBFGS" else []))
            optimizer.load_state_dict(optimizer.state_dict())
            optimizer.zero_grad()
    (optimizer, mine), (_, theirs) = made
    assert isinstance(optimizer, getattr(torch.optim, name)) and torch.equal(mine, theirs)


def test_options_and_schedules_of_groups_reach_their_optimizers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step has the rate of its point of the stage, also after a resume; the config's schedule holds where a group has none."""
    rates: list[tuple[str, float, float]] = []

    def watch(kind: type[torch.optim.Optimizer]) -> None:
        step = kind.step

        def watched(self: Any, *given: Any, **more: Any) -> Any:
            rates.append((kind.__name__, self.param_groups[0]["lr"], self.param_groups[0].get("momentum", 0.0)))
            return step(self, *given, **more)

        monkeypatch.setattr(kind, "step", watched)

    watch(torch.optim.SGD)
    watch(torch.optim.Adam)
    method, section = Toy(_Grouped), {"schedule": {"use": "inverse_decay"}}  # type: ignore[arg-type]
    whole = method.trainer(tmp_path / "whole", **section).run().posteriors
    steps = [number / 12 for number in range(12)]
    config = Schedule(use="inverse_decay")
    assert [rate for name, rate, _ in rates if name == "Adam"] == pytest.approx([1e-2 * config.factor(t) for t in steps])
    assert [rate for name, rate, _ in rates if name == "SGD"] == pytest.approx([0.1 * _Grouped.schedule.factor(t) for t in steps])
    assert {momentum for name, _, momentum in rates if name == "SGD"} == {0.8}

    def stop(stage: str, epoch: int, step: int, losses: object) -> None:
        if step == 7:
            raise _Stop

    first, rates[:] = list(rates), []
    killed = method.trainer(tmp_path / "killed", listener=Listener(step_end=stop), **section)
    with pytest.raises(_Stop):
        killed.run()
    rates.clear()
    assert torch.equal(method.trainer(tmp_path / "killed", **section).run(Checkpoint.load(killed.path)).posteriors, whole)
    assert rates == first[2 * 6 :], "steps 6 to 11 again"


def test_what_a_component_leaves_out_is_filled_in() -> None:
    """By the members of the protocol, bound to the component; what it has stays."""

    class Scorer:
        def score(self, epoch: int) -> float:
            return float(epoch)

    assert completed(cast(Selector, Scorer()), Selector).keeps_last is False
    method = toy(adapt=coral).method()
    assert method.prediction_backbone() is None and method.needs_support is False and method.field is None
    loss, _ = method.losses.values()  # type: ignore[attr-defined]
    assert loss.views == frozenset() and loss.predicts is False and loss.parameters_by_group() == {} and loss.diagnostics() == {}
