"""What may make scores look better than they are: found before the run and written into its record."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from sere_core.config.model import Task
from sere_core.data.plan import Fold
from sere_registry.errors import counted
from sere_registry.spelling import language_tag, spelling_key
from sere_registry.utterances import Recording, Utterance

T = TypeVar("T", bound=Hashable)

#: from this share of utterances whose emotion is that of most others with their text, the text is confounded with it
_CONFOUNDED = 0.9
#: statistics of fewer utterances are mostly chance (docs/corpora.md has figures for speakers)
FEW = 4


def task_warnings(
    source: Sequence[Utterance], target: Sequence[Utterance], folds: Sequence[Fold], classes: Sequence[str], how: str
) -> tuple[str, ...]:
    """Warnings from names, texts and labels alone, before any audio is read."""
    warnings = [*shared_speakers(source, target)]
    for side in (source, target) if _corpus(source) != _corpus(target) else (target,):
        warnings += confounded_texts(side)
    labelled = _values((each for fold in folds for each in fold.labelled), _text)
    tested = _values((each for fold in folds for each in fold.test), _text)
    if labelled & tested:
        warnings.append(f"{len(labelled & tested)} of {len(tested)} test sentences are also spoken in S_l")
    if how.startswith("random"):
        warnings.append(f"{_corpus(target)}: speakers may be in T_u and T_e at once (folds {how})")
    elif how and any(not each.speaker for each in target):
        warnings.append(f"{_corpus(target)}: utterances without a speaker are kept together in one fold, as if one speaker spoke them")
    if (least := min((len(fold.target) for fold in folds), default=FEW)) < FEW:
        what = "means and confidences on others are mostly chance"
        warnings.append(f"{_corpus(target)}: T_u has {counted(least, 'utterance')}: adapted to so few, {what}")
    emotions = {each.recording.key: each.emotion for each in target}
    for fold in folds if any(emotions.values()) else ():
        absent = sorted(set(classes) - {emotions[each.key] for each in fold.test})
        if absent:
            warnings.append(f"{_corpus(target)}: fold {fold.index + 1} has no test utterance of: {', '.join(absent)}")
    return tuple(warnings)


def task_notes(
    config: Task, source: Sequence[Utterance], target: Sequence[Utterance], folds: Sequence[Fold], classes: Sequence[str]
) -> tuple[str, ...]:
    """Facts about the data that belong to a row: classes dropped, speakers of the shots, sentences that T_u and T_e share."""
    notes = []
    for name, side in {config.source: source, config.target: target}.items():
        dropped = Counter(each.emotion for each in side if each.emotion not in classes and each.emotion)
        if dropped:
            listing = ", ".join(f"{emotion} {count}" for emotion, count in sorted(dropped.items()))
            notes.append(f"{name}: {dropped.total()} of {len(side)} utterances are of other classes and are left out: {listing}")
    notes += _unlabelled(config, source, target, folds)
    if config.shots_from == "speakers" and config.shots != "all":
        emotions = {each.recording.key: each.emotion for each in source}
        of_class = [{one.speaker for one in folds[0].labelled if emotions.get(one.key) == name} for name in classes]
        every, common = len(set.union(*of_class)), len(set.intersection(*of_class))
        same = f"the same {counted(every, 'speaker')} for every class"
        notes.append(f"{config.source}: shots of {same if every == common else f'{every} speakers, {common} of them in every class'}")
    shared, total = _overlap(folds, ("target",), _text)
    if shared:
        share = f"{shared / total:.0%} of a test fold's sentences are also spoken in T_u"
        notes.append(f"{config.target}: folds are not text-disjoint: {share}")
    return tuple(notes)


def _unlabelled(config: Task, source: Sequence[Utterance], target: Sequence[Utterance], folds: Sequence[Fold]) -> Iterator[str]:
    given = {each.key for fold in folds for each in fold.labelled if each.corpus != config.source}
    if given:
        yield f"{config.target}: {len(given)} of {len(target)} utterances came with a label: trained on, neither adapted to nor scored"
    for name, side in {config.source: source, config.target: target}.items():
        without = sum(not each.emotion and each.recording.key not in given for each in side)
        if without:
            what = "adapted to and predicted, not scored" if name == config.target else "never among the labelled"
            yield f"{name}: {without} of {len(side)} utterances are unlabelled: {what}"
    if config.classes == "shared" and any(not each.emotion for each in target):
        yield f"classes: all of {config.source}, since unlabelled utterances of {config.target} may be of any of them"
    if all(not each.emotion for each in target):
        none = "no other labels" if given else "no labels"
        yield f"{config.target} has {none}: one training on all of it (`setting` and `folds` do not count), and no scores"


def shared_speakers(source: Sequence[Utterance], target: Sequence[Utterance]) -> list[str]:
    """Do two corpora share people?  Names such as "01" say little, so the same name counts within one language only."""
    if _corpus(source) == _corpus(target):
        return []
    names = f"{_corpus(source)} and {_corpus(target)}"
    files = {each.recording.path for each in source} & {each.recording.path for each in target}
    if files:
        return [f"{names} share {len(files)} audio files: source and target are not different corpora"]
    near, far = (_values((each.recording for each in side), _person) for side in (source, target))
    both = sorted({each.speaker for each in target if _person(each.recording) in near & far})
    return [f"{names} are of one language and share {len(both)} speaker name(s): {', '.join(both[:5])}"] if both else []


def confounded_texts(side: Sequence[Utterance]) -> list[str]:
    """Can the emotion be guessed from which sentence is spoken, as in eNTERFACE'05, where each emotion has sentences of its own?

    Warned of from `_CONFOUNDED` on; see `_guessed`.
    """
    seen, right, _ = _guessed(side, lambda each: _text(each.recording))
    if not seen or len({each.emotion for each in side if each.emotion}) < 2 or right / seen < _CONFOUNDED:
        return []
    return [
        f"{_corpus(side)}: the sentence predicts the emotion ({right / seen:.0%} of {seen} utterances): a recogniser of words would score"
    ]


def confounded_speakers(side: Sequence[Utterance]) -> list[str]:
    """Can the emotion be guessed from who speaks, as in television corpora, where most people appear in one emotion?

    What standardises by speaker takes the emotion of such a speaker away.  Warned of where knowing the speaker rights half of the
    guesses that the corpus's most frequent emotion gets wrong.
    """
    seen, right, single = _guessed(side, lambda each: each.speaker or None)
    counts = Counter(each.emotion for each in side if each.emotion and each.speaker)
    wrong = 1 - max(counts.values(), default=0) / max(counts.total(), 1)
    if not seen or right / seen < 1 - wrong / 2 or len(counts) < 2:
        return []
    speakers = {each.speaker for each in side if each.emotion and each.speaker}
    return [
        f"{_corpus(side)}: the speaker predicts the emotion ({right / seen:.0%} of {seen} utterances; {single} of {len(speakers)} speakers"
        " have one emotion in nine of ten utterances or more): statistics by speaker take it away, `normalise: corpus` does not"
    ]


def few_utterances(recordings: Sequence[Recording]) -> list[str]:
    """Are there speakers of so few utterances that statistics of their own are mostly chance?"""
    counts = Counter((each.corpus, each.speaker) for each in recordings if each.speaker)
    few = sum(number < FEW for number in counts.values())
    if not few:
        return []
    what = f"{few} of {len(counts)} speakers have fewer than {FEW} utterances, and their own statistics are mostly chance"
    return [f"{recordings[0].corpus}: {what}: `shrinkage: 2` draws them to the corpus's"]


def _guessed(side: Sequence[Utterance], group: Callable[[Utterance], Hashable]) -> tuple[int, int, int]:
    """How often the most frequent emotion of the other utterances of its group is an utterance's own.

    Returns:
        Utterances in groups of two and more, the right guesses among them, and groups of which nine in ten are of one emotion.
    """
    groups: dict[Hashable, Counter[str]] = defaultdict(Counter)
    for each in side:
        if each.emotion and (name := group(each)) is not None:
            groups[name][each.emotion] += 1
    ranked = [[*sorted(counts.values(), reverse=True), 0] for counts in groups.values() if counts.total() > 1]
    right = sum(most for most, second, *_ in ranked if most - 1 > second)
    return sum(map(sum, ranked)), right, sum(each[0] >= _CONFOUNDED * sum(each) for each in ranked)


def audio_warnings(folds: Sequence[Fold], digests: Mapping[str, str]) -> tuple[str, ...]:
    """Is the same audio trained on and scored, in one fold?

    Args:
        folds: of the task.
        digests: `Recording.key` -> digest of the audio.  Recordings that are missing from it are left out.
    """

    def audio(each: Recording) -> str | None:
        return digests.get(each.key)

    warnings = []
    for fold in folds:
        other_target = () if fold.target == fold.test else fold.target
        streams = {"S_l": fold.labelled, "S_u": fold.source, "T_u": other_target, "what is held out of the source": fold.validation}
        for stream, recordings in streams.items():
            both = _values(recordings, audio) & _values(fold.test, audio)
            keys_of: dict[str | None, set[str]] = defaultdict(set)
            for each in (*recordings, *fold.test):
                if (digest := audio(each)) in both:
                    keys_of[digest].add(each.key)
            alike = map(sorted, keys_of.values())
            warnings += [f"fold {fold.index + 1}: identical audio in {stream} and T_e: {', '.join(keys[:4])}" for keys in sorted(alike)]
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
            shared, total = _overlap(folds, streams, what)
            if total:
                counts.append(f"{shared or 'none'} of {total} in {title}")
        return "; ".join(counts) or "unknown"

    return {
        "speakers of T_e": share(_speaker),
        "identical audio": share(lambda each: digests.get(each.key)),
        "sentences of T_e": share(_text),
        "normalisation": "; ".join(statements) or "features are not standardised",
    }


def _overlap(folds: Sequence[Fold], streams: Sequence[str], what: Callable[[Recording], Hashable]) -> tuple[int, int]:
    """How many values of T_e occur in these streams of the same fold, and how many there are; T_u that is T_e does not count."""
    shared = total = 0
    for fold in folds:
        if streams != ("target",) or fold.target != fold.test:
            tested = _values(fold.test, what)
            total += len(tested)
            shared += len(tested & _values((each for stream in streams for each in getattr(fold, stream)), what))
    return shared, total


def _values(recordings: Iterable[Recording], what: Callable[[Recording], T | None]) -> set[T]:
    return {value for each in recordings if (value := what(each)) is not None}


def _speaker(each: Recording) -> tuple[str, str] | None:
    return (each.language, each.speaker) if each.speaker else None


def _person(each: Recording) -> tuple[str, str] | None:
    """As `_speaker`, whatever the spelling."""
    return (language_tag(each.language), spelling_key(each.speaker)) if each.speaker else None


def _text(each: Recording) -> tuple[str, str] | None:
    """Texts are comparable within one language only."""
    return None if each.text is None else (each.language, each.text)


def _corpus(side: Sequence[Utterance]) -> str:
    return side[0].recording.corpus if side else ""
