"""Sections 2 to 5 in one: contours and context in, equation 10 out, through the engine's own backbone, against one chain of loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sere_core.train.network import Backbone
from sere_core.train.streams import Raw
from sere_plugins.dynamics.idfe import Idfe
from sere_plugins.losses.cross_entropy import CrossEntropy
from sere_plugins.losses.tric import Tric
from sere_plugins.methods.joint import Joint
from sere_plugins.resonance.irf import Irf
from sere_plugins.specs.dynamics import IdfeParams
from sere_plugins.specs.losses import CrossEntropyParams, TricParams
from sere_plugins.specs.methods import JointParams
from sere_plugins.specs.resonance import IrfParams
from sere_registry import BuildContext, Frames, Inputs, Loss, MethodContext, Progress, WeightedLoss
from sere_registry.protocols import completed
from tests.sere import reference
from tests.sere.batches import gradients
from tests.sere.situations import PRECISIONS, assert_equal

DIM, CLASSES = 3, ("anger", "fear", "sadness")
LABELS = [1, 0, 2, 0]
LENGTHS = {"support": [4, 1, 3, 5], "source": [2, 5], "target": [3, 6, 1]}
CONTEXT = BuildContext(id="sere", classes=CLASSES, dim=DIM, dynamics_dim=4)
READINGS: list[dict[str, dict[str, Any]]] = [
    {},
    {
        "idfe": {"gate": "shared", "unvoiced": "hold", "f0_scale": "semitone"},
        "irf": {"alpha": "softplus", "sync": "exp_square"},
        "tric": {"anchors_from": "chain", "mix": "resonance", "normalise": "l2"},
    },
    {
        "idfe": {"unvoiced": "zero"},
        "irf": {"burst": "signed", "combine": "sum", "highlight": "top_quantile"},
        "tric": {"anchors_from": "relay", "mix": "resonance", "prototype_loss": "contrastive", "distance": "euclidean"},
    },
]


def contours(length: int, seed: int) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    draw = np.random.default_rng(seed).random((5, length)).astype(np.float32)
    names = ("f0", "periodicity", "rms", "mfcc2", "centroid")
    return {name: 100 + 100 * row if name == "f0" else row for name, row in zip(names, draw, strict=True)}


def raw(context: list[Tensor], static: list[Tensor], labels: list[int] | None) -> Raw:
    """As the engine pads it, but with NaN."""
    frames = max(map(len, context)) + 2

    def pad(rows: list[Tensor]) -> Tensor:
        return torch.stack([torch.cat([row, row.new_full((frames - len(row), row.shape[1]), torch.nan)]) for row in rows])

    mask = torch.arange(frames) < torch.tensor([len(row) for row in context]).unsqueeze(1)
    count = len(context)
    ids = tuple(str(row) for row in range(count))
    given = None if labels is None else torch.tensor(labels)
    inputs, zeros = Inputs("any", Frames(pad(context), mask, 50.0), Frames(pad(static), mask, 50.0)), torch.zeros(count).long()
    return Raw(inputs, torch.zeros(count, 1), torch.arange(count), ids, zeros, zeros, zeros, given)


@pytest.mark.parametrize("reading", READINGS, ids=["default", "others", "yet others"])
@pytest.mark.parametrize("labelled", [LABELS, LABELS[:2]], ids=["all of S_l", "a batch of S_l"])
def test_equation_10(labelled: list[int], reading: dict[str, dict[str, Any]]) -> None:
    """CE is of the labelled batch, prototypes are of the whole S_l."""
    given = {name: reading.get(name, {}) for name in ("idfe", "irf", "tric")}
    tric = TricParams(**{"prototype_weight": 0.3, "dual_weight": 2.0, **given["tric"]})
    torch.manual_seed(0)
    idfe, field = Idfe(IdfeParams(eps=0.2, **given["idfe"]), CONTEXT), Irf(IrfParams(**given["irf"]), CONTEXT)
    with torch.no_grad():
        field.weights.add_(torch.tensor([0.3, -0.1, 0.2, 0.05]))
    backbone = Backbone({"any": nn.Identity()}, {"any": nn.Identity()}, idfe, nn.Linear(DIM + 4, len(CLASSES)))
    losses = {"ce": CrossEntropy(CrossEntropyParams(), CONTEXT), "tric": Tric(tric, CONTEXT)}
    method = Joint(
        JointParams(),
        MethodContext(
            id="m",
            classes=CLASSES,
            backbone=backbone,
            field=field,
            losses={k: WeightedLoss(completed(v, Loss), 1.0, 1.0) for k, v in losses.items()},
        ),
    )

    # the loops
    h, f, z = {}, {}, {}
    trained = [part for _, part in method.named_parameters()]
    leaf = {name: part.detach().double().requires_grad_() for name, part in method.named_parameters()}
    gate_w, gate_b, class_w, class_b = (
        leaf[f"backbone.{name}"] for name in ("dynamics.gate.weight", "dynamics.gate.bias", "classifier.weight", "classifier.bias")
    )
    alpha = torch.log1p(leaf["field.weights"].exp()) if field.params.alpha == "softplus" else leaf["field.weights"]
    for number, (stream, lengths) in enumerate(LENGTHS.items()):
        drawn = [contours(length, 10 * number + row) for row, length in enumerate(lengths)]
        f[stream] = [torch.from_numpy(idfe.prepare(each)) for each in drawn]
        for row, each in zip(f[stream], drawn, strict=True):
            pitch = reference.pitch(each["f0"].tolist(), each["periodicity"].tolist(), idfe.params)
            assert_equal([row], [torch.tensor([pitch, *(each[name].tolist() for name in ("rms", "mfcc2", "centroid"))]).T], 1e-6)
        h[stream] = [torch.randn(length, DIM).double().requires_grad_() for length in lengths]
        z[stream] = [
            reference.enhanced(context, reference.idfe(static.double(), context, gate_w, gate_b, idfe.params.eps))
            for context, static in zip(h[stream], f[stream], strict=True)
        ]
    support, source, target = z.values()
    prototype, dual = reference.tric(support, LABELS, source, target, alpha, field.params, tric, len(CLASSES))
    rows = [[(class_w[c] * reference.embedding(z)).sum() + class_b[c] for c in range(len(CLASSES))] for z, _ in support[: len(labelled)]]
    want = reference.cross_entropy(torch.stack([torch.stack(row) for row in rows]), labelled) + 0.3 * prototype + 2.0 * dual
    everything = [*leaf.values(), *(each for stream in h.values() for each in stream)]
    theirs = gradients(want, everything)

    # the engine
    for dtype, tolerance in PRECISIONS:
        method.to(dtype)
        context = {stream: [each.detach().to(dtype).requires_grad_() for each in rows] for stream, rows in h.items()}
        batches = {}
        for stream in LENGTHS:
            static = [each.to(dtype) for each in f[stream]]
            batches[stream] = backbone.encode(raw(context[stream], static, LABELS if stream == "support" else None))
        batches["labelled"] = batches["support"].take(range(len(labelled)))
        terms = method.loss(progress=Progress(0, 0, 0.0), field=field, **batches)
        got = torch.stack([term.double() for term in terms.values()]).sum()
        assert_equal([got], [want], tolerance)
        mine = gradients(got, [*trained, *(each for stream in context.values() for each in stream)])
        assert_equal(mine, theirs, tolerance, "gradient")
