"""Self-supervision by two views, SimSiam (arXiv:2011.10566) and BYOL (arXiv:2006.07733), as losses beside cross-entropy.

    z = projector(g),  p = predictor(z),  l(a, b) = 2 - 2 cos(a, b)
    SimSiam   L = -1/2 [ mean cos(p^1, sg z^2) + mean cos(p^2, sg z^1) ]                   in [-1, 1]
    BYOL      L = mean [ l(p^1, sg z'^2) + l(p^2, sg z'^1) ]                               in [0, 8]
              z' of a target network, xi <- tau xi + (1 - tau) theta after every step,
              tau = 1 - (1 - tau_base) (cos(pi t) + 1) / 2,  t the share of the stage that is done

g is the utterance embedding, 1 and 2 are the weak and the strong view, sg: no gradient.  On equal (p, z) BYOL's is 4 + 4
SimSiam's (equation 2 of arXiv:2006.07733, algorithm 1 of arXiv:2011.10566).  Formulas, target network and schedule of tau are
those of the authors' code; that comparisons of speech emotion recognition take them as "cross-entropy on S_l and
self-supervision on the target" (`joint`, here) is inferred.  `byol_probe` and `simsiam_probe` are the form in two stages.

BatchNorm as in the authors' code; a single row is normalised by the running statistics.  `norm: layer` is for the question
what BatchNorm does here: SimSiam's projections then draw together into one point (`spread` near 0).  Deviations: BYOL's target
starts as a copy of the network; widths are ours; the optimizer is the config's (theirs: LARS and SGD).  Nothing is assumed
of class shares.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from sere_core.functional import BatchNorm, MovingAverage, frozen_copy, mlp, unit_rows, update_average, wide
from sere_plugins.specs.consistency import ByolParams, SimSiamParams
from sere_registry import BuildContext, Encoded, Progress, UnlabelledBatch
from sere_registry.training import Stream


def cosines(a: Tensor, b: Tensor) -> Tensor:
    """Row by row, `[n, D]` and `[n, D]` -> `[n]`; 0 for a zero row."""
    return (unit_rows(a) * unit_rows(b)).sum(dim=1)


def simsiam(predictions: tuple[Tensor, Tensor], projections: tuple[Tensor, Tensor]) -> Tensor:
    """`-1/2 [mean cos(p^1, sg z^2) + mean cos(p^2, sg z^1)]` of p^1, p^2 and z^1, z^2, each `[n, D]`.

    >>> rows = torch.eye(2)
    >>> simsiam((rows, rows), (rows, rows))
    tensor(-1.)
    """
    (p_1, p_2), (z_1, z_2) = predictions, projections
    return -(cosines(p_1, z_2.detach()).mean() + cosines(p_2, z_1.detach()).mean()) / 2


def byol(predictions: tuple[Tensor, Tensor], projections: tuple[Tensor, Tensor]) -> Tensor:
    """`mean [l(p^1, sg z^2) + l(p^2, sg z^1)]`, 4 + 4 times what `simsiam` is.

    >>> rows = torch.eye(2)
    >>> byol((rows, rows.flip(0)), (rows, rows))
    tensor(2.)
    """
    return 4 + 4 * simsiam(predictions, projections)


def norms(name: str, width: int) -> tuple[Callable[[int], nn.Module], nn.Module]:
    """What normalises between the layers of a head, and, without parameters, the end of SimSiam's projector."""
    if name == "layer":
        return nn.LayerNorm, nn.LayerNorm(width, elementwise_affine=False)
    return BatchNorm, BatchNorm(width, affine=False)


class Siamese(nn.Module):
    """Projector and predictor on g, on T_u, and on S_u if `use_source`."""

    def __init__(self, params: SimSiamParams | ByolParams, projector: nn.Module, predictor: nn.Module) -> None:
        super().__init__()
        self.views = self.reads = frozenset[Stream]({"target", "source"} if params.use_source else {"target"})
        self.projector, self.predictor = projector, predictor
        self._projected: Tensor | None = None

    def heads(self, *batches: UnlabelledBatch | None) -> tuple[list[tuple[Encoded, Encoded]], tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """The views of the batches, and of all of their rows z^1, z^2 and p^1, p^2, each `[n, D]`."""
        views = [(batch.views.weak, batch.views.strong) for batch in batches if batch is not None and batch.views is not None]
        first, second = (self.projector(torch.cat([wide(view.embedding) for view in side])) for side in zip(*views, strict=True))
        self._projected = first.detach()
        return views, (wide(first), wide(second)), (wide(self.predictor(first)), wide(self.predictor(second)))

    def diagnostics(self) -> Mapping[str, float]:
        """`spread`: of the last batch's unit projections, the standard deviation over the batch in a dimension, times sqrt(D)."""
        if self._projected is None:
            return {}
        rows = unit_rows(wide(self._projected))
        return {"spread": float(rows.var(dim=0, correction=0).mean().mul(rows.shape[1]).sqrt())}


class SimSiam(Siamese):
    """Both views by one network; only the stopped gradient and the predictor keep it from a constant."""

    def __init__(self, params: SimSiamParams, context: BuildContext) -> None:
        norm, last = norms(params.norm, params.width)
        projector = nn.Sequential(mlp(context.embedding_dim, params.hidden, params.hidden, params.width, norm=norm), last)
        super().__init__(params, projector, mlp(params.width, params.width // 4, params.width, norm=norm))

    def forward(self, target: UnlabelledBatch, source: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        _, projections, predictions = self.heads(target, source)
        return {"simsiam": simsiam(predictions, projections)}


class Byol(Siamese):
    """The online network predicts what a moving average of it projects from the other view."""

    def __init__(self, params: ByolParams, context: BuildContext) -> None:
        norm, _ = norms(params.norm, params.width)
        projector = mlp(context.embedding_dim, params.hidden, params.width, norm=norm)
        super().__init__(params, projector, mlp(params.width, params.hidden, params.width, norm=norm))
        self.tau = params.tau
        self.target = MovingAverage(context.backbone)
        self.target_projector = frozen_copy(projector)

    def forward(self, target: UnlabelledBatch, source: UnlabelledBatch | None = None) -> Mapping[str, Tensor]:
        views, _, predictions = self.heads(target, source)
        with torch.no_grad():
            encoded = [[wide(self.target.encode(view).embedding) for view in side] for side in zip(*views, strict=True)]
            first, second = (wide(self.target_projector(torch.cat(rows))) for rows in encoded)
        return {"byol": byol(predictions, (first, second))}

    def decay(self, fraction: float) -> float:
        """tau, from its base to 1."""
        return 1 - (1 - self.tau) * (math.cos(math.pi * fraction) + 1) / 2

    def after_step(self, progress: Progress) -> None:
        """The target network follows."""
        decay = self.decay(progress.fraction)
        self.target.follow(decay)
        update_average(self.target_projector, self.projector, decay)
