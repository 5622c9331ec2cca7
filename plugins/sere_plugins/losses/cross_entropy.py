"""Cross-entropy on the few labelled source utterances: the first term of SERE's equation 10, and source-only training by itself."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import wide
from sere_plugins.specs.losses import CrossEntropyParams
from sere_registry import BuildContext, LabelledBatch


class CrossEntropy(nn.Module):
    """`-mean log p(y_l | g_l)` over the labelled batch, with the classifier's logits."""

    def __init__(self, params: CrossEntropyParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.views = frozenset({"labelled"}) if params.view == "weak" else frozenset()

    def forward(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        logits = labelled.logits
        if self.params.view == "weak":
            assert labelled.views is not None  # asked for in `views`
            logits = labelled.views.weak.logits
        return {"cross_entropy": functional.cross_entropy(wide(logits), labelled.labels, label_smoothing=self.params.label_smoothing)}
