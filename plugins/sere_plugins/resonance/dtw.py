"""Dynamic time warping (Sakoe & Chiba 1978, doi:10.1109/TASSP.1978.1163055): frames are aligned in the order of time.

The path from the first pair of frames to the last, in steps (1, 1), (1, 0) and (0, 1), whose summed 1 - cos
is least.  It is found for all pairs of a block at once, one anti-diagonal after the other.  (librosa's takes
one pair per call, on the CPU: the tests hold this one against it.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from sere_plugins.resonance.base import FrameField
from sere_plugins.specs.resonance import DtwParams
from sere_registry import BuildContext

#: added to the cost of a step outside the band: more than any path within it costs, and still a path where the band has none
_OUTSIDE = 1e4


class Dtw(FrameField):
    """A_ij = 1 / (frames of b on the path at i) on the path, else 0; gradients flow through the aligned frames alone.

    Use it to ask whether order matters: it is `cosine` with matches that may not jump, so it suits two
    readings of one sentence and should lose to `cosine` where the sentences differ.
    """

    def __init__(self, params: DtwParams, context: BuildContext) -> None:
        super().__init__()
        self.params = params

    def alignment(self, scores: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        with torch.no_grad():
            cost = 1 - scores.detach()
            if self.params.band < 1:
                x, y = (_places(mask) for mask in (rows, columns))
                cost = cost + _OUTSIDE * ((x.unsqueeze(2) - y.unsqueeze(1)).abs() > self.params.band)
            path = warping_paths(cost, rows, columns).to(scores.dtype)
            return path / path.sum(dim=2, keepdim=True).clamp(min=1)


def warping_paths(cost: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """The cheapest path of each pair, `[P, T_a, T_b]` bool; of equals, the one with more diagonal steps at its end.

    Args:
        cost: `[P, T_a, T_b]`, not negative.
        rows, columns: real frames, `[P, T_a]` and `[P, T_b]`: the first of each row.

    >>> cost = torch.tensor([[[0.0, 1.0, 1.0], [1.0, 0.0, 0.0]]])
    >>> warping_paths(cost, torch.ones(1, 2, dtype=torch.bool), torch.ones(1, 3, dtype=torch.bool)).int().tolist()
    [[[1, 0, 0], [0, 1, 1]]]
    """
    pairs, height, width = cost.shape
    steps = _steps(_skewed(cost.masked_fill(~(rows.unsqueeze(2) & columns.unsqueeze(1)), torch.inf)))
    path = torch.zeros(cost.shape, dtype=torch.bool, device=cost.device)
    each = torch.arange(pairs, device=cost.device)
    i, j = rows.sum(dim=1) - 1, columns.sum(dim=1) - 1
    for _ in range(height + width - 1):  # a path that has arrived stays at (0, 0)
        path[each, i, j] = True
        step = steps[i + j, each, i]
        i, j = (i - (step != 2).long()).clamp(min=0), (j - (step != 1).long()).clamp(min=0)
    return path


def _skewed(cost: Tensor) -> Tensor:
    """Anti-diagonals as rows: `[T_a + T_b - 1, P, T_a]`, entry (k, p, i) is cost (p, i, k - i), infinite
    where there is none."""
    pairs, height, width = cost.shape
    padded = torch.nn.functional.pad(cost, (0, height), value=torch.inf)
    long = height + width - 1
    return padded.flatten(1)[:, : height * long].view(pairs, height, long).permute(2, 0, 1).contiguous()


def _steps(skewed: Tensor) -> Tensor:
    """Where each cell is reached from, shaped as `skewed`: 0 from (i-1, j-1), 1 from (i-1, j), 2 from (i,
    j-1)."""
    steps = torch.zeros(skewed.shape, dtype=torch.uint8, device=skewed.device)
    nowhere = torch.full_like(skewed[0], torch.inf)
    before, last = nowhere, skewed[0]
    for k in range(1, len(skewed)):
        ways = torch.stack([_down(before), _down(last), last])
        least, step = ways.min(dim=0)
        steps[k] = step
        before, last = last, skewed[k] + least
    return steps


def _down(cells: Tensor) -> Tensor:
    """The cell above each."""
    return torch.nn.functional.pad(cells[:, :-1], (1, 0), value=torch.inf)


def _places(mask: Tensor) -> Tensor:
    """Where each frame stands between its utterance's first (0) and last (1), `[P, T]`."""
    return torch.arange(mask.shape[1], device=mask.device) / (mask.sum(dim=1, keepdim=True) - 1).clamp(min=1)
