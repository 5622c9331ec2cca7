"""The probes of BYOL and SimSiam: a representation without labels, then a linear classifier on it.

    stage "represent"   T_u, and S_u if `use_source`   min L_BYOL or L_SimSiam          (see `sere_plugins.losses.siamese`)
    stage "probe"       S_l                            min CE of the classifier alone; the representation rests

The linear evaluation of arXiv:2006.07733 and arXiv:2011.10566.  Dropout of the representation, where there is any, goes on in
the second stage.  Nothing is assumed of class shares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor
from torch.nn import functional

from sere_plugins.losses.siamese import Byol, Siamese, SimSiam
from sere_plugins.methods.base import OwnLosses
from sere_plugins.specs.consistency import ByolProbeParams, SimSiamProbeParams
from sere_registry import Group, LabelledBatch, MethodContext, Phase, Progress, Stage


class Probe(OwnLosses):
    """Two stages around a self-supervised loss."""

    params: ByolProbeParams | SimSiamProbeParams

    def __init__(self, params: ByolProbeParams | SimSiamProbeParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.ssl: Siamese = Byol(params, context) if isinstance(params, ByolProbeParams) else SimSiam(params, context)

    def parameters_by_group(self) -> Mapping[str, Group]:
        heads = [parameter for parameter in self.ssl.parameters() if parameter.requires_grad]
        return {
            "representation": Group([*self.backbone.features(), *heads]),
            "classifier": Group(list(self.backbone.classifier.parameters())),
        }

    def stages(self) -> Sequence[Stage]:
        share, sees = self.params.represent, self.ssl.reads
        represent = Phase("represent", self.ssl.forward, trains=("representation",), views=sees, reads=sees)
        probe = Phase("probe", self.learn, trains=("classifier",))
        return [
            Stage("represent", sees, (represent,), after_step=self._after_step, budget=share),
            Stage("probe", frozenset({"labelled"}), (probe,), budget=1 - share),
        ]

    def learn(self, labelled: LabelledBatch) -> Mapping[str, Tensor]:
        """The second stage: cross-entropy of the classifier on a representation that rests."""
        logits: Tensor = self.backbone.classifier(labelled.embedding.detach())
        return {"ce": functional.cross_entropy(logits, labelled.labels)}

    def diagnostics(self) -> Mapping[str, float]:
        return self.ssl.diagnostics()

    def _after_step(self, progress: Progress) -> None:
        if isinstance(self.ssl, Byol):
            self.ssl.after_step(progress)
