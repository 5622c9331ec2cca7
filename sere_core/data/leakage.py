"""What may make scores look better than they are: found before the run and written into its record."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

from sere_core.config.model import Task
from sere_core.data.plan import Fold
from sere_registry.utterances import Recording, Utterance

#: from this share of utterances whose text alone tells the emotion, the text is called confounded with it
_TOLD = 0.9


def task_warnings(
    source: Sequence[Utterance], target: Sequence[Utterance], folds: Sequence[Fold], classes: Sequence[str], how: str
) -> tuple[str, ...]:
    """Warnings from names, texts and labels alone, before any audio is read."""
    warnings = [*shared_speakers(source, target)]
    for side in (source, target) if _corpus(source) != _corpus(target) else (target,):
        warnings += text_tells_emotion(side)
    warnings += shared_texts(folds)
    if how.startswith("random"):
        warnings.append(f"{_corpus(target)}: speakers may be in T_u and T_e at once (folds {how})")
    elif how and any(not each.speaker for each in target):
        warnings.append(f"{_corpus(target)}: utterances without a speaker are kept together in one fold, as if one speaker spoke them")
    emotions = {each.recording.key: each.emotion for each in target}
    for fold in folds:
        absent = sorted(set(classes) - {emotions[each.key] for each in fold.test})
        if absent:
            warnings.append(f"fold {fold.index} has no test utterance of: {', '.join(absent)}")
    return tuple(warnings)


def task_notes(
    config: Task, source: Sequence[Utterance], target: Sequence[Utterance], folds: Sequence[Fold], classes: Sequence[str]
) -> tuple[str, ...]:
    """Facts about the data that belong to a row: classes dropped, sentences that T_u and T_e share."""
    notes = []
    for name, side in {config.source: source, config.target: target}.items():
        dropped = Counter(each.emotion for each in side if each.emotion not in classes)
        if dropped:
            listing = ", ".join(f"{emotion} {count}" for emotion, count in sorted(dropped.items()))
            notes.append(f"{name}: {sum(dropped.values())} of {len(side)} utterances are of other classes and are left out: {listing}")
    if config.setting == "inductive":
        trained = [{each.text for each in fold.target if each.text is not None} for fold in folds]
        tested = [{each.text for each in fold.test if each.text is not None} for fold in folds]
        total, both = sum(map(len, tested)), sum(len(a & b) for a, b in zip(trained, tested, strict=True))
        if both:
            share = f"{both / total:.0%} of a test fold's sentences are also spoken in T_u"
            notes.append(f"{config.target}: folds are not text-disjoint: {share}")
    return tuple(notes)


def shared_speakers(source: Sequence[Utterance], target: Sequence[Utterance]) -> list[str]:
    """Do two corpora share people?  Names such as "01" say little, so the same name counts within one language only."""
    if _corpus(source) == _corpus(target):
        return []
    names = f"{_corpus(source)} and {_corpus(target)}"
    files = {each.recording.path for each in source} & {each.recording.path for each in target}
    if files:
        return [f"{names} share {len(files)} audio files: source and target are not different corpora"]
    near, far = ({(each.recording.language, each.speaker) for each in side if each.speaker} for side in (source, target))
    both = sorted(speaker for _, speaker in near & far)
    return [f"{names} are of one language and share {len(both)} speaker name(s): {', '.join(both[:5])}"] if both else []


def shared_texts(folds: Sequence[Fold]) -> list[str]:
    """Are test sentences spoken in S_l with known emotions?  Texts are comparable within one language only."""
    labelled = {(each.language, each.text) for fold in folds for each in fold.labelled if each.text is not None}
    tested = {(each.language, each.text) for fold in folds for each in fold.test if each.text is not None}
    both = labelled & tested
    return [f"{len(both)} of {len(tested)} test sentences are also spoken in S_l"] if both else []


def text_tells_emotion(side: Sequence[Utterance]) -> list[str]:
    """Can the emotion be guessed from which sentence is spoken, as in eNTERFACE'05, where each emotion has sentences of its own?

    Each utterance is guessed to be of the most frequent emotion of the other utterances of its text.
    """
    groups: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for each in side:
        if each.recording.text is not None:
            groups[each.recording.language, each.recording.text][each.emotion] += 1
    seen = right = 0
    for counts in groups.values():
        total = sum(counts.values())
        if total < 2:
            continue
        seen += total
        for emotion, count in counts.items():
            others = max((n for name, n in counts.items() if name != emotion), default=0)
            right += count if count - 1 > others else 0
    if not seen or len({each.emotion for each in side}) < 2 or right / seen < _TOLD:
        return []
    return [f"{_corpus(side)}: the sentence tells the emotion ({right / seen:.0%} of {seen} utterances): a recogniser of words would score"]


def audio_warnings(folds: Sequence[Fold], digests: Mapping[str, str]) -> tuple[str, ...]:
    """Is the same audio trained on and scored, in one fold?

    Args:
        digests: `Recording.key` -> digest of the audio.  Recordings that are missing from it are left out.
    """
    warnings = []
    for fold in folds:
        tested = _by_digest(fold.test, digests)
        same = [] if fold.target == fold.test else [("T_u", fold.target)]
        for stream, recordings in [("S_l", fold.labelled), ("S_u", fold.source), *same]:
            for digest, keys in _by_digest(recordings, digests).items():
                if digest in tested:
                    listing = ", ".join(sorted({*keys, *tested[digest]})[:4])
                    warnings.append(f"fold {fold.index}: identical audio in {stream} and T_e: {listing}")
    return tuple(warnings)


def checked(folds: Sequence[Fold], digests: Mapping[str, str], statements: Sequence[str]) -> dict[str, str]:
    """The four checks and what each found, nothing found included: printed before training, and part of the record.

    Args:
        folds: of the task.
        digests: `Recording.key` -> digest of the audio.
        statements: whose statistics standardise the features.
    """

    def share(what: Callable[[Recording], Hashable]) -> str:
        counts = []
        for title, streams in {"S_l or S_u": ("labelled", "source"), "T_u": ("target",)}.items():
            total = both = 0
            for fold in folds:
                if title == "T_u" and fold.target == fold.test:
                    continue
                seen = {what(each) for stream in streams for each in getattr(fold, stream)} - {None}
                tested = {what(each) for each in fold.test} - {None}
                total, both = total + len(tested), both + len(seen & tested)
            if total:
                counts.append(f"{both or 'none'} of {total} in {title}")
        return "; ".join(counts) or "unknown"

    return {
        "speakers of T_e": share(lambda each: (each.language, each.speaker) if each.speaker else None),
        "identical audio": share(lambda each: digests.get(each.key)),
        "sentences of T_e": share(lambda each: None if each.text is None else (each.language, each.text)),
        "normalisation": "; ".join(statements) or "features are not standardised",
    }


def _by_digest(recordings: Sequence[Recording], digests: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for each in recordings:
        if each.key in digests:
            found[digests[each.key]].append(each.key)
    return found


def _corpus(side: Sequence[Utterance]) -> str:
    return side[0].recording.corpus if side else ""
