"""Domain-adversarial training (DANN, arXiv:1505.07818): embeddings from which a discriminator cannot tell the domain.

    L_dom = 1/2 ( mean_{source} -log D(f) + mean_{target} -log(1 - D(f)) )      D minimises it, the network maximises it
    lambda = 2 / (1 + exp(-a t)) - 1                                            t: the share of the stage that is done

f `[B, D]` are the embeddings, D(f) the chance of the source domain.  One backward pass trains both: D gets the gradient
of L_dom, and between D and the network it is multiplied by -lambda (equations 13 to 15, as a layer).  The loss's weight
multiplies both, of which Adam's steps of D see nothing.  Cross-entropy on S_l is the loss `cross_entropy`.

The discriminator and its mean over each domain are those of Transfer-Learning-Library (`tllib/alignment/dann.py`).
Otherwise than there: a and t are the paper's (the library ramps over a fixed 1000 steps, with a = 1); the source side is
S_l and S_u, since few labelled utterances are a poor sample of a domain; D is trained by the config's optimizer.
Its BatchNorm sees both domains as one batch, so that a batch of one utterance each is enough.

No class shares are assumed in so many words, but domains whose classes differ in frequency can only be made alike by
mixing up classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from sere_core.functional import Discriminator, domain_loss, reversal_ramp, reverse_gradient
from sere_plugins.specs.adversarial import AdversaryParams, DannParams
from sere_registry import BuildContext, Encoded, Group, LabelledBatch, Progress, UnlabelledBatch


class DomainAdversary(nn.Module):
    """A discriminator behind a gradient reversal: DANN's part that others share."""

    def __init__(self, dim: int, params: AdversaryParams) -> None:
        super().__init__()
        self.params = params
        self.discriminator = Discriminator(dim, params.hidden)
        self._last: tuple[Tensor, Tensor] | None = None
        self._reversal = 0.0

    def forward(self, progress: Progress, rows: Tensor, targets: int, weights: Tensor | None = None) -> Tensor:
        """L_dom of rows `[B, D]`, the last `targets` of which are the target's; `weights` `[B]`: what each counts."""
        self._reversal = reversal_ramp(progress.fraction, self.params.ramp)
        logits = self.discriminator(reverse_gradient(rows, self._reversal))
        source, target = logits.split([len(rows) - targets, targets])
        self._last = source.detach(), target.detach()
        return domain_loss(source, target, None if weights is None else (weights[:-targets], weights[-targets:]))

    def parameters_by_group(self) -> Mapping[str, Group]:
        """The discriminator has an optimizer of its own."""
        return {"discriminator": Group(list(self.discriminator.parameters()), scale=self.params.learning_rate)}

    def diagnostics(self) -> Mapping[str, float]:
        """`domain_accuracy` and `reversal` of the last step."""
        if self._last is None:
            return {}
        source, target = self._last
        right = (source > 0).float().mean() + (target < 0).float().mean()
        return {"domain_accuracy": float(right) / 2, "reversal": self._reversal}


class Dann(nn.Module):
    """The adversary on the embeddings of S_l, S_u if `use_source`, and T_u."""

    def __init__(self, params: DannParams, context: BuildContext) -> None:
        super().__init__()
        self.reads = frozenset({"labelled", "target", "progress", *(["source"] if params.use_source else [])})
        self.adversary = DomainAdversary(self.width(params, context), params)
        self.parameters_by_group, self.diagnostics = self.adversary.parameters_by_group, self.adversary.diagnostics

    def width(self, params: DannParams, context: BuildContext) -> int:
        """Of what the discriminator sees."""
        return context.embedding_dim

    def forward(
        self, progress: Progress, labelled: LabelledBatch, target: UnlabelledBatch, source: UnlabelledBatch | None = None
    ) -> Mapping[str, Tensor]:
        rows, weights = self.seen([labelled, target] if source is None else [labelled, source, target])
        return {"domain": self.adversary(progress, rows, len(target), weights)}

    def seen(self, sides: Sequence[Encoded]) -> tuple[Tensor, Tensor | None]:
        """What the discriminator sees of all utterances, and what each of them counts."""
        return torch.cat([side.embedding for side in sides]), None
