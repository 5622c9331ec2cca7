"""A memory bank: one embedding and one score for every utterance of a stream, part of the method's state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class Bank(nn.Module):
    """Unit embeddings `[n, D]` and posteriors `[n, C]` by position in the stream; empty until filled.

    Both are buffers, so a checkpoint holds them; loading a state takes over its size.  Nothing in them has a gradient.

    >>> bank = Bank(dim=2, classes=3)
    >>> bank.fill(torch.tensor([[3.0, 4.0]]), torch.full((1, 3), 1 / 3))
    >>> bank.embeddings
    tensor([[0.6000, 0.8000]])
    """

    embeddings: Tensor
    scores: Tensor

    def __init__(self, dim: int, classes: int) -> None:
        super().__init__()
        self.register_buffer("embeddings", torch.zeros(0, dim))
        self.register_buffer("scores", torch.zeros(0, classes))

    def __len__(self) -> int:
        return len(self.embeddings)

    @torch.no_grad()
    def fill(self, embeddings: Tensor, scores: Tensor) -> None:
        """Take over a whole stream, in its order."""
        self.embeddings, self.scores = self._rows(embeddings, scores)

    @torch.no_grad()
    def write(self, index: Tensor, embeddings: Tensor, scores: Tensor) -> None:
        """Overwrite the rows at `index`; of an utterance that is there twice, the last counts."""
        positions, group = torch.unique(index, return_inverse=True)
        turn = torch.arange(len(index), device=index.device)
        last = torch.zeros_like(positions).scatter_reduce_(0, group, turn, "amax", include_self=False)
        unit, posteriors = self._rows(embeddings, scores)
        self.embeddings[positions] = unit[last].to(self.embeddings.dtype)
        self.scores[positions] = posteriors[last].to(self.scores.dtype)

    @staticmethod
    def _rows(embeddings: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(embeddings.dtype, torch.float32)  # bfloat16 has too few digits to rank neighbours
        return functional.normalize(embeddings.detach().to(wide), dim=-1), scores.detach().to(wide).clone()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name in ("embeddings", "scores"):
            stored = state_dict.get(prefix + name)
            if stored is not None:
                setattr(self, name, torch.empty_like(stored, device=getattr(self, name).device))
        super()._load_from_state_dict(state_dict, prefix, *args)
