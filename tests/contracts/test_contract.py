"""Every component that comes with sere passes the conformance kit, in each of its variants: it has no privilege over a plugin's.

Variants come from the declaration: the defaults, then one parameter at a time at each of its choices and bounds.  A new
component, choice or bound is run without a line here; only what cannot be derived stands in a table.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
import torch
from pydantic.fields import FieldInfo

from sere_core.content import Contents, digest_of
from sere_core.testing import Subject, check_component
from sere_core.testing.data import waves
from sere_core.testing.frame import gradients
from sere_core.testing.trained_kinds import FIELDS, LOSSES, extract, sides
from sere_registry import API, GROUPS, BuildContext, SereError
from sere_registry.catalog import Catalog
from sere_registry.entries import Entry
from sere_registry.kinds import FIRST_PARTY
from tests.corpora.layouts import make_casia, make_emodb, make_emovo, make_enterface, make_ravdess, sound, write
from tests.encoders.checkpoints import tiny_hubert, tiny_wav2vec2, tiny_wavlm, tiny_whisper

Values = dict[str, Any]
CATALOG = Catalog(environ={})
ENTRIES = [CATALOG.find(each.kind, each.full_name) for each in CATALOG.entries if each.distribution == FIRST_PARTY]


@pytest.fixture(autouse=True)
def bfloat16_on_any_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without instructions for it, it is only slow."""
    monkeypatch.setattr("sere_plugins.encoders.pretrained.multiplies_bfloat16", lambda: True)


#: (kind, parameter, value as JSON) -> what else must be set for this value to mean anything
COMPANIONS: dict[tuple[str, str, str], Values] = {
    ("encoder", "train", '"top"'): {"top_layers": 1},
    ("encoder", "train_cnn", "true"): {"train": "all"},
    ("encoder", "context", '"real"'): {"train": "top", "top_layers": 1},
    ("encoder", "top_layers", "1"): {"train": "top"},
    ("method", "estimator", '"MMDLSConSMapping"'): {"params": {"max_iter": 2}},  # these four take seconds
    ("method", "estimator", '"GradualEstimator"'): {"params": {"n_steps": 1}},
    ("method", "estimator", '"EntropicOTMapping"'): {"params": {"max_iter": 50}},
    ("method", "estimator", '"ClassRegularizerOTMapping"'): {"params": {"max_iter": 2, "max_inner_iter": 20}},
}
#: of methods that take class shares for those of the target
SHARES: list[Values] = [{"shares": "estimated"}, {"shares": [0.5, 0.3, 0.2]}]
#: values that are reached in no other way: several parameters at once, or one between its bounds
EXTRA: dict[str, list[Values]] = {
    "sere.tric": [{"distance": "euclidean", "squared": False}, {"dual_weight": 0.0, "prototype_weight": 0.0}],
    "sere.irf": [{"sync": "exp_square", "combine": "sum"}, {"burst": "signed", "highlight": "top_quantile"}],
    "sere.bda": [{"balance": 0.0}, {"balance": 1.0}, {"balance": "estimated"}],
    "sere.joint": [{"ema": 0.9}],
    "sere.mcd": [{"class_balance": 0.01}],
    "sere.prototype_consistency": [{"threshold": 0.01}],
    "sere.label_propagation": [{"shares": "equal"}, *SHARES],
    "sere.pt_map": SHARES,
    "sere.tim": SHARES,
    "sere.em_gaussians_reconstructed": [{"shares": "equal"}, SHARES[1]],
    "sere.balanced_self_training": SHARES,
    "sere.frame_mask": [{"fill": "mean", "time_share": 0.9, "feature_share": 0.9}],
    "sere.feature_dropout": [{"share": 0.9}],
    "sere.wav2vec2": [{"layer": "mix", "pool": True}, {"layer": [0, 1]}],
    "sere.hubert": [{"layer": "mix"}],
    "sere.wavlm": [{"layer": "mix"}],
    "sere.whisper": [{"layer": "mix"}, {"window": "full", "train": "all"}],
}
OFF = "this value switches it off, or leaves it one choice"
ADDS = "a sum of the cosine and a synchrony of up to 1 is no cosine"
SAMPLES = "its frozen layers compute in float32 whatever they are given"
UNSURE = "no guess of a teacher that nothing has trained is confident enough to teach; `EXTRA` has one that is"
STOPPED = "on purpose no gradient passes through the projections that are predicted, which the same parameters make"
NO_CLUSTER = "no scheduler is there: tests/compare/test_cluster.py brings one"
DAN: list[Values] = [{}, {"kernels": 1}, {"estimate": "unbiased"}, {"layers": "both"}, {"use_source": False}]
#: component -> the values with which it fails a check, the check, and why
EXCUSED: dict[str, list[tuple[Values, str, str]]] = {
    "sere.logmel": [({"dim": 1}, "encoder.gradient", "a LayerNorm over one number is constant")],
    "sere.wav2vec2": [({"train": "all"}, "encoder.float64", SAMPLES)],
    "sere.hubert": [({"train": "all"}, "encoder.float64", SAMPLES)],
    "sere.wavlm": [({"train": "all"}, "encoder.float64", SAMPLES)],
    "sere.irf": [(values, "resonance.bounded", ADDS) for values in ({"combine": "sum"}, {"sync": "exp_square", "combine": "sum"})],
    "sere.irf_adaptive": [({"combine": "sum"}, "resonance.bounded", ADDS)],
    "sere.tric": [({"dual_weight": 0.0, "prototype_weight": 0.0}, "loss.gradient", "both terms are switched off")],
    "sere.prototype_consistency": [
        (values, check, UNSURE)
        for values in (
            {},
            {"prototypes": 1},
            {"decay": 0.0},
            {"decay": 1.0},
            {"unlabelled_weight": 0.0},
            {"ema": 0.0},
            {"predict": "student"},
        )
        for check in ("loss.gradient", "loss.float64")
    ],
    "sere.simsiam": [
        (values, "loss.float64", STOPPED) for values in ({}, {"hidden": 16}, {"width": 16}, {"norm": "layer"}, {"use_source": True})
    ],
    "sere.dan": [(values, "loss.float64", "bandwidths follow the batch without gradient") for values in DAN],
    "sere.mcc": [({}, "loss.float64", "weights of utterances follow the batch without gradient")],
    "sere.dask": [(values, "executor.workers", NO_CLUSTER) for values in ({}, {"losses": 1})],
    "sere.submitit": [
        (values, "executor.starts", NO_CLUSTER) for values in ({}, {"workers": 1}, {"minutes": 1}, {"requeues": 0}, {"losses": 1})
    ],
    "sere.crop": [({"low": 1.0}, "view.varies", OFF)],
    "sere.feature_dropout": [({"share": 0.0}, "view.varies", OFF)],
    "sere.frame_mask": [({"time_share": 0.0}, "view.varies", OFF)],
    "sere.gain": [({"decibels": 0.0}, "view.varies", OFF)],
    "sere.jitter": [({"sigma": 0.0}, "view.varies", OFF)],
    "sere.speed": [({"low": value, "high": value}, "view.varies", OFF) for value in (0.85, 1.18)],
    "sere.stretch": [({"low": value, "high": value}, "view.varies", OFF) for value in (0.5, 2.0)],
}


def listed(folder: Path) -> Path:
    """A manifest beside its audio."""
    rows = [("path", "speaker", "emotion", "language")]
    for speaker in "ab":
        for emotion in ("anger", "neutral"):
            path = write(folder / f"{speaker}-{emotion}.wav", sound(emotion, speaker, "t"))
            rows.append((path.name, speaker, emotion, "de"))
    with (folder / "list.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "list.csv"


def database(folder: Path) -> Path:
    """The same in audformat."""
    audformat = pytest.importorskip("audformat")
    with listed(folder).open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    made = audformat.Database("made", languages=["deu"])
    made["emotion"] = audformat.Table(audformat.filewise_index([row["path"] for row in rows]))
    for name in ("speaker", "emotion"):
        made.schemes[name] = audformat.Scheme("str")
        made["emotion"][name] = audformat.Column(scheme_id=name)
        made["emotion"][name].set([row[name] for row in rows])
    made.save(str(folder))
    return folder


def audiofolder(folder: Path) -> Path:
    """The same with the metadata of an audiofolder."""
    text = listed(folder).read_text(encoding="utf-8")
    (folder / "metadata.csv").write_text(text.replace("path,", "file_name,", 1), encoding="utf-8")
    return folder


def streams(folder: Path) -> list[Values]:
    """The default streams, with a HuBERT that is there."""
    hubert = {"use": "sere.hubert", "params": {"model": str(tiny_hubert(folder))}}
    return [hubert, {"use": "sere.logmel"}, {"use": "sere.acoustic"}]


#: component -> the parameter that has no default which works without a download or a corpus, and what makes its value in a folder
NEEDED: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "sere.wav2vec2": ("model", tiny_wav2vec2),
    "sere.hubert": ("model", tiny_hubert),
    "sere.wavlm": ("model", tiny_wavlm),
    "sere.whisper": ("model", tiny_whisper),
    "sere.concatenation": ("streams", streams),
    "sere.fusion_reconstructed": ("streams", streams),
    "sere.casia": ("root", lambda folder: make_casia(folder, speakers=("liuchanhg", "wangzhe"), texts=("201",))),
    "sere.emodb": ("root", lambda folder: make_emodb(folder, speakers=("03", "08"), texts=("a01",))),
    "sere.emovo": ("root", lambda folder: make_emovo(folder, speakers=("f1", "m1"), texts=("b1",))),
    "sere.enterface": ("root", lambda folder: make_enterface(folder, subjects=(1, 2), sentences=(1,))),
    "sere.ravdess": ("root", lambda folder: make_ravdess(folder, actors=("01", "02"), statements=("01",))),
    "sere.manifest": ("file", listed),
    "sere.folder": ("root", lambda folder: listed(folder).parent),
    "sere.audformat": ("root", database),
    "sere.datasets": ("root", audiofolder),
}
SMALL: dict[str, Values] = {
    "sere.tim": {"steps": 20},
    "sere.pt_map": {"rounds": 3},
    "sere.alpha_tim": {"steps": 20},
    "sere.synthetic": {"speakers": 2, "per_class": 1, "seconds": 0.4, "emotions": ("anger", "neutral")},
    "sere.folder": {"language": "de", "speaker": "(?P<speaker>[ab])-", "emotion": r"-(?P<emotion>\w+)[.]"},
}


@dataclass(frozen=True)
class Case:
    """A component and the parameter values of one run of the kit."""

    entry: Entry
    values: Values

    def params(self, folder: Path) -> Values:
        needed: Values = {}
        if self.entry.full_name in NEEDED:
            name, make = NEEDED[self.entry.full_name]
            made = make(folder)
            needed[name] = str(made) if name == "model" else made
        return {**SMALL.get(self.entry.full_name, {}), **needed, **self.values}

    def __str__(self) -> str:
        return f"{self.entry.kind}-{self.entry.short_name}-" + ",".join(f"{key}={value}" for key, value in self.values.items())


def alternatives(about: FieldInfo) -> Iterator[Any]:
    """A parameter's other values: every choice, both booleans, and its closed bounds."""
    kind = about.annotation
    if get_origin(kind) is Literal:
        yield from get_args(kind)
    elif kind is bool:
        yield from (True, False)
    elif kind is int or kind is float:
        yield from (
            kind(getattr(bound, name)) for bound in about.metadata for name in ("ge", "le") if getattr(bound, name, None) is not None
        )


def companions(entry: Entry, name: str, value: Any) -> Values:
    """What else must be set for this value to be allowed: of a range from `low` to `high`, the other end."""
    fields = entry.spec.params.model_fields
    if name == "low" and value > fields["high"].default:
        return {"high": value}
    if name == "high" and value < fields["low"].default:
        return {"low": value}
    return COMPANIONS.get((entry.kind, name, json.dumps(value)), {})


def variants(entry: Entry) -> list[Case]:
    """The defaults, each choice and bound of each parameter, and what `EXTRA` adds."""
    found: list[Values] = [{}]
    for name, about in entry.spec.params.model_fields.items():
        for value in alternatives(about):
            made = {name: value, **companions(entry, name, value)}
            if value != about.default and made not in found:
                found.append(made)
    return [Case(entry, values) for values in found + EXTRA.get(entry.full_name, [])]


CASES = [case for entry in ENTRIES for case in variants(entry)]
#: kinds whose variants take half of the time of all cases
TRAINED = {"encoder", "loss", "method", "resonance"}


def marked(methods: bool) -> list[Any]:
    """The cases of methods, or of all other kinds: each in a file, and so in a process, of its own."""
    chosen = [case for case in CASES if (case.entry.kind == "method") is methods]
    return [pytest.param(case, marks=pytest.mark.slow if case.entry.kind in TRAINED and case.values else ()) for case in chosen]


def of_kind(kind: str) -> list[Case]:
    return [case for case in CASES if case.entry.kind == kind]


@pytest.mark.parametrize("case", marked(methods=False), ids=str)
def test_it_passes_the_kit(case: Case, tmp_path: Path) -> None:
    conforms(case, tmp_path)


def conforms(case: Case, tmp_path: Path) -> None:
    """With its defaults everything; in other variants what may depend on a parameter, without a run of the engine."""
    name = case.entry.full_name
    skip = ("static.", "hygiene.", "integration.", "method.paths") if case.values else ()
    if name == "sere.synthetic" and any(case.values.get(each, 0) > 2 for each in ("speakers", "per_class", "seconds")):
        skip += ("corpus.prepare", "corpus.counts")  # thousands of files, all made in the same way
    expected = {check: why for values, check, why in EXCUSED.get(name, []) if values == case.values}
    check_component(case.entry.kind, name, catalog=CATALOG, params=case.params(tmp_path), expected_failures=expected, skip=skip)


def test_everything_that_the_project_announces_is_found() -> None:
    """An installation older than pyproject.toml would hide components from all these tests."""
    announced = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    assert {name for group in GROUPS.values() for name in announced.get(group, {})} == {entry.full_name for entry in ENTRIES}
    assert {entry.kind for entry in ENTRIES} == set(GROUPS)
    assert {entry.spec.api for entry in ENTRIES} == {API}


@pytest.mark.parametrize("name", [name for name, (where, _) in NEEDED.items() if where in ("root", "file")])
def test_a_corpus_in_a_wrong_place_is_one_line(name: str, tmp_path: Path) -> None:
    """D601 for a place that is not there, D602 for one that holds nothing."""
    (entry,) = (entry for entry in ENTRIES if entry.full_name == name)
    where, _ = NEEDED[name]
    (tmp_path / "list.csv").write_text("path,speaker,emotion,language\n", encoding="utf-8")
    for code, place in (("D601", tmp_path / "nowhere" / "list.csv"), ("D602", tmp_path / "list.csv" if where == "file" else tmp_path)):
        with pytest.raises(SereError) as caught:
            Subject(entry, CATALOG, {**SMALL.get(name, {}), where: place}).build(BuildContext("mine")).utterances()
        assert [problem.code for problem in caught.value.problems] == [code]
        assert "\n" not in caught.value.problems[0].message


def test_what_extracts_otherwise_is_named_otherwise(tmp_path: Path) -> None:
    """Fingerprint and files are part of the cache key: two variants of an encoder that extract different numbers must not share both."""
    found: dict[str, list[tuple[Case, str, torch.Tensor]]] = {}
    for number, case in enumerate(of_kind("encoder")):
        encoder = Subject(case.entry, CATALOG, case.params(tmp_path / str(number))).build().eval()
        made = json.dumps(dict(encoder.fingerprint()), sort_keys=True).replace(str(tmp_path / str(number)), "")
        made += digest_of([(path.name, path) for path in getattr(encoder, "files", ())], Contents())
        found.setdefault(case.entry.full_name, []).append((case, made, extract(encoder, waves()[1])))
    for each in found.values():
        for (one, its, first), (other, others, second) in combinations(each, 2):
            assert torch.equal(first, second) or its != others, f"{one} and {other} share a fingerprint"
        assert len(each) == 1 or len({made for _, made, _ in each}) > 1, "no parameter that the frozen part reads is varied"


@pytest.mark.parametrize("case", of_kind("loss"), ids=str)
def test_a_loss_draws_nothing_and_moves_the_field_that_it_reads(case: Case) -> None:
    """A loss that drew would change the draws of others; IRF's alpha is reached where S itself enters a loss (`mix: resonance`)."""
    subject = Subject(case.entry, CATALOG, case.values)
    module = LOSSES.build(subject)
    if not case.values:
        assert bool(getattr(module, "views", ())) == ("two views" in case.entry.spec.tags), "the page shows views for what needs them"
    given = dict(LOSSES.given(module))
    if "field" in given:
        (irf,) = (entry for entry in ENTRIES if entry.full_name == "sere.irf")
        given["field"] = FIELDS.build(Subject(irf, CATALOG, {}))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    total = torch.stack(list(module(**given).values())).sum()
    assert torch.equal(torch.get_rng_state(), before)
    if "field" in given:
        (found,) = gradients(total, [given["field"].weights])
        assert (found is not None and bool((found != 0).any())) == (case.values.get("mix") == "resonance")


@pytest.mark.parametrize("case", of_kind("resonance"), ids=str)
def test_an_aligned_representation_lies_among_the_frames_of_its_partner(case: Case) -> None:
    """zt is a mean of frames of b: in each dimension between their least and their largest value."""
    a, b = sides(equal=True)
    found = FIELDS.build(Subject(case.entry, CATALOG, case.values)).aligned(a, b).aligned  # type: ignore[operator]
    outside = ~b.frames.mask.unsqueeze(-1)
    low, high = b.frames.values.masked_fill(outside, torch.inf).amin(1), b.frames.values.masked_fill(outside, -torch.inf).amax(1)
    assert (found >= low - 1e-9).all() and (found <= high + 1e-9).all()


def test_the_tables_name_variants_that_exist() -> None:
    known: dict[str, list[Mapping[str, Any]]] = {}
    for case in CASES:
        known.setdefault(case.entry.full_name, []).append(case.values)
    for name, rows in EXCUSED.items():
        assert all(values in known[name] for values, _, _ in rows)
    assert set(NEEDED) | set(SMALL) <= set(known)
