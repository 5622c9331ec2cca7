"""Conditional domain-adversarial networks (CDAN and CDAN+E, arXiv:1705.10667): DANN on embeddings and predictions together.

    T(f, p) = vec(p outer f) `[C D]`, class by class                       p = softmax(logits), without gradient
    T(f, p) = 1/sqrt(m) (R_f f) * (R_g p) `[m]`                            where C D is above `largest`; R: fixed Gaussian
    L_dom   = 1/2 ( mean_{source} -w log D(T) + mean_{target} -w log(1 - D(T)) )
    w       = 1 for CDAN;  1 + exp(-H(p)), divided by its mean over the batch, for CDAN+E (H: entropy in nats)

Everything else is DANN's (`dann.py`), and so is what it deviates in.  There are two public forms of CDAN+E: this one
is Transfer-Learning-Library's (`tllib/alignment/cdan.py`), where w has no gradient and mean 1 over both domains
together; SHOT's repository normalises each domain by itself and lets a reversed gradient through the entropy.
Otherwise than there, each domain counts half where their batches differ in size.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sere_core.functional import entropy, wide
from sere_plugins.losses.dann import Dann
from sere_plugins.specs.adversarial import CdanParams, DannParams
from sere_registry import BuildContext, Encoded


def products(embeddings: Tensor, posteriors: Tensor) -> Tensor:
    """`vec(p outer f)`, `[B, D]` and `[B, C]` -> `[B, C D]`, class by class.

    >>> products(torch.tensor([[2.0, 3.0]]), torch.tensor([[0.0, 1.0]]))
    tensor([[0., 0., 2., 3.]])
    """
    return (posteriors.unsqueeze(2) * embeddings.unsqueeze(1)).flatten(1)


def certainty_weights(entropies: Tensor) -> Tensor:
    """`1 + exp(-H)` of entropies `[B]`, divided by its mean.

    >>> certainty_weights(torch.tensor([0.0, 0.0]))
    tensor([1., 1.])
    """
    weights = 1 + torch.exp(-entropies)
    return weights / weights.mean()


class Cdan(Dann):
    """The adversary on T(f, p) of the same utterances."""

    embedding_map: Tensor
    posterior_map: Tensor

    def __init__(self, params: CdanParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.entropy = params.entropy
        if self.width(params, context) != len(context.classes) * context.embedding_dim:
            self.register_buffer("embedding_map", torch.randn(context.embedding_dim, params.random_dim))
            self.register_buffer("posterior_map", torch.randn(len(context.classes), params.random_dim))

    def width(self, params: DannParams, context: BuildContext) -> int:
        assert isinstance(params, CdanParams)
        products = len(context.classes) * context.embedding_dim
        return params.random_dim if products > params.largest else products

    def seen(self, sides: Sequence[Encoded]) -> tuple[Tensor, Tensor | None]:
        embeddings = wide(torch.cat([side.embedding for side in sides]))
        posteriors = wide(torch.cat([side.logits for side in sides])).softmax(dim=1).detach()
        return self.joined(embeddings, posteriors), certainty_weights(entropy(posteriors)) if self.entropy else None

    def joined(self, embeddings: Tensor, posteriors: Tensor) -> Tensor:
        """T(f, p), `[B, C D]` or `[B, m]`."""
        if not hasattr(self, "embedding_map"):
            return products(embeddings, posteriors)
        with torch.autocast(embeddings.device.type, enabled=False):
            both: Tensor = (embeddings @ self.embedding_map) * (posteriors @ self.posterior_map)
        mapped: Tensor = both / self.embedding_map.shape[1] ** 0.5
        return mapped
