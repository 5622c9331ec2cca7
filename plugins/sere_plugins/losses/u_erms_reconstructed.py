"""U-ERMS, reconstructed: the embedding of masked speech is mapped to that of the whole, with one task on source and target.

    R(x) = 1 - cos(h(F(mask(x))), sg F(x))                                               in [0, 2]
    L    = mean_{S_l, S_u} R + mean_{T_u} R,   h a perceptron of two layers

Zhang et al., Applied Soft Computing, 2025.  From its abstract: self-supervision on the target alone draws in what has nothing
to do with emotion, so that the same task, reconstruction of the embedding of masked speech, runs on the source with shared
weights, where labels steer it.  The equations are reconstructed: distance, sg (no gradient), mask, h and weight are ours
(a squared distance of unit vectors would be 2 R).  gamma is the config's weight; cross-entropy on S_l is the loss `cross_entropy`.

F is the network up to g.  Spans of frames of the encoder's frozen output are set to 0, the mean of standardised frames; contours
are left as they are.  Masks are draws of this loss's own, utterance by utterance in the order of `index`.  Nothing is assumed of
class shares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from sere_core.functional import StepDraws, mlp, undisturbed_draws, unit_rows, wide
from sere_plugins.losses.mixmatch import in_order
from sere_plugins.specs.consistency import UErmsParams
from sere_plugins.views import spans
from sere_registry import BuildContext, Encoded, Frames, LabelledBatch, Progress, UnlabelledBatch


class UErms(nn.Module):
    """Reconstruction on the source, as far as `source` says, and on T_u; encodes each of them a second time."""

    def __init__(self, params: UErmsParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        streams = {"all": {"labelled", "source"}, "labelled": {"labelled"}, "none": set()}[params.source]
        self.reads = frozenset({"target", "progress", *streams})
        self.draws = StepDraws()
        self.head: nn.Module = mlp(context.embedding_dim, params.hidden, context.embedding_dim)
        self._backbone = (context.backbone,)  # in a tuple, so that its parameters do not become this loss's

    def forward(
        self, progress: Progress, target: UnlabelledBatch, labelled: LabelledBatch | None = None, source: UnlabelledBatch | None = None
    ) -> Mapping[str, Tensor]:
        generator = self.draws(progress.step)
        found = {"target": self.reconstruction(target, generator).mean()}
        sources = [self.reconstruction(batch, generator) for batch in (labelled, source) if batch is not None]
        return {**found, "source": torch.cat(sources).mean()} if sources else found

    def reconstruction(self, batch: Encoded, generator: torch.Generator) -> Tensor:
        """R of every utterance `[B]`, in the order of `index`."""
        assert batch.inputs is not None  # as in every batch of a step
        order = in_order(batch)
        again = replace(batch, inputs=batch.inputs.take(order.tolist()))
        assert again.inputs is not None
        with undisturbed_draws(batch.embedding.device):
            masked = self._backbone[0].encode(again, self.mask(again.inputs.frames, generator)).embedding
        return 1 - (unit_rows(wide(self.head(masked))) * unit_rows(wide(batch.embedding[order].detach()))).sum(dim=1)

    def mask(self, frames: Frames, generator: torch.Generator) -> Frames:
        """Zeros in random spans of each utterance's frames, which together cover at most `share` of them."""
        width = max(1, round(self.params.span * frames.rate))
        hidden = torch.zeros_like(frames.mask)
        for row, real in enumerate(frames.mask):
            hidden[row, real] = spans(int(real.sum()), self.params.share, width, generator).to(hidden.device)
        return replace(frames, values=frames.values.masked_fill(hidden.unsqueeze(-1), 0.0))
