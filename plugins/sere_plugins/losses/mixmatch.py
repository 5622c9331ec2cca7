"""MixMatch (arXiv:1905.02249): guessed labels, sharpened, and MixUp of labelled and unlabelled utterances.

    q_j = Sharpen(1/2 sum_k softmax(z(u_jk)), T),  Sharpen(q, T)_c = q_c^{1/T} / sum_c' q_c'^{1/T}        equation 7
    W   = shuffle(X + U_1 + U_2) with labels and guesses;  for every element of X + U_1 + U_2:
    x'  = l' x + (1 - l') w, labels alike,  l' = max(l, 1 - l),  l ~ Beta(a, a)                           equations 8 to 11
    L   = mean CE(y'_x, p(x')) + lambda_u(t) mean_{j, c} (q'_jc - p(u'_j)_c)^2                            equations 2 to 5

X is the weak view of S_l, U_1 and U_2 are the weak and the strong view of T_u (K = 2; give `views.weak` and `views.strong` the
same list).  As in the authors' code (`mixmatch.py`, google-research/mixmatch) l is drawn for every element, the squared error is
averaged over classes too, guesses are made in training mode and carry no gradient; lambda_u(t) rises linearly.  The moving
average that predicts there is the parameter `ema` of the method `joint`.

The first term takes the place of cross-entropy: `losses: {classify: null, adapt: {use: mixmatch}}`.  Deviation: utterances of different
lengths cannot be mixed frame by frame, so that utterance embeddings g are mixed (manifold MixUp, arXiv:1806.05236).  Nothing is
assumed of class shares.  Partners and l are draws of this loss's own, over the utterances in the order of `index`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from sere_core.functional import StepDraws, wide
from sere_plugins.specs.consistency import MixMatchParams
from sere_registry import BuildContext, Encoded, LabelledBatch, Progress, UnlabelledBatch


def sharpen(posteriors: Tensor, temperature: float) -> Tensor:
    """`q_c^{1/T} / sum_c' q_c'^{1/T}` of `[..., C]`: itself at T = 1, one-hot as T falls to 0.

    >>> sharpen(torch.tensor([0.2, 0.8]), 0.5)
    tensor([0.0588, 0.9412])
    """
    return (posteriors.log() / temperature).softmax(dim=-1)


def in_order(batch: Encoded) -> Tensor:
    """The rows of a batch in the order of its utterances in their stream, whatever theirs in the batch is, `[B]`."""
    return batch.index.argsort(stable=True)


class MixMatch(nn.Module):
    """Both terms; reads the classifier, and trains it."""

    views = frozenset({"labelled", "target"})

    def __init__(self, params: MixMatchParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params
        self.draws = StepDraws()
        self._backbone = (context.backbone,)  # in a tuple, so that its parameters do not become this loss's
        self._confidence: Tensor | None = None

    def forward(self, progress: Progress, labelled: LabelledBatch, target: UnlabelledBatch) -> Mapping[str, Tensor]:
        assert labelled.views is not None and target.views is not None  # asked for in `views`
        weak, strong = target.views.weak, target.views.strong
        guesses = sharpen((wide(weak.logits).softmax(dim=1) + wide(strong.logits).softmax(dim=1)).detach() / 2, self.params.temperature)
        self._confidence = guesses.amax(dim=1).mean()
        known = functional.one_hot(labelled.labels, guesses.shape[1]).to(guesses)
        first, second = in_order(labelled), in_order(target)
        rows = [labelled.views.weak.embedding[first], weak.embedding[second], strong.embedding[second]]
        mixed, aims = self.mix(wide(torch.cat(rows)), torch.cat([known[first], guesses[second], guesses[second]]), progress.step)
        logits = wide(self._backbone[0].classifier(mixed))  # one pass; in the authors' code every part has its own batch statistics
        count = len(first)
        return {
            "mixed": functional.cross_entropy(logits[:count], aims[:count]),
            "guessed": self.weight(progress.fraction) * functional.mse_loss(logits[count:].softmax(dim=1), aims[count:]),
        }

    def mix(self, rows: Tensor, aims: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """MixUp of every row `[n, D]`, and of what it should become `[n, C]`, with a partner; the row itself weighs at least 1/2."""
        random = np.random.default_rng(self.draws(step).initial_seed())
        drawn = random.beta(self.params.alpha, self.params.alpha, (len(rows), 1))
        share = torch.as_tensor(np.maximum(drawn, 1 - drawn)).to(aims)
        partner = torch.as_tensor(random.permutation(len(rows)), device=rows.device)
        return tuple(share * values + (1 - share) * values[partner] for values in (rows, aims))  # type: ignore[return-value]

    def weight(self, fraction: float) -> float:
        """lambda_u(t)."""
        return self.params.unlabelled_weight * min(1.0, fraction / self.params.ramp)

    def diagnostics(self) -> Mapping[str, float]:
        """`confidence`: the mean largest share in the sharpened guesses of the last batch."""
        return {} if self._confidence is None else {"confidence": float(self._confidence)}
