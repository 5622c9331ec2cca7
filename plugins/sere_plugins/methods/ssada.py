"""ADDi and sADDi (SSADA, Latif et al., arXiv:2204.08625), reconstructed: a game of three players, and a stage without labels before it.

    discriminate  min_D1  BCE(1, D1(g_source)) + BCE(0, D1(g_target))      the domain of an embedding
                  min_D2  BCE(1, D2(x)) + BCE(0, D2(R(g, n)))              real and generated vectors
    learn         min_{E,G,R}  CE(S_l) + s CE(generated S_l)
                       + a [BCE(0, D1(g_source)) + BCE(1, D1(g_target))]   E confuses D1
                       + b BCE(1, D2(R(g, n))) + c mean |R(g, 0) - x|      R passes for real, and reconstructs

E and G are the network and its classifier; g `[B, D]` is the embedding, x `[B, F]` the utterance's vector (the mean of the
frozen frames), R(g, n) a generated one from g and noise n.  A generated utterance has the frames of the real one, moved so
that their mean is R(g, n): it is encoded again and keeps the label.  Each pair of BCE is a mean of two, not a sum.
sADDi (`pretrain` above 0) first plays the same game on S_u and T_u, without cross-entropy.

Reconstructed, with the least evidence of the adversarial family: the abstract has two discriminators, no target labels,
and synthetic data as pretext task and as augmentation.  What the discriminators separate, that R works on vectors instead of
spectra, architectures (D1 and D2 DANN's, R a perceptron with LayerNorm) and all numbers are ours.

With `pretrain` and all four weights 0 it is source-only, to the bit.  What is assumed of class shares is DANN's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from sere_core.functional import Discriminator, domain_loss, mlp, wide
from sere_plugins.methods.base import OwnLosses, check_width
from sere_plugins.specs.adversarial import SsadaParams
from sere_registry import Encoded, Frames, Group, LabelledBatch, MethodContext, Phase, Stage, UnlabelledBatch
from sere_registry.training import Stream


class Ssada(OwnLosses):
    """Two stages of two phases each, or only the second stage; the discriminators have an optimizer of their own."""

    params: SsadaParams

    def __init__(self, params: SsadaParams, context: MethodContext) -> None:
        super().__init__(params, context)
        self.generator = mlp(context.embedding_dim + params.noise, params.hidden, context.input_dim)
        self.of_domain = Discriminator(context.embedding_dim, params.hidden)
        self.of_real = Discriminator(context.input_dim, params.hidden)
        self.width = context.input_dim
        self._right: dict[str, Tensor] = {}

    def parameters_by_group(self) -> Mapping[str, Group]:
        discriminators = [*self.of_domain.parameters(), *self.of_real.parameters()]
        return {
            "network": Group(list(self.backbone.parameters())),
            "generator": Group(list(self.generator.parameters())),
            "discriminators": Group(discriminators, scale=self.params.learning_rate),
        }

    def stages(self) -> Sequence[Stage]:
        share = self.params.pretrain
        unlabelled = frozenset[Stream]({"source", "target"})
        after = self._stage("adapt", unlabelled | {"labelled"}, 1 - share)
        return [self._stage("pretrain", unlabelled, share), after] if share else [after]

    def _stage(self, name: str, sees: frozenset[Stream], budget: float) -> Stage:
        phases = (
            Phase("discriminate", self.discriminate, trains=("discriminators",), reads=sees),
            Phase("learn", self.learn, trains=("network", "generator"), reads=sees),
        )
        return Stage(name, sees, phases, budget=budget)

    def discriminate(self, source: UnlabelledBatch, target: UnlabelledBatch, labelled: LabelledBatch | None = None) -> Mapping[str, Tensor]:
        """D1 and D2 learn; embeddings and generated vectors are detached: the others rest."""
        rows, vectors = self.sides(source, target, labelled)
        rows = rows.detach()
        return {
            "domain": domain_loss(*self.judged("domain", self.of_domain, rows, len(target))),
            "real": domain_loss(*self.judged("real", self.of_real, torch.cat([vectors, self.generated(rows).detach()]), len(rows))),
        }

    def learn(self, source: UnlabelledBatch, target: UnlabelledBatch, labelled: LabelledBatch | None = None) -> Mapping[str, Tensor]:
        """E, G and R learn against D1 and D2, which rest."""
        p = self.params
        rows, vectors = self.sides(source, target, labelled)
        generated = self.generated(rows)
        at_source, at_target = self.judged("domain", self.of_domain, rows, len(target))
        _, passed = self.judged("real", self.of_real, torch.cat([vectors, generated]), len(rows))
        terms = {
            "confuse": p.domain_weight * domain_loss(-at_source, -at_target),
            "pass": p.generation_weight * functional.softplus(-passed).mean(),
            "reconstruct": p.reconstruction_weight * (self.generated(rows, still=True) - vectors).abs().mean(),
        }
        if labelled is not None:
            moved = labelled.through(target.path)  # where generated vectors are those of its frames
            again = self.backbone.encode(moved, self.moved(moved, generated[: len(labelled)]))
            terms["ce"] = functional.cross_entropy(labelled.logits, labelled.labels)
            terms["ce_generated"] = p.synthetic_weight * functional.cross_entropy(again.logits, labelled.labels)
        return terms

    def sides(self, source: Encoded, target: Encoded, labelled: Encoded | None) -> tuple[Tensor, Tensor]:
        """g `[B, D]` and x `[B, F]` of S_l, S_u and T_u, one below the other.

        Raises:
            SereError: B402 if the two paths' vectors differ in width.
        """
        batches = [source, target] if labelled is None else [labelled, source, target]
        for batch in batches:
            check_width("ssada_reconstructed", batch.vectors.shape[1], self.width)
        return wide(torch.cat([batch.embedding for batch in batches])), torch.cat([batch.vectors for batch in batches])

    def generated(self, rows: Tensor, still: bool = False) -> Tensor:
        """R(g, n) `[B, F]` of g `[B, D]`; with n = 0 if `still`."""
        shape = (len(rows), self.params.noise)
        noise = rows.new_zeros(shape) if still else torch.randn(shape, device=rows.device, dtype=rows.dtype)
        found: Tensor = self.generator(torch.cat([rows, noise], dim=1))
        return found

    def moved(self, batch: Encoded, means: Tensor) -> Frames:
        """The frozen frames of a batch, moved so that their means are `means` `[B, F]`."""
        assert batch.inputs is not None  # a batch of a step
        frames = batch.inputs.frames
        check_width("ssada_reconstructed", frames.values.shape[2], self.width)
        return replace(frames, values=frames.values + (means - batch.vectors).unsqueeze(1))

    def judged(self, name: str, discriminator: Discriminator, rows: Tensor, last: int) -> tuple[Tensor, Tensor]:
        """A discriminator's logits of all rows but the last ones, and of these."""
        logits = discriminator(rows)
        first, second = logits[: len(rows) - last], logits[len(rows) - last :]
        self._right[f"{name}_accuracy"] = ((first > 0).float().mean() + (second < 0).float().mean()).detach() / 2
        return first, second

    def diagnostics(self) -> Mapping[str, float]:
        """`domain_accuracy` of D1 and `real_accuracy` of D2, of the last step."""
        return {name: float(value) for name, value in self._right.items()}
