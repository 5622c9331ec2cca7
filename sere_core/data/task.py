"""From two corpora to folds: shared classes, the labelled draw, who is adapted to and who is scored."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from sere_core.config.model import Task
from sere_core.data.folds import check_partition, random_folds, rank, speaker_folds
from sere_core.data.labels import label_digest
from sere_core.data.leakage import confounded_speakers, few_utterances, task_notes, task_warnings
from sere_core.data.plan import Fold, TaskPlan
from sere_core.data.shares import TargetShares
from sere_core.data.shots import breadths, shots_in_order
from sere_registry.emotions import EMOTIONS
from sere_registry.errors import Place, Problem, SereError, error
from sere_registry.spelling import spelling_key
from sere_registry.utterances import Utterance

__all__ = ["Fold", "TaskPlan", "make_task"]

Placed = Callable[[str], Place]


def make_task(
    config: Task,
    source: Sequence[Utterance],
    target: Sequence[Utterance],
    seed: int,
    place: Placed = lambda path: Place(path=path),
    given: Sequence[Utterance] = (),
) -> TaskPlan:
    """Plan a task.  What is returned holds recordings without emotions, the labels of S_l, and a digest of the target's labels.

    * The k shots of a class are drawn uniformly at random from all of the source's utterances of that class, or from the same
      speakers for every class (`shots_from`, see `sere_core.data.shots`), once per seed: the same for every fold and method, and
      the first k of any larger draw.  Those that are held out for selection
      (`validation`) are the next ones, and are taken out of S_u; of `shots: all` out of S_l.
    * Inductive: T_e is one fold of the target, T_u the others.  Transductive: T_u = T_e = the whole target, one training.
    * Unlabelled utterances of the target are in T_u and T_e as the others are, and only the labelled ones of T_e are scored;
      those of the source are in S_u.  A target without any label is transductive, whatever the config says.
    * A few utterances of the target may come with labels (`given`): they are trained on beside S_l, except in a fold that scores
      their speaker, and are neither in T_u nor scored.
    * With `target_shares`, T_u and T_e of each fold are thinned out to these shares of the classes (see `sere_core.data.shares`); the
      folds are those without it.  A source stays whole, but the ceiling's: of a class with fewer utterances than shots it has those.
    * With the target as its own source (the ceiling), S_l and S_u come from the folds that are not scored, and T_u is all
      of those folds, so that the number of steps is that of any other run.

    Args:
        config: the section `task`.
        source, target: all utterances of the two corpora; the same sequence twice for the ceiling.
        seed: of all draws.
        place: where a path like "task.shots" stands in the config, for messages.
        given: all utterances of `task.target_labels`.

    Raises:
        SereError: D607 (fewer utterances than shots), D608 (fewer than two shared classes), D609 (folds that cannot be
            made), D610 (an id stands twice, or classes differ in spelling only), C311 (settings that make no sense).  The hints of
            D607 and D609 name changes of the config that were tried, and work.
    """
    try:
        return _planned(config, source, target, seed, place, given)
    except SereError as broken:
        if not {problem.code for problem in broken.problems} <= {"D607", "D609"}:
            raise
        found = [words for change in _changes(config, source, target) if (words := _works(change, config, source, target, seed, given))]
        hint = f"what works here: {', or '.join(found)}" if found else "no change of shots, classes, folds or setting alone works here"
        raise SereError(*(replace(problem, hint=hint) for problem in broken.problems)) from None


def _changes(config: Task, source: Sequence[Utterance], target: Sequence[Utterance]) -> Iterator[list[dict[str, object]]]:
    """What could be changed where there are too few utterances or speakers: of each list the first that works is enough."""
    known = {each.emotion for each in (*source, *target)} if config.classes == "shared" else set(config.classes)
    if all(each.emotion for each in target):  # else any class of the source may be among the unlabelled
        known &= {each.emotion for each in target}
    counts = Counter(each.emotion for each in source if each.emotion in known - {""})
    if config.shots != "all":
        fewer = {number for number in counts.values() if number < config.shots} | {2 * config.shots // 3, config.shots // 2, 1}
        yield [{"shots": number} for number in sorted(fewer - {0}, reverse=True)]
        yield [{"classes": sorted(name for name, number in counts.items() if number >= config.shots + config.validation)}]
    yield [{"validation": number} for number in sorted({config.validation // 2, 0} - {config.validation}, reverse=True)]
    speakers, most = len({each.speaker for each in target} - {""}), config.folds if config.folds != "speakers" else 6
    numbers = sorted({number for number in (speakers, 5, 3, 2, most - 1) if 2 <= number < most}, reverse=True)
    yield [{"folds": number} for number in numbers]
    yield [{"folds": "speakers"}]
    yield [{"disjoint": "none"}, *({"disjoint": "none", "folds": number} for number in numbers)]
    yield [{"setting": "transductive"}]


def _works(
    changes: Sequence[dict[str, object]],
    config: Task,
    source: Sequence[Utterance],
    target: Sequence[Utterance],
    seed: int,
    given: Sequence[Utterance],
) -> str:
    """The first change that leads to a task, as it is written in a config; "" if none does."""
    for change in changes:
        try:
            _planned(config.model_copy(update=change), source, target, seed, lambda path: Place(path=path), given)
        except SereError:
            continue
        words = {key: f"[{', '.join(value)}]" if isinstance(value, list) else value for key, value in change.items()}
        return " and ".join(f"`{key}: {word}`" for key, word in words.items())
    return ""


def _planned(
    config: Task, source: Sequence[Utterance], target: Sequence[Utterance], seed: int, place: Placed, given: Sequence[Utterance]
) -> TaskPlan:
    ceiling = config.source == config.target
    _raise(_duplicates(config, source, target))
    if config.shrinkage and config.normalise != "speaker":
        what = f"`shrinkage` draws the statistics of speakers, and `normalise: {config.normalise}` has none"
        raise error("C311", what, "use `normalise: speaker`, or remove `shrinkage`", place("task.shrinkage"))
    if config.by_text and config.normalise == "none":
        what = "`by_text` takes texts off features that are standardised, and `normalise: none` leaves them as they are"
        raise error("C311", what, "use `normalise: speaker` or `corpus`, or remove `by_text`", place("task.by_text"))
    if ceiling and config.setting == "transductive":
        what = f"'{config.target}' as its own source cannot be transductive: the labels trained on would be scored"
        raise error("C311", what, "use `setting: inductive`", place("task.setting"))
    if ceiling and given:
        what = f"'{config.target}' as its own source is trained on its labels: there are none to add"
        raise error("C311", what, "remove `target_labels`", place("task.target_labels"))
    classes = _classes(config, source, target, place)
    near, far = (_shuffled([each for each in side if each.emotion in classes or not each.emotion]) for side in (source, target))
    taught = _target_labels(config, far, given, classes, place)
    digest = label_digest(far)
    far = [each for each in far if each.id not in taught]
    transductive = config.setting == "transductive" or not any(each.emotion for each in far)
    shares = _shares(config, far, classes, seed, place)
    parts, how = ([far], "") if transductive else _parts(config, far, seed, place)
    _scorable(config, () if transductive else parts, place)
    folds, problems = [], []
    for index, test in enumerate(parts):
        chosen = {each.id for each in test}
        train = far if transductive else [each for each in far if each.id not in chosen]
        if ceiling or index == 0:
            problems += _short_classes(config, train if ceiling else near, classes, index if ceiling else None, place)
        heard = {each.speaker for each in test if each.speaker} if how and not how.startswith("random") else set()
        if shares:
            train, test = shares.kept(train, index), shares.kept(test, index)
        pool = train if ceiling else near
        labelled, held = _draw(config, pool, classes, seed, place)
        drawn = {each.id for each in (*labelled, *held)}
        labelled += [each for each in taught.values() if each.speaker not in heard]
        folds.append(
            Fold(
                index=index,
                labelled=tuple(each.recording for each in labelled),
                labels=tuple(classes.index(each.emotion) for each in labelled),
                source=tuple(each.recording for each in pool if each.id not in drawn),
                target=tuple(each.recording for each in train),
                test=tuple(each.recording for each in test),
                validation=tuple(each.recording for each in held),
                validation_labels=tuple(classes.index(each.emotion) for each in held),
            )
        )
    _raise(problems)
    if not transductive:
        _check(config, folds, parts, far, how)
    scored = {each.id for fold in folds for each in fold.test}
    kept = scored | {each.id for fold in folds for each in fold.target}
    counts = (sum(bool(each.emotion) for each in far if each.id in scored), sum(not each.emotion for each in far))
    return TaskPlan(
        classes=classes,
        folds=tuple(folds),
        label_digest=digest,
        protocol=_protocol(config, folds, how, counts, len(taught)),
        warnings=(*task_warnings(near, far, folds, classes, how), *_of_speakers(config, near, [each for each in far if each.id in kept])),
        notes=task_notes(config, source, target, folds, classes),
        source=config.source,
        target=config.target,
        seed=seed,
        setting="transductive" if transductive else "inductive",
        uses_target_labels=ceiling,
        labelled=counts[0],
        unlabelled=counts[1],
    )


def _shares(config: Task, far: Sequence[Utterance], classes: Sequence[str], seed: int, place: Placed) -> TargetShares | None:
    """What thins out the target.

    Raises:
        SereError: C311 for utterances without a label, which belong to no share, and for a list of another length.
    """
    wanted = config.target_shares
    if wanted is None:
        return None
    if without := sum(not each.emotion for each in far):
        what = f"{without} utterances of corpus '{config.target}' are unlabelled: they belong to no class's share"
        raise error("C311", what, "remove `target_shares`", place("task.target_shares"))
    if isinstance(wanted, list) and len(wanted) != len(classes):
        what = f"{len(wanted)} shares of {len(classes)} classes"
        raise error("C311", what, f"one for each of: {', '.join(classes)}", place("task.target_shares"))
    return TargetShares(wanted, classes, far, seed)


def _target_labels(
    config: Task, far: Sequence[Utterance], given: Sequence[Utterance], classes: Sequence[str], place: Placed
) -> dict[str, Utterance]:
    """The utterances of the target that come with a label, by id: the same stretches of the same files.

    Raises:
        SereError: D610 for a label of what is not in the target, or of no class of the task.
    """
    known = {_stretch(each): each.recording for each in far} if given else {}  # links are resolved, which takes time
    found, problems = dict[str, Utterance](), []
    for each in given:
        recording = known.get(_stretch(each))
        if recording is None:
            what = f"corpus '{config.target_labels}' labels {each.recording.path}, which is not in corpus '{config.target}'"
            problems.append(Problem("D610", what, "the same file, and the same start and end", place("task.target_labels")))
        elif each.emotion and each.emotion not in classes:
            what = f"corpus '{config.target_labels}' labels {each.id} as {each.emotion}, which is no class of this task"
            problems.append(Problem("D610", what, f"the classes: {', '.join(classes)}", place("task.target_labels")))
        elif each.emotion:
            found[recording.id] = Utterance(recording, each.emotion)
    if given and not found and not problems:
        what = f"corpus '{config.target_labels}' has no label of any utterance"
        problems.append(Problem("D610", what, "`sere corpora check` says which columns are read", place("task.target_labels")))
    _raise(list(dict.fromkeys(problems))[:20])
    return found


def _stretch(each: Utterance) -> tuple[str, float | None, float | None]:
    return os.path.realpath(each.recording.path), each.recording.start, each.recording.end


def _duplicates(config: Task, source: Sequence[Utterance], target: Sequence[Utterance]) -> list[Problem]:
    problems = []
    for name, side in {config.source: source, config.target: target}.items():
        twice = sorted(id for id, count in Counter(each.id for each in side).items() if count > 1)
        if twice:
            problems.append(Problem("D610", f"corpus '{name}' lists utterances twice: {', '.join(twice[:3])}"))
    return problems


def _classes(config: Task, source: Sequence[Utterance], target: Sequence[Utterance], place: Placed) -> tuple[str, ...]:
    """The classes of the task, in the order of their labels."""
    sides = {name: {each.emotion for each in side} for name, side in {config.source: source, config.target: target}.items()}
    where = place("task.classes")
    # an unlabelled utterance may be of any class of the source
    shared = sides[config.source] - {""} if "" in sides[config.target] else set.intersection(*sides.values())
    has = {name: ", ".join(sorted(side - {""})) or "no labels" for name, side in sides.items()}
    listing = "; ".join(f"{name} has {words}" for name, words in has.items())
    if not sides[config.source] - {""}:
        hint = "the source teaches: give its manifest a column `emotion`, or name another corpus in `task.source`"
        raise error("D608", f"corpus '{config.source}' is the source and has no labels", hint, place("task.source"))
    alike = defaultdict[str, set[str]](set)
    for word in set().union(*sides.values()):
        alike[spelling_key(word)].add(word)
    if twice := [" and ".join(map(repr, sorted(words))) for words in alike.values() if len(words) > 1]:
        hint = "`labels` of one corpus maps one spelling to the other"
        raise error("D610", f"classes differ only in spelling: {'; '.join(sorted(twice))}", hint, where)
    ordered = sorted(shared, key=lambda name: (EMOTIONS.index(name) if name in EMOTIONS else len(EMOTIONS), name))
    chosen = tuple(ordered if config.classes == "shared" else config.classes)
    if missing := [name for name in chosen if name not in shared]:
        which = f"corpus '{config.source}'" if "" in sides[config.target] else "both corpora"
        raise error("C311", f"not in {which}: {', '.join(missing)}", listing, where)
    if len(chosen) < 2:
        raise error("D608", f"{len(chosen)} shared class(es): {', '.join(chosen) or 'none'}", listing, where)
    return chosen


def _shuffled(side: Sequence[Utterance]) -> list[Utterance]:
    """In an order that neither file names nor seeds decide, so that positions in a stream tell nothing."""
    return sorted(side, key=lambda each: rank("order", 0, each.id))


def _draw(
    config: Task, pool: Sequence[Utterance], classes: Sequence[str], seed: int, place: Placed
) -> tuple[list[Utterance], list[Utterance]]:
    """S_l, and what is held out for selection.

    Raises:
        SereError: C311 where no speaker has two classes, so that none can be the same for both.
    """
    few = config.shots != "all"
    named = [number for speaker, number in breadths(pool, classes).items() if speaker]
    if pool and few and config.shots_from == "speakers" and max(named, default=0) < 2:
        what = f"corpus '{config.source}' names no speaker who has two of the classes, and could be the same for both"
        raise error("C311", what, "use `shots_from: any`; a manifest's column `speaker` names them", place("task.shots_from"))
    start = 0 if config.shots == "all" else config.shots
    order = shots_in_order(pool, classes, seed, config.shots_from)
    first, held = [], []
    for members in order.values():
        first += members[:start]
        held += members[start : start + config.validation]
    return _shuffled(first) if few else [each for each in pool if each.emotion and each not in held], _shuffled(held)


def _short_classes(config: Task, pool: Sequence[Utterance], classes: Sequence[str], fold: int | None, place: Placed) -> list[Problem]:
    counts = Counter(each.emotion for each in pool)
    least = (1 if config.shots == "all" else config.shots) + config.validation
    outside = "" if fold is None else f" outside fold {fold + 1}"
    also = f", {config.validation} of them for validation" if config.validation else ""
    return [
        Problem(
            "D607", f"corpus '{config.source}' has {counts[name]} of '{name}'{outside}, fewer than {least}{also}", "", place("task.shots")
        )
        for name in classes
        if counts[name] < least
    ]


def _parts(config: Task, target: Sequence[Utterance], seed: int, place: Placed) -> tuple[list[list[Utterance]], str]:
    """The folds of the target, and how they were made."""
    speakers = sorted({each.speaker for each in target})
    unnamed = speakers == [""]
    if config.disjoint == "none" or (unnamed and config.folds != "speakers"):
        if config.folds == "speakers" or config.folds > len(target):
            what = f"'{config.target}' has {len(target)} utterances for {config.folds} folds"
            raise error("D609", what, place=place("task.folds"))
        chosen = [set(ids) for ids in random_folds({each.id: each.emotion for each in target}, config.folds, seed)]
        how = "random, no speakers" if unnamed else "random"
        return [[each for each in target if each.id in ids] for ids in chosen], how
    wanted = len(speakers) if config.folds == "speakers" else config.folds
    if unnamed or len(speakers) < max(2, wanted):
        count = "no speakers" if unnamed else f"{len(speakers)} speaker(s)"
        what = f"corpus '{config.target}' has {count}: no {'two' if config.folds == 'speakers' else wanted} speaker-disjoint folds"
        raise error("D609", what, place=place("task.folds"))
    if config.folds == "speakers":
        groups, how = [[speaker] for speaker in speakers], "leave-one-speaker-out"
    else:
        counts = {speaker: Counter(each.emotion for each in target if each.speaker == speaker) for speaker in speakers}
        groups, how = speaker_folds(counts, wanted, seed), "speaker-disjoint"
    members = [set(group) for group in groups]
    return [[each for each in target if each.speaker in group] for group in members], how


def _scorable(config: Task, parts: Sequence[Sequence[Utterance]], place: Placed) -> None:
    """Every fold holds at least one labelled utterance."""
    empty = sum(not any(each.emotion for each in part) for part in parts)
    if empty:
        what = f"{empty} of {len(parts)} folds of corpus '{config.target}' would hold no labelled utterance to score"
        raise error("D609", what, place=place("task.folds"))


def _check(config: Task, folds: Sequence[Fold], parts: Sequence[Sequence[Utterance]], target: Sequence[Utterance], how: str) -> None:
    """The promises of the inductive setting, whatever the code above does."""
    check_partition([[each.id for each in part] for part in parts], [each.id for each in target])
    for fold, part in zip(folds, parts, strict=True):
        tested = {each.id for each in fold.test}
        assert tested and tested <= {each.id for each in part}, "T_e is not of its fold"
        assert config.target_shares or len(tested) == len(part), "T_e lacks utterances of its fold"
        assert fold.target and not tested & {each.id for each in fold.target}, "T_u and T_e overlap"
        if config.source == config.target:
            assert not tested & {each.id for each in (*fold.labelled, *fold.source)}, "the source holds what is scored"
        if not how.startswith("random"):
            assert not {each.speaker for each in fold.test} & {each.speaker for each in fold.target}, "a speaker is in T_u and in T_e"


def _protocol(config: Task, folds: Sequence[Fold], how: str, target: tuple[int, int], taught: int) -> str:
    """The row's name; `target`: how many of its utterances are labelled, and how many are not; `taught`: and trained on."""
    labelled, unlabelled = target
    regime = "full" if config.shots == "all" else f"{config.shots}-shot"
    if config.shots != "all" and config.target_shares and config.source == config.target:
        regime = f"up to {regime}"  # a rare class of T_u may have fewer
    words = [f"{config.source}>{config.target}", regime]
    words += ["from the same speakers"] if config.shots_from == "speakers" and config.shots != "all" else []
    words.append("inductive" if how else "transductive")
    if how:
        words.append(f"{len(folds)} folds {how}")
    words.append(f"norm={config.normalise}" + (f" shrunk by {config.shrinkage:g}" if config.shrinkage else ""))
    if how and config.normalise != "none":
        own = config.normalise == "speaker" and any(_new_speakers(fold) for fold in folds)
        words.append("(test speakers' own utterances read)" if own else "(test utterances not read)")
    if config.source == config.target:
        words.append("target-supervised")
    if taught:
        words.append(f"+{taught} target labels")
    if config.validation:
        words.append(f"+{config.validation} source labels per class for selection")
    if isinstance(config.target_shares, list):
        words.append(f"target shares {':'.join(f'{share:g}' for share in config.target_shares)}")
    elif config.target_shares:
        words.append(f"target shares Dirichlet({config.target_shares.dirichlet:g})")
    if unlabelled:
        words.append(f"{unlabelled} of {labelled + unlabelled} unlabelled" if labelled else f"{unlabelled} unlabelled, not scored")
    return " ".join(words)


def _of_speakers(config: Task, near: Sequence[Utterance], far: Sequence[Utterance]) -> Iterator[str]:
    """What speaks against statistics by speaker; of the target's labels nothing is said."""
    if config.normalise == "speaker":
        yield from confounded_speakers(near)
        for side in (near, far) if config.source != config.target and not config.shrinkage else ():
            yield from few_utterances([each.recording for each in side])


def _new_speakers(fold: Fold) -> set[tuple[str, str]]:
    """Those of T_e in no stream of the training: statistics of theirs can come from T_e only."""
    tested, known = (
        {(each.corpus, each.speaker) for each in side if each.speaker} for side in (fold.test, (*fold.labelled, *fold.source, *fold.target))
    )
    return tested - known


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        raise SereError(*problems)
