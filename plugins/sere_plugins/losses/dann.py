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
from sere_plugins.specs.adversarial import DannParams
from sere_registry import BuildContext, Encoded, Group, LabelledBatch, Progress, UnlabelledBatch


class Dann(nn.Module):
    """A discriminator on the embeddings of S_l, S_u if `use_source`, and T_u."""

    params: DannParams

    def __init__(self, params: DannParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.reads = frozenset({"labelled", "target", "progress", *(["source"] if params.use_source else [])})
        self.discriminator = Discriminator(self.width(context), params.hidden)
        self._accuracy: Tensor | None = None
        self._reversal = 0.0

    def width(self, context: BuildContext) -> int:
        """Of what the discriminator sees."""
        return context.embedding_dim

    def forward(
        self, progress: Progress, labelled: LabelledBatch, target: UnlabelledBatch, source: UnlabelledBatch | None = None
    ) -> Mapping[str, Tensor]:
        sides = [labelled, target] if source is None else [labelled, source, target]
        self._reversal = reversal_ramp(progress.fraction, self.params.ramp)
        rows, weights = self.seen(sides)
        logits = self.discriminator(rows)
        count = len(logits) - len(target)
        self._accuracy = ((logits[:count] > 0).float().mean() + (logits[count:] < 0).float().mean()).detach() / 2
        on_sides = None if weights is None else (weights[:count], weights[count:])
        return {"domain": domain_loss(logits[:count], logits[count:], on_sides)}

    def seen(self, sides: Sequence[Encoded]) -> tuple[Tensor, Tensor | None]:
        """What the discriminator sees of all utterances, behind the reversal, and what each of them weighs."""
        return reverse_gradient(torch.cat([side.embedding for side in sides]), self._reversal), None

    def parameters_by_group(self) -> Mapping[str, Group]:
        """The discriminator has an optimizer of its own."""
        return {"discriminator": Group(list(self.discriminator.parameters()), scale=self.params.learning_rate)}

    def diagnostics(self) -> Mapping[str, float]:
        """`domain_accuracy` and `reversal` of the last step."""
        return {} if self._accuracy is None else {"domain_accuracy": float(self._accuracy), "reversal": self._reversal}
