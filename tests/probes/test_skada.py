"""`skada`: what its estimators predict by themselves, what they are given, how they are kept, and what they refuse."""

from __future__ import annotations

import inspect
import subprocess
import sys
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from sere_plugins.specs.bridge import LEFT_OUT, Estimator, SkadaParams
from sere_registry import SereError
from tests.probes.driver import CLASSES, SIX, Toy, accuracy, context, posteriors, solved

sklearn = pytest.importorskip("sklearn")
skada = pytest.importorskip("sere_plugins.methods.skada")
NAMES = get_args(Estimator)
#: the estimators that take a second or more with their defaults
FAST: dict[str, dict[str, Any]] = {
    "MMDLSConSMapping": {"max_iter": 2},
    "GradualEstimator": {"n_steps": 1},
    "EntropicOTMapping": {"max_iter": 50},
    "ClassRegularizerOTMapping": {"max_iter": 2, "max_inner_iter": 20},
}
EVERY = pytest.mark.parametrize("name", NAMES)


def made(name: str, toy: Toy, classes: tuple[str, ...] = CLASSES, classifier: Any = "logistic", **arguments: Any) -> tuple[Any, Any]:
    params = SkadaParams(estimator=name, params={**FAST.get(name, {}), **arguments}, classifier=classifier)  # type: ignore[arg-type]
    return solved(lambda context: skada.Skada(params, context), toy, classes)


def again(method: Any, classes: tuple[str, ...] = CLASSES) -> Any:
    """Another instance, with another seed of its own, that takes over the state."""
    torch.manual_seed(77)
    other = skada.Skada(method.params, context(width=method.target.shape[1], classes=classes))
    other.load_state_dict({key: value.clone() for key, value in method.state_dict().items()})
    return other


def test_every_classifier_of_skada_is_here_or_left_out_for_a_reason() -> None:
    named = {name: getattr(skada.skada, name, None) for name in skada.skada.__all__}
    found = {name for name, each in named.items() if callable(each) and "base_estimator" in inspect.signature(each).parameters}
    tools = {"PerDomain", "SelectSource", "SelectTarget", "Shared", "solve_jdot_classification", "solve_jdot_regression"}
    assert found - tools == (set(NAMES) - {"GradualEstimator"}) | set(LEFT_OUT)
    for name in LEFT_OUT:
        with pytest.raises(ValueError, match=LEFT_OUT[name]):
            SkadaParams(estimator=name)  # type: ignore[arg-type]


def test_what_is_left_out_fails() -> None:
    toy = Toy.make()
    rows = np.concatenate([toy.vectors[name].double().numpy() for name in ("labelled", "target")])
    labels, domains = np.append(toy.labels, np.full(60, -1)), np.repeat([1, -2], [15, 60])
    with pytest.raises(IndexError), sklearn.config_context(enable_metadata_routing=True):
        skada.skada.DASVMClassifier().fit(rows, labels, sample_domain=domains)
    assert not hasattr(skada.skada.JDOTRegressor(), "predict_proba")


@EVERY
@pytest.mark.parametrize("classifier", ["logistic", "own"])
def test_each_is_kept_without_pickle_and_predicts_items_by_themselves(name: str, classifier: str) -> None:
    if classifier == "own" and name == "GradualEstimator":
        pytest.skip("its own choice, a perceptron, trains for seconds")
    toy = Toy.make()
    method, trace = made(name, toy, classifier=classifier)
    rows = torch.cat([toy.vectors["target"], torch.randn(3, 4, generator=torch.Generator().manual_seed(0))])  # three are new
    found = posteriors(method, rows)
    torch.testing.assert_close(found.sum(dim=1), torch.ones(len(found)))
    assert trace["adapted"] == [1.0] and trace["confidence"][0] >= 1 / 3
    assert all(isinstance(value, Tensor) for value in method.state_dict().values())
    other = again(method)
    drawn = np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index, union-attr]
    assert torch.equal(posteriors(other, rows), found)  # it fits again, and changes nobody's draws or settings
    assert drawn == (np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # type: ignore[index, union-attr]
    assert not sklearn.get_config()["enable_metadata_routing"]
    alone = torch.cat([posteriors(other, rows[[row]]) for row in (0, 7, 60, 62)])
    torch.testing.assert_close(alone, found[[0, 7, 60, 62]])


@pytest.mark.parametrize("name", ["CORAL", "SubspaceAlignment", "OTMapping", "JDOTClassifier", "TransferComponentAnalysis", "KMMReweight"])
def test_it_gives_what_skada_gives(name: str) -> None:
    toy = Toy.make()
    source, target = (toy.vectors[each].double().numpy() for each in ("labelled", "target"))
    labels, domains = np.append(toy.labels.numpy(), np.full(60, -1)), np.repeat([1, -2], [15, 60])
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = sklearn.linear_model.LogisticRegression(max_iter=1000).set_fit_request(sample_weight=True)
        estimator = getattr(skada.skada, name)(base_estimator=classifier)
        estimator.fit(np.concatenate([source, target]), labels, sample_domain=domains)
        expected = estimator.predict_proba(target, sample_domain=np.full(60, -2))
    np.testing.assert_allclose(posteriors(made(name, toy)[0], toy.vectors["target"]).numpy(), expected, atol=1e-6)


def test_it_is_given_the_labels_of_s_l_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    class Spy:
        classes_ = np.arange(2)

        def fit(self, rows: Any, labels: Any, sample_domain: Any) -> None:
            given.update(rows=rows, labels=labels, domains=sample_domain)

        def predict_proba(self, rows: Any, sample_domain: Any) -> Any:
            assert (sample_domain == -2).all()
            return np.full((len(rows), 2), 0.5)

    def spied(base_estimator: Any = None) -> Spy:
        return Spy()

    monkeypatch.setattr(skada, "factory", lambda name: spied)
    toy = Toy.make()
    kept = toy.labels != 1
    some = Toy({"labelled": toy.vectors["labelled"][kept], "target": toy.vectors["target"]}, toy.labels[kept], toy.truth)
    method, _ = made("CORAL", some)
    assert given["labels"].tolist() == [0] * 5 + [1] * 5 + [-1] * 60 and given["domains"].tolist() == [1] * 10 + [-2] * 60
    assert torch.equal(torch.as_tensor(given["rows"]).float(), torch.cat([some.vectors["labelled"], some.vectors["target"]]))
    assert posteriors(method, toy.vectors["target"])[0].tolist() == [0.5, 0.0, 0.5]


@EVERY
def test_domains_without_spread_single_classes_and_duplicates(name: str) -> None:
    """It steps aside where there is nothing to adapt, and else predicts, or says in one line what skada says."""
    toy = Toy.make()
    rows = toy.vectors["target"]
    for target in (rows[:1], rows[:1].repeat(5, 1)):
        method, trace = made(name, Toy({**toy.vectors, "target": target}, toy.labels, toy.truth))
        assert trace["adapted"] == [0.0] and accuracy(again(method), toy) > 0.5
    one = Toy({**toy.vectors, "labelled": toy.vectors["labelled"][:5]}, toy.labels[:5], toy.truth)
    assert posteriors(made(name, one)[0], rows)[:, 0].eq(1).all()
    wide = Toy.make(width=40)
    for given in (Toy({**toy.vectors, "target": rows[:2].repeat(4, 1)}, toy.labels, toy.truth), wide):
        try:
            assert posteriors(made(name, given)[0], given.vectors["target"]).isfinite().all()
        except SereError as refused:
            [problem] = refused.problems
            assert problem.code == "C302" and name in problem.message and problem.place.path == "method.params.params"


def test_a_class_that_no_target_row_gets_is_never_predicted() -> None:
    toy = Toy.make()
    rows = toy.vectors["target"][toy.truth != 2]
    labels = Toy({"labelled": toy.vectors["labelled"], "target": rows}, toy.labels, toy.truth[toy.truth != 2])
    for name in ("OTLabelProp", "JCPOTLabelProp", "JDOTClassifier"):
        found = posteriors(made(name, labels)[0], rows)
        torch.testing.assert_close(found.sum(dim=1), torch.ones(len(found)))
        assert found.shape == (40, 3)


def test_two_classes_with_decisions_alone() -> None:
    toy = Toy.make()
    kept, seen = toy.labels != 2, toy.truth != 2
    two = Toy({"labelled": toy.vectors["labelled"][kept], "target": toy.vectors["target"][seen]}, toy.labels[kept], toy.truth[seen])
    method, _ = made("CORAL", two, SIX, classifier="own")
    assert accuracy(method, two) > 0.9 and not posteriors(method, two.vectors["target"])[:, 2:].any()


@pytest.mark.parametrize(
    ("name", "arguments", "place", "hint"),
    [
        ("OTMapping", {"nrom": "max"}, ".nrom", "norm"),
        ("OTMapping", {"base_estimator": "x"}, ".base_estimator", "classifier"),
        ("TransferSubspaceLearning", {"base_method": "x"}, "", "flda"),
        ("TransferComponentAnalysis", {"kernel": "x"}, "", "kernel='rbf'"),
        ("SubspaceAlignment", {"n_components": 1000}, "", "n_components=None"),
        ("LinearOTMapping", {"reg": "x"}, "", "reg=1.0"),
    ],
)
def test_wrong_arguments_are_one_line_at_their_place(name: str, arguments: dict[str, Any], place: str, hint: str) -> None:
    with pytest.raises(SereError) as caught:
        made(name, Toy.make(), **arguments)
    [problem] = caught.value.problems
    assert (problem.code, problem.place.path) == ("C302", f"method.params.params{place}")
    assert hint in problem.hint + problem.message and "\n" not in problem.message + problem.hint


def test_a_fit_that_comes_out_otherwise_is_no_prediction() -> None:
    toy = Toy.make()
    method, _ = made("CORAL", toy)
    method.posteriors[0] = torch.tensor([0.0, 0.5, 0.5])
    with pytest.raises(SereError, match=r"\[T505\].*CORAL"):
        posteriors(again(method), toy.vectors["target"])


def test_warnings_of_skada_are_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    from sere_registry.guard import running

    said: list[str] = []
    with running(said.append):
        for _ in range(2):
            made("EntropicOTMapping", Toy.make(), max_iter=2)
    assert [line.partition(":")[0] for line in said] == ["skada's EntropicOTMapping"] and capsys.readouterr().err == ""


def test_nothing_that_lists_or_checks_imports_skada() -> None:
    script = (
        "import sys\nfrom sere_core.cli import main\n"
        "main(['plugins']); main(['plugins', 'info', 'skada'])\n"
        "main(['config', 'check', 'sere_default', '--set', 'method={use: skada}', '--set', 'losses=null'])\n"
        "sys.exit(1 if {'skada', 'ot', 'torch'} & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0 and "skada" in done.stdout, done.stderr


def test_without_skada_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from sere_registry.catalog import Catalog

    monkeypatch.setitem(sys.modules, "skada", None)  # hides it where it is installed
    with pytest.raises(SereError) as caught:
        Catalog(environ={}, installed={"sere": "0.1.0"}.get).find("method", "skada")
    [problem] = caught.value.problems
    assert problem.code == "P108" and "skada" in problem.message and problem.hint == 'pip install "sere[skada]"'
