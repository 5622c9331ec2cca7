"""The checks of views, selectors, hooks and corpora."""

from __future__ import annotations

import inspect
from copy import deepcopy
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from sere_core.hookbus import HookBus
from sere_core.testing.data import Array, padded
from sere_core.testing.frame import check_members
from sere_core.testing.subject import Checks, Subject
from sere_registry import BuildContext, Corpus, Frames, Selector, View
from sere_registry.emotions import EMOTIONS
from sere_registry.hookspecs import HookSpecs, RunInfo
from sere_registry.protocols import SELECTABLE, completed

FINDINGS = ("missing", "surplus", "warning", "note")
VIEW, SELECTOR, HOOK, CORPUS = Checks(), Checks(), Checks(), Checks()

# -- views --------------------------------------------------------------------------------------------------------------

LENGTHS = (12, 7, 1)
WAVES = {
    "noise": np.random.default_rng(0).normal(0, 0.1, 3000).astype(np.float32),
    "silence": np.zeros(2000, np.float32),
    "full scale": np.sign(np.sin(np.arange(1500) / 9)).astype(np.float32),
    "one sample": np.full(1, 0.3, np.float32),
}


def view_of(subject: Subject) -> View:
    return cast(View, subject.build())


def frames(padding: float = 0.5, extra: int = 2) -> Frames:
    generator = torch.Generator().manual_seed(0)
    return padded([torch.randn(length, 6, generator=generator) for length in LENGTHS], padding, extra)


def inputs(view: View) -> dict[str, Frames | Array]:
    return {**WAVES} if view.level == "waveform" else {"frames": frames()}


def alter(view: View, given: Frames | Array, seed: int = 0) -> Frames | Array:
    """What becomes of a copy of `given`: a view that writes into its input has a check of its own."""
    return cast("Frames | Array", view(deepcopy(given), torch.Generator().manual_seed(seed)))


def altered(view: View, given: Frames, seed: int) -> Frames:
    return cast(Frames, alter(view, given, seed))


def unchanged(one: Frames | Array, other: Frames | Array) -> bool:
    """Bit for bit."""
    if isinstance(one, Frames) and isinstance(other, Frames):
        return torch.equal(one.values, other.values) and torch.equal(one.mask, other.mask)
    return bool(np.array_equal(cast(Array, one), cast(Array, other)))


@VIEW("view.shapes", "build.defaults")
def view_shapes(subject: Subject) -> None:
    """Frames of the same shape and rate come out, or finite samples of float32; its `level` says which."""
    view = view_of(subject)
    assert getattr(view, "level", None) in ("waveform", "frames"), '`level` is neither "waveform" nor "frames"'
    for seed in range(5):
        for name, given in inputs(view).items():
            found = alter(view, given, seed)
            if isinstance(given, Frames):
                assert isinstance(found, Frames), f"a frames view returns {type(found).__name__}"
                assert found.values.shape == given.values.shape, f"frames {tuple(given.values.shape)} become {tuple(found.values.shape)}"
                assert found.values.dtype == given.values.dtype and found.mask.dtype == torch.bool and found.rate == given.rate
                assert found.mask.shape == given.mask.shape, "its mask has another shape"
                assert bool(torch.isfinite(found.values).all()), "its values are not finite"
            else:
                whole = isinstance(found, np.ndarray) and found.dtype == np.float32 and found.ndim == 1
                assert whole, f"{name} becomes no samples of float32"
                samples = cast(Array, found)
                assert len(samples) > 0 and bool(np.isfinite(samples).all()), f"{name} becomes empty or not finite"


@VIEW("view.mask", "view.shapes")
def view_mask(subject: Subject) -> None:
    """No frame comes out of nothing, and no utterance loses all of its frames."""
    view = view_of(subject)
    for seed in range(10 if view.level == "frames" else 0):
        given = frames()
        found = altered(view, given, seed)
        assert not bool((found.mask & ~given.mask).any()), "a padded frame became a real one"
        assert bool(found.mask.any(dim=1).all()), "an utterance lost all of its frames"


@VIEW("view.generator", "view.shapes")
def view_generator(subject: Subject) -> None:
    """The given generator decides everything: the same draws give the same bits, nothing else is drawn from."""
    view = view_of(subject)
    for name, given in inputs(view).items():
        before = _global_state()
        first, second = (alter(view, given, 3) for _ in range(2))
        assert unchanged(first, second), f"the same draws give two views of {name}"
        assert _global_state() == before, "it draws from torch's or numpy's own generator"


def _global_state() -> tuple[bytes, object]:
    """Where torch's and numpy's own generators stand."""
    return torch.get_rng_state().numpy().tobytes(), np.random.get_state(legacy=False)["state"]["pos"]  # type: ignore[index,call-overload]


@VIEW("view.input", "view.shapes")
def view_input(subject: Subject) -> None:
    """What it is given stays as it is."""
    view = view_of(subject)
    for name, given in inputs(view).items():
        mine = deepcopy(given)
        view(mine, torch.Generator().manual_seed(0))
        assert unchanged(mine, given), f"it changed the {name} that it was given"


@VIEW("view.varies", "view.generator")
def view_varies(subject: Subject) -> None:
    """Other draws give another view."""
    view = view_of(subject)
    given = next(iter(inputs(view).values()))
    found = [alter(view, given, seed) for seed in range(8)]
    assert any(not unchanged(one, found[0]) for one in found[1:]), "eight draws give the same view"


@VIEW("view.padding", "view.mask", "view.generator")
def view_padding(subject: Subject) -> None:
    """What stands in padded frames, and how many there are, changes no real one."""
    view = view_of(subject)
    for seed in range(3 if view.level == "frames" else 0):
        short, long = altered(view, frames(), seed), altered(view, frames(float("nan"), 9), seed)
        for row, length in enumerate(LENGTHS):
            same_values = torch.equal(short.values[row, :length], long.values[row, :length])
            assert same_values and torch.equal(short.mask[row, :length], long.mask[row, :length]), "real frames change with the padding"


# -- selectors ----------------------------------------------------------------------------------------------------------


def posteriors() -> dict[str, Tensor]:
    """What predictions on T_u may look like."""
    generator = torch.Generator().manual_seed(0)
    return {
        "random ones": torch.randn(30, 4, generator=generator).softmax(dim=1),
        "one utterance": torch.tensor([[0.2, 0.3, 0.5]]),
        "one class for all": torch.eye(3)[[0] * 10],
        "certain ones": torch.eye(3)[torch.arange(12) % 3],
        "uniform ones": torch.full((9, 3), 1 / 3),
        "float64": torch.randn(8, 3, generator=generator, dtype=torch.float64).softmax(dim=1),
        "two thousand": torch.randn(2000, 5, generator=generator).softmax(dim=1),
    }


def score(subject: Subject, target: Tensor, epoch: int = 0, right: bool = True) -> float:
    """The score of a linear model, whose source is like its target, and whose predictions there are right, or wrong."""
    selector = completed(cast(Selector, subject.build()), Selector)
    labels = (target.argmax(dim=1) + int(not right)) % target.shape[1]

    def mixture(first: Tensor, second: Tensor, share: float) -> Tensor:
        mixed = share * target[first] + (1 - share) * target[second]
        return mixed if right else (1 - mixed) / (target.shape[1] - 1)

    given = {**dict.fromkeys(SELECTABLE, target), "validation_labels": labels, "mixture": mixture, "epoch": epoch}
    return selector.score(**{name: given[name] for name in inspect.signature(selector.score).parameters})


@SELECTOR("selector.reads", "build.defaults")
def selector_reads(subject: Subject) -> None:
    """Its `score` names what it reads, of what `Selector` lists: no label of the target is there."""
    named = set(inspect.signature(subject.build().score).parameters)
    readable = ", ".join(sorted(SELECTABLE))
    assert named and named <= SELECTABLE, f"its score reads {', '.join(sorted(named)) or 'nothing'}; there are {readable}"


@SELECTOR("selector.finite", "selector.reads")
def selector_finite(subject: Subject) -> None:
    """Its score is a finite float for whatever a model predicts."""
    for name, target in posteriors().items():
        found = score(subject, target)
        assert isinstance(found, float), f"its score is a {type(found).__name__}, not a float"
        assert abs(found) < float("inf"), f"its score of {name} is {found}"


@SELECTOR("selector.deterministic", "selector.finite")
def selector_deterministic(subject: Subject) -> None:
    """The same predictions give the same score, and stay as they are."""
    for name, target in posteriors().items():
        kept = target.clone()
        assert score(subject, target) == score(subject, target), f"two scores of the same predictions ({name}) differ"
        assert torch.equal(target, kept), "it changed the predictions that it was given"


@SELECTOR("selector.prefers", "selector.deterministic")
def selector_prefers(subject: Subject) -> None:
    """Confident, right predictions in clear clusters late in training score higher than scattered, wrong ones early in it."""
    generator = torch.Generator().manual_seed(1)
    scattered = (2 * torch.randn(90, 7, generator=generator)).softmax(dim=1)
    clear = (6 * torch.eye(7)[torch.arange(90) % 7] + 0.1 * torch.randn(90, 7, generator=generator)).softmax(dim=1)
    better, worse = score(subject, clear, epoch=9), score(subject, scattered, epoch=2, right=False)
    assert better > worse, f"clear predictions score {better:.4g}, scattered ones {worse:.4g}"


# -- hooks --------------------------------------------------------------------------------------------------------------

KNOWN = {name for name in vars(HookSpecs) if name.startswith("sere_")}


@HOOK("hook.known", "build.defaults")
def known(subject: Subject) -> None:
    """It listens to hooks that exist, with arguments that they have, and to one at least."""
    hook = subject.build()
    bus = HookBus({"checked": hook})
    named = {name for name in dir(hook) if name.startswith("sere_")}
    deaf = sorted(name for name in named if name not in KNOWN or not bus.listens(name))
    assert named and not deaf, f"it has the method {deaf[0]}, which nothing calls" if deaf else "it listens to nothing"


@HOOK("hook.lives", "hook.known")
def lives(subject: Subject) -> None:
    """It goes through a whole run, and one that fails, without failing itself."""
    for failure in (None, RuntimeError("the run's own")):
        bus = HookBus({"checked": subject.build()})
        run = RunInfo("toy", "1f3a", subject.fresh("run"), 1, ("anger", "fear"), interactive=False, quiet=True)
        stage, scores = {"run": run, "fold": 0, "stage": "joint"}, {"uar": 0.5, "war": 0.5}
        bus.call("sere_run_start", run=run)
        bus.call("sere_component_built", run=run, kind="loss", id="adapt", name="sere.coral")
        bus.call("sere_stage_start", **stage, epochs=1, steps=1, first_epoch=0)
        if failure is None:
            bus.call("sere_step_end", **stage, epoch=0, step=0, losses={"ce": 1.0})
            bus.call("sere_epoch_end", **stage, epoch=0, losses={"ce": 1.0}, diagnostics={"spread": 0.2})
            bus.call("sere_checkpoint_saved", run=run, fold=0, path=run.folder / "fold-0.safetensors")
            stop = bus.call("sere_should_stop", **stage, epoch=0)
            assert stop is None or isinstance(stop, str), "sere_should_stop returns neither None nor a reason"
            bus.call("sere_fold_scored", run=run, fold=0, scores=scores, confusion=[[1, 1], [0, 2]], embeddings=None)
        bus.call("sere_run_end", run=run, scores=None if failure else scores, error=failure)
        notes = getattr(failure, "__notes__", [])
        assert not notes, notes[0] if notes else ""


# -- corpora ------------------------------------------------------------------------------------------------------------


def corpus_of(subject: Subject) -> Corpus:
    return cast(Corpus, subject.build(BuildContext("checked", cache=subject.folder)))


@CORPUS("corpus.listing", "build.defaults")
def listing(subject: Subject) -> None:
    """It lists utterances sorted by ids that are unique and the same on every machine, each with the absolute path of its file."""
    corpus = corpus_of(subject)
    check_members(corpus, "languages utterances findings prepare")
    found = corpus.utterances()
    assert found, "it lists nothing"
    ids = [utterance.id for utterance in found]
    assert len(set(ids)) == len(ids), "two utterances have the same id"
    assert ids == sorted(ids), "its utterances are not sorted by id"
    for utterance in found:
        recording = utterance.recording
        assert recording.corpus == "checked", f"{utterance.id}: its corpus is '{recording.corpus}', not the id in the context"
        assert recording.path.is_absolute(), f"{utterance.id}: its path is relative"
        assert not Path(recording.id).is_absolute(), f"{utterance.id}: its id is an absolute path, and another one on another machine"


@CORPUS("corpus.labels", "corpus.listing")
def labels(subject: Subject) -> None:
    """Its emotions are known ones (or "": unlabelled), and its languages those that it declares: no other, and none that nobody speaks."""
    corpus = corpus_of(subject)
    for utterance in corpus.utterances():
        language = utterance.recording.language
        known = utterance.emotion in ("", *EMOTIONS)
        assert known, f"{utterance.id}: '{utterance.emotion}' is not one of sere_registry.emotions.EMOTIONS"
        assert language in corpus.languages, f"{utterance.id}: '{language}' is not in `languages`"
    spoken = {utterance.recording.language for utterance in corpus.utterances()}
    assert len(set(corpus.languages)) == len(corpus.languages), "a language stands twice in `languages`"
    assert spoken == set(corpus.languages), f"nobody speaks {', '.join(sorted(set(corpus.languages) - spoken))}, which `languages` declares"


@CORPUS("corpus.speakers", "corpus.listing")
def speakers(subject: Subject) -> None:
    """Every utterance has a speaker, or none has one; a speaker has one gender."""
    genders: dict[str, str | None] = {}
    for utterance in corpus_of(subject).utterances():
        gender = utterance.recording.gender
        assert gender in ("female", "male", None), f"{utterance.id}: its gender is '{gender}'"
        first = genders.setdefault(utterance.speaker, gender)
        same = not utterance.speaker or first == gender
        assert same, f"{utterance.id}: the gender of '{utterance.speaker}' is {gender}, and {first} before"
    assert "" not in genders or len(genders) == 1, "some utterances have no speaker, and folds would take these for one person"


@CORPUS("corpus.deterministic", "corpus.listing")
def corpus_deterministic(subject: Subject) -> None:
    """It lists the same again, and so does another instance."""
    corpus = corpus_of(subject)
    first = list(corpus.utterances())
    assert list(corpus.utterances()) == first and list(corpus_of(subject).utterances()) == first, "a second listing is not the first"


@CORPUS("corpus.prepare", "corpus.listing")
def corpus_prepare(subject: Subject) -> None:
    """Once it is prepared, its files are there, hold sound, and are not made again."""
    import soundfile

    corpus = corpus_of(subject)
    corpus.prepare()
    paths = sorted({utterance.recording.path for utterance in corpus.utterances()})
    absent = [path for path in paths if not path.is_file()]
    assert not absent, f"{absent[0] if absent else ''} is not there"
    if paths[0].suffix.lower() in (".wav", ".flac", ".ogg"):
        assert soundfile.info(paths[0]).frames > 0, f"{paths[0]} holds no samples"
    before = {path: path.stat().st_mtime_ns for path in paths}
    corpus.prepare()
    assert {path: path.stat().st_mtime_ns for path in paths} == before, "what is there is made again"


@CORPUS("corpus.counts", "corpus.deterministic", "corpus.prepare")
def counts(subject: Subject) -> None:
    """Each recording counts once, as many are there as were announced before, and its findings stay the same."""
    corpus = corpus_of(subject)
    reported = list(corpus.findings())  # before anything is listed
    announced = list(corpus.utterances())
    parts: dict[object, str] = {}
    for utterance in announced:
        recording = utterance.recording
        other = parts.setdefault((recording.path, recording.start, recording.end), utterance.id)
        assert other == utterance.id, f"{other} and {utterance.id} are one recording: it could stand on both sides of a fold"
    corpus.prepare()
    assert list(corpus_of(subject).utterances()) == announced, "it lists other utterances once its files are there"
    for finding in reported:
        assert finding.level in FINDINGS, f"the level of a finding is '{finding.level}', none of {', '.join(FINDINGS)}"
        assert finding.message.strip() and "\n" not in finding.message, "a finding is not one line"
    assert list(corpus.findings()) == reported, "its findings are others once its utterances are listed"
