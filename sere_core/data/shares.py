"""Unequal class shares of the target (`task.target_shares`): which utterances of a fold are adapted to and scored.

Corpora of acted speech are near-balanced, and methods that assume equal shares of classes gain by it; so the target is
thinned out to shares that follow a Dirichlet distribution, as in realistic few-shot benchmarks (arXiv 2204.11181), or a list:

    p ~ Dirichlet(a, ..., a),   k_c = max(1, round(n p_c)),   n = min_c N_c / p_c

with N_c utterances of class c, so that k_c of them stay: as many as these shares leave, and one at least.

**What plugins can see of it.**  Neither p nor k_c is kept.  p is drawn anew for every fold, so that the confusion matrix of a
scored fold, which is on the disk while the next one trains, says nothing of the next one's shares.  The draws, and which
utterances of a class stay, hang on a hash of the seed *and of the target's labels*: nobody who lacks the labels can repeat
them.  The sizes of T_u and T_e are visible, as those of any stream; they hint at how large the largest share is, not at whose.
No number by class is recorded but those that the scorer counts, once a fold has been predicted.  A list, of course, stands in
the config for all to read.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from random import Random

from sere_core.config.model import Dirichlet
from sere_core.data.folds import rank
from sere_registry.utterances import Utterance


class TargetShares:
    """Thins out a fold's utterances.

    Args:
        wanted: a distribution of shares, or shares in the order of the classes (they need not sum to 1).
        classes: of the task.
        target: all its utterances, each labelled.
        seed: of the task's draws.
    """

    def __init__(self, wanted: Dirichlet | Sequence[float], classes: Sequence[str], target: Sequence[Utterance], seed: int) -> None:
        self._wanted, self._classes = wanted, classes
        labels = "\n".join(sorted(f"{each.id}\0{each.emotion}" for each in target))
        self._secret = int.from_bytes(hashlib.sha256(f"target shares:{seed}:{labels}".encode()).digest(), "big")

    def kept(self, part: Sequence[Utterance], fold: int) -> list[Utterance]:
        """Those of T_u or T_e that stay, in their order: both of a fold follow the same shares.

        Where a class has no utterance in the part, the others follow their shares among themselves.
        """
        counts = Counter(each.emotion for each in part)
        shares = {name: share for name, share in zip(self._classes, self._shares(fold), strict=True) if counts[name]}
        size = min(counts[name] / share for name, share in shares.items())
        stay = set[str]()
        for name, share in shares.items():
            ranked = sorted((each.id for each in part if each.emotion == name), key=lambda id: rank("target shares", self._secret, id))
            stay.update(ranked[: max(1, round(size * share))])
        return [each for each in part if each.id in stay]

    def _shares(self, fold: int) -> Sequence[float]:
        if not isinstance(self._wanted, Dirichlet):
            return self._wanted
        draws = Random(self._secret + fold)  # a Dirichlet is gamma draws divided by their sum, which does not matter here
        return [max(draws.gammavariate(self._wanted.dirichlet, 1.0), 1e-300) for _ in self._classes]
