"""The shallow domain adaptation of skada (Lalou, Gnassounou et al., arXiv:2407.11676): any of its classifiers on vectors.

The estimator is fitted once, to the vectors of S_l with their labels (`sample_domain` 1) and those of T_u (-2) with labels masked
(-1); it is given nothing else.  A target vector, also one that took no part, is predicted by itself, for the target's domain: by
the classifier in the space of the target (CORAL, optimal transport, reweighting, label propagation), or after its projection by the
kernel of its similarity to the rows that were fitted (TCA, TJM).  No estimator looks at the vectors that are predicted with it.

What is kept are the rows that were fitted, their labels and a seed, since skada's estimators can be stored by pickle alone.  A
method that takes over this state fits again, which takes what it took, and gives the same bits on the same machine; the posteriors
of T_u are kept too, and where they come out otherwise (another version of skada or scikit-learn, say) that is T505 and no prediction.
So a model that is exported holds the vectors of S_l and T_u, needs skada to predict, and cannot be a graph of ONNX.

Steps aside, with a warning, where there is nothing to adapt: with labels of one class, or a domain that does not vary, logistic
regression is fitted to S_l alone.  What skada raises, and posteriors that are not finite, are C302 at `params`.  skada's
defaults suit a few features: with 30 labelled utterances and hundreds of features KLIEPReweight needs a smaller `gamma` (0.001),
SubspaceAlignment fewer `n_components` than labelled utterances, JCPOTLabelProp a larger `reg` (100), EntropicOTMapping and
ClassRegularizerOTMapping a larger `reg_e` (their warnings say so), TransferJointMatching, whose projections are small, a larger `C`;
and MultiLinearMongeAlignment cannot be fitted (after minutes) without more labelled utterances than features.

Assumptions of class shares are the estimators' own: those that match marginal distributions (CORAL, the mappings, TCA, TJM) assume
the source's shares, MMDTarSReweight and JCPOTLabelProp estimate the target's.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from sere_core.functional import ResizableBuffers, undisturbed_draws
from sere_plugins.methods.aligned import varies
from sere_plugins.methods.base import Array, OwnLosses, labelled_vectors, stream_vectors
from sere_plugins.methods.logistic import fitted
from sere_plugins.specs.bridge import SkadaParams
from sere_plugins.specs.methods import LogisticParams
from sere_registry import MethodContext, Stage, StageData, UnlabelledBatch, error, suggest
from sere_registry.errors import reason
from sere_registry.guard import warn

with sklearn.config_context():  # skada switches metadata routing on for everybody
    import skada
    from skada._gradual_da import GradualEstimator  # exported nowhere

SOURCE, TARGET, MASKED = 1, -2, -1
ARGUMENTS = "method.params.params"
#: how far the posteriors of T_u may differ after a second fit, on another machine
CLOSE = 1e-3
Predictor = Callable[[Array], Array]


def factory(name: str) -> Callable[..., Any]:
    """What makes the estimator of this name."""
    made: Callable[..., Any] = GradualEstimator if name == "GradualEstimator" else getattr(skada, name)
    return made


class Skada(ResizableBuffers, OwnLosses):
    """One stage that fits the estimator to S_l and T_u.

    Buffers: `source` `[n, F]`, `labels` `[n]`, `target` `[m, F]`, their `posteriors` `[m, C]`, and the `seed` of all draws.
    """

    vectors_only = True
    resizable: Mapping[str, int] = {"source": 0, "labels": 0, "target": 0, "posteriors": 0}
    params: SkadaParams
    source: Tensor
    labels: Tensor
    target: Tensor
    posteriors: Tensor
    seed: Tensor

    def __init__(self, params: SkadaParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.register_buffer("source", torch.zeros(0, context.input_dim))
        self.register_buffer("labels", torch.zeros(0, dtype=torch.long))
        self.register_buffer("target", torch.zeros(0, context.input_dim))
        self.register_buffer("posteriors", torch.zeros(0, self.classes))
        self.register_buffer("seed", torch.randint(2**31, ()))
        self._predictor: Predictor | None = None
        self._made()  # says now what is wrong with the arguments' names

    def stages(self) -> Sequence[Stage]:
        return [Stage("skada", sees=frozenset({"labelled", "target"}), solve=self.solve)]

    def solve(self, data: StageData) -> Mapping[str, Sequence[float]]:
        """Fit in float64.

        Returns:
            `adapted` (0 where it stepped aside) and the mean `confidence` on T_u.

        Raises:
            SereError: B402 if the two paths' vectors differ in width, C302 if skada cannot fit them.
        """
        source, labels = labelled_vectors("skada", data, self.target.shape[1])
        (target,) = stream_vectors(data, ["target"])
        self.source, self.labels = torch.as_tensor(source).to(self.source), torch.as_tensor(labels).to(self.labels)
        self.target = torch.as_tensor(target).to(self.target)
        self._predictor = self._fitted(say=True)
        self.posteriors = torch.as_tensor(self._predictor(target)).to(self.posteriors)
        if not self.posteriors.isfinite().all():
            raise self._refused("it predicts what is not finite")
        confidence = float(self.posteriors.amax(dim=1).mean())
        return {"adapted": [float(self._adaptable())], "confidence": [confidence]}

    def predict(self, batch: UnlabelledBatch) -> Tensor:
        """The estimator's own posteriors, for the target's domain; 0 for a class that it has not seen.

        Raises:
            SereError: T505 if the estimator, fitted again, predicts T_u otherwise than it did; T509 in a graph.
        """
        if torch.onnx.is_in_onnx_export():
            raise error("T509", f"skada's {self.params.estimator} is not computed by torch", "export without --onnx")
        if self._predictor is None:
            self._predictor = self._fitted()
            gap = np.abs(self._predictor(_rows(self.target)) - _rows(self.posteriors)).max(initial=0.0)
            if not gap <= CLOSE:
                what = f"skada's {self.params.estimator}, fitted again, predicts T_u otherwise than it did, by up to {gap:.2g}"
                raise error("T505", what, f"predict with the versions it was trained with; skada is {skada.__version__} here")
        return torch.as_tensor(self._predictor(_rows(batch.vectors))).to(self.posteriors)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._predictor = None

    def _made(self) -> Any:
        """A new estimator with the user's arguments.

        Raises:
            SereError: C302 for arguments that it does not have, or that it refuses at once.
        """
        make, given = factory(self.params.estimator), dict(self.params.params)
        known = [name for name, about in inspect.signature(make).parameters.items() if about.kind is not about.VAR_KEYWORD]
        known.remove("base_estimator")
        for name in given:
            if name not in known:
                hint = "choose `classifier`" if name == "base_estimator" else suggest(name, known, f"arguments of {self.params.estimator}")
                raise error("C302", f"skada's {self.params.estimator} has no argument '{name}' here", hint, f"{ARGUMENTS}.{name}")
        if "random_state" in known:
            given.setdefault("random_state", int(self.seed))
        with _routing():
            classifier = LogisticRegression(C=self.params.C, max_iter=1000).set_fit_request(sample_weight=True)
            own = self.params.classifier == "own"
            try:
                return make(**given) if own else make(base_estimator=classifier, **given)
            except Exception as cause:
                raise self._refused(reason(cause)) from cause

    def _refused(self, why: str) -> Exception:
        """C302: these arguments do not suit these vectors."""
        name, sizes = self.params.estimator, f"{len(self.source)} and {len(self.target)} vectors of width {self.source.shape[1]}"
        given = ", ".join(f"{key}={value!r}" for key, value in self.params.params.items()) or "its default arguments"
        known = {key: about.default for key, about in inspect.signature(factory(name)).parameters.items() if key != "base_estimator"}
        plain = ", ".join(f"{key}={value!r}" for key, value in known.items() if isinstance(value, (int, float, str, type(None))))
        what = f"skada's {name} with {given:.200} cannot be fitted to {sizes}: {why}"
        return error("C302", what, f"its defaults are {plain}", ARGUMENTS)

    def _adaptable(self) -> bool:
        """Are there two classes with labels, and do both domains vary?"""
        domains = (_rows(self.source), _rows(self.target))
        return len(set(self.labels.tolist())) > 1 and all(len(rows) > 1 and varies(rows - rows.mean(axis=0)) for rows in domains)

    def _fitted(self, say: bool = False) -> Predictor:
        """What predicts vectors `[B, F]` -> posteriors `[B, C]`, fitted to the rows that are kept."""
        source, target, known = _rows(self.source), _rows(self.target), self.labels.cpu().numpy()
        if not self._adaptable():
            if say:
                warn(
                    "skada", "aside", "skada: labels of one class, or a domain that does not vary: logistic regression on S_l, not adapted"
                )
            linear = fitted(LogisticParams(C=self.params.C), self.classes, source, known)
            return lambda rows: linear.logits(torch.as_tensor(rows)).softmax(dim=1).numpy()
        seen, labels = np.unique(known, return_inverse=True)
        rows, count = np.concatenate([source, target]), len(target)
        masked, domains = np.append(labels, np.full(count, MASKED)), np.append(np.full(len(source), SOURCE), np.full(count, TARGET))
        estimator = self._made()
        try:
            with _routing(), _seeded(int(self.seed)), _said(self.params.estimator if say else ""):
                estimator.fit(rows, masked, sample_domain=domains)
        except Exception as cause:
            raise self._refused(reason(cause)) from cause
        columns = seen[_classes(estimator)]

        def predict(rows: Array) -> Array:
            found = np.zeros((len(rows), self.classes))
            with _routing(), _seeded(int(self.seed)), warnings.catch_warnings(action="ignore"):
                try:
                    found[:, columns] = _posteriors(estimator, rows)
                except ValueError as cause:  # it was fitted to what is not finite, as where a covariance is singular
                    raise self._refused(reason(cause)) from cause
            return found

        return predict


def _rows(kept: Tensor) -> Array:
    return kept.detach().cpu().double().numpy()


def _classes(estimator: Any) -> Any:
    """The classes that the classifier inside was fitted to, which may lack some: of pipeline, selector and estimator the innermost."""
    inner = estimator[-1] if hasattr(estimator, "steps") else estimator
    for _ in range(4):
        if hasattr(inner, "classes_"):
            break
        inner = next(getattr(inner, name) for name in ("base_estimator_", "estimator_", "base_estimator") if hasattr(inner, name))
    return inner.classes_


def _posteriors(estimator: Any, rows: Array) -> Array:
    """Of target rows; the softmax of the decisions of a classifier without probabilities."""
    domains = {} if isinstance(estimator, GradualEstimator) else {"sample_domain": np.full(len(rows), TARGET)}
    if hasattr(estimator, "predict_proba"):
        found: Array = estimator.predict_proba(rows, **domains)
        return found
    decisions = torch.as_tensor(estimator.decision_function(rows, **domains))
    if decisions.dim() == 1:  # of two classes, for the second
        decisions = torch.stack([torch.zeros_like(decisions), decisions], dim=1)
    return decisions.softmax(dim=1).numpy()


def _routing() -> Any:
    """Its pipelines hand domains and weights on through scikit-learn's metadata routing."""
    return sklearn.config_context(enable_metadata_routing=True)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Everything that estimators draw from, seeded and put back; those that descend gradients need them."""
    before = np.random.get_state()
    try:
        with undisturbed_draws(torch.device("cpu")), torch.enable_grad():
            torch.default_generator.manual_seed(seed)
            np.random.seed(seed)
            yield
    finally:
        np.random.set_state(before)


@contextmanager
def _said(name: str) -> Iterator[None]:
    """The warnings of an estimator become warnings of the run, one of each kind; without a name, none."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        yield
    for each in found:
        text = str(each.message).partition("\n")[0]
        if name and each.category.__name__ not in ("FutureWarning", "DeprecationWarning") and "copy construct" not in text:
            warn(f"skada.{name}", each.category.__name__, f"skada's {name}: {text[:200]}")
