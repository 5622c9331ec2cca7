"""Folds are a partition of the target, speaker-disjoint, balanced, and the same on every machine."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from sere_core.data.folds import check_partition, random_folds, rank, speaker_folds

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
counts = st.dictionaries(
    names, st.dictionaries(st.sampled_from(["anger", "fear", "sadness"]), st.integers(1, 30), min_size=1), min_size=2, max_size=14
)


@given(counts, st.integers(2, 14), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_speakers_are_dealt_once_each_and_no_fold_is_empty(table: dict[str, dict[str, int]], wanted: int, seed: int) -> None:
    folds = min(wanted, len(table))
    parts = speaker_folds(table, folds, seed)
    assert len(parts) == folds
    check_partition(parts, table)
    shuffled = dict(sorted(table.items(), key=lambda item: rank("test", 9, item[0])))
    assert speaker_folds(shuffled, folds, seed) == parts, "the order of the corpus's list decides nothing"


@given(st.dictionaries(names, st.sampled_from(["anger", "fear", "sadness"]), min_size=2, max_size=60), st.integers(2, 8), st.integers(0, 3))
@settings(max_examples=150, deadline=None)
def test_random_folds_are_a_partition_with_sizes_and_classes_equal_up_to_one(emotions: dict[str, str], wanted: int, seed: int) -> None:
    folds = min(wanted, len(emotions))
    parts = random_folds(emotions, folds, seed)
    check_partition(parts, emotions)
    for name in [None, *set(emotions.values())]:
        sizes = [sum(name is None or emotions[id] == name for id in part) for part in parts]
        assert max(sizes) - min(sizes) <= 1


def test_folds_of_unequal_speakers_are_balanced_by_class() -> None:
    """The ten speakers of EmoDB, with their numbers of utterances of three emotions (anger, boredom, sadness)."""
    emodb = {
        "03": (14, 5, 7), "08": (12, 10, 9), "09": (13, 4, 4), "10": (10, 8, 3), "11": (11, 8, 7),
        "12": (12, 5, 4), "13": (12, 10, 5), "14": (16, 8, 10), "15": (13, 9, 4), "16": (14, 14, 9),
    }  # fmt: skip
    table = {speaker: dict(zip(("anger", "boredom", "sadness"), row, strict=True)) for speaker, row in emodb.items()}
    for seed in range(5):
        sums = [sum((Counter(table[speaker]) for speaker in part), Counter()) for part in speaker_folds(table, 5, seed)]
        for name, total in (("anger", 127), ("boredom", 81), ("sadness", 62)):
            assert all(abs(each[name] - total / 5) <= 5 for each in sums)


def test_equal_speakers_make_folds_of_equal_size_that_stay_between_releases() -> None:
    table = {f"s{index}": {"anger": 10, "fear": 10} for index in range(10)}
    made = [speaker_folds(table, 5, seed) for seed in range(4)]
    assert all(len(part) == 2 for parts in made for part in parts)
    assert len({str(sorted(parts)) for parts in made}) > 1
    """Published folds must be made again years later: this is what the hash gives, written down."""
    assert rank("folds", 0, "f1").hex()[:16] == "87e47201b333f51d"
    emovo = {name: {"anger": 5} for name in ("f1", "f2", "f3", "m1", "m2", "m3")}
    assert speaker_folds(emovo, 3, 0) == [["m1", "m2"], ["f3", "m3"], ["f1", "f2"]]
