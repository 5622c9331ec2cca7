"""Which labelled utterances of the source teach (`task.shots_from`): the order in which those of each class are drawn.

The k shots of a class are the first k of its order, so that a larger draw holds every smaller one.

* `any`: uniformly at random from all of the class's utterances.
* `speakers`: from the same speakers for every class.  A speaker s with n_sc utterances of class c has m_s = min_c n_sc rounds to give,
  one utterance of every class in each.  The first round of all such speakers comes first, speakers in one random order that all
  classes share, then the second round, and so on: five shots are those of five speakers, the same five for every class, and ten
  shots of six speakers are two of each of four and one of each of two.  Only once no speaker has a round left are classes filled up
  one by one: again by rounds, speakers of most classes first, and utterances without a speaker last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from sere_core.data.folds import rank
from sere_registry.utterances import Utterance


def shots_in_order(
    pool: Sequence[Utterance], classes: Sequence[str], seed: int, shots_from: Literal["any", "speakers"]
) -> dict[str, list[Utterance]]:
    """Class -> its utterances of `pool`, in the order in which they are drawn."""
    found = {
        name: sorted((each for each in pool if each.emotion == name), key=lambda each: rank("shots", seed, each.id)) for name in classes
    }
    if shots_from == "any":
        return found
    counts = {name: Counter(each.speaker for each in members) for name, members in found.items()}
    speakers = breadths(pool, classes)
    rounds = {speaker: min(count[speaker] for count in counts.values()) if speaker else 0 for speaker in speakers}
    place = {speaker: (-breadth, rank("shot speakers", seed, speaker)) for speaker, breadth in speakers.items()}
    for name, members in found.items():
        taken, keys = Counter[str](), {}
        for each in members:
            turn = taken[each.speaker]
            keys[each.id] = (not each.speaker, turn >= rounds[each.speaker], turn, place[each.speaker])
            taken[each.speaker] += 1
        found[name] = sorted(members, key=lambda each, keys=keys: keys[each.id])  # type: ignore[misc]
    return found


def breadths(pool: Sequence[Utterance], classes: Sequence[str]) -> Counter[str]:
    """Speaker -> of how many of the classes there are utterances."""
    return Counter(speaker for speaker, _ in {(each.speaker, each.emotion) for each in pool if each.emotion in classes})
