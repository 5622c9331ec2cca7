"""Cross-entropy on the labelled batch."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sere_plugins.losses.cross_entropy import CrossEntropy
from sere_plugins.specs.losses import CrossEntropyParams
from sere_registry import BuildContext, LabelledBatch, Views
from tests.sere.batches import batch, utterances

CONTEXT = BuildContext(id="classify", classes=("anger", "fear", "sadness"))
LABELS = [2, 0, 1]


def labelled() -> LabelledBatch:
    found = batch(utterances([3, 1, 2], 1), LABELS)
    assert isinstance(found, LabelledBatch)
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_it_is_the_mean_negative_log_posterior(smoothing: float) -> None:
    got = CrossEntropy(CrossEntropyParams(label_smoothing=smoothing), CONTEXT)(labelled())["cross_entropy"]
    log = labelled().logits.log_softmax(dim=1)
    own = torch.stack([log[row, label] for row, label in enumerate(LABELS)])
    torch.testing.assert_close(got, -((1 - smoothing) * own + smoothing * log.mean(dim=1)).mean())


def test_it_wants_views_only_for_the_weak_view() -> None:
    assert CrossEntropy(CrossEntropyParams(), CONTEXT).views == frozenset()
    loss = CrossEntropy(CrossEntropyParams(view="weak"), CONTEXT)
    assert loss.views == {"labelled"}
    weak = replace(labelled(), logits=labelled().logits * 2)
    with_views = replace(labelled(), views=Views(weak, labelled()))
    torch.testing.assert_close(loss(with_views)["cross_entropy"], CrossEntropy(CrossEntropyParams(), CONTEXT)(weak)["cross_entropy"])
