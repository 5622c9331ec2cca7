"""What a run will do, found out without torch: its corpora, its task, and what to warn of."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from sere_core.config import Bound, Resolved, load
from sere_core.config.source_code import check_factories, reads
from sere_core.config.validation import validate
from sere_core.content import Contents
from sere_core.data.plan import Fold, TaskPlan
from sere_core.data.task import make_task
from sere_core.identity import Identity, data_parts, listing_digests
from sere_core.rng import derive
from sere_registry import BuildContext, Corpus, Problem, Recording, SereError, Utterance, error, suggest
from sere_registry.catalog import Catalog
from sere_registry.errors import Place
from sere_registry.files import cache_folder, corpora_folder


@dataclass(frozen=True)
class Plan:
    """The checked config, and the task made of its corpora; no label of the target.

    Args:
        skipped: what is wrong with each utterance that was left out.
        contents: digests of the files of this machine.
    """

    resolved: Resolved
    task: TaskPlan
    warnings: tuple[str, ...]
    contents: Contents = field(repr=False, compare=False)
    _listings: Mapping[str, Mapping[str, str]] = field(repr=False)
    skipped: tuple[str, ...] = ()

    @cached_property
    def data(self) -> Mapping[str, str]:
        """Digests of the corpora, by part; see `sere_core.identity`."""
        return data_parts(self, self._listings)

    def check_unchanged(self) -> None:
        """That the audio is what it was when `data` was made.

        Raises:
            SereError: T505.
        """
        if changed := Identity(self.data).changes(data_parts(self, self._listings)):
            raise error("T505", f"changed while the run was at work: {', '.join(changed)}", "run again")

    @property
    def corpora(self) -> tuple[str, ...]:
        """The ids of the corpora, source first; one where a corpus is its own source."""
        return tuple(dict.fromkeys((self.task.source, self.task.target)))

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """All that are spoken, sorted."""
        return tuple(sorted({recording.language for recording, _ in self.recordings.values()}))

    @cached_property
    def recordings(self) -> Mapping[str, tuple[Recording, tuple[str, ...]]]:
        """Every recording that the task uses, by key, with the encoder ids that it needs.

        With `paths.supervise: all` every encoder reads the source: S_l is classified through each, and standardised there by the
        statistics of S_l and S_u.  Else, where features are standardised, the labelled path's also reads the unlabelled source: the
        statistics of a few labelled utterances alone would be noise.
        """
        config, every = self.resolved.config, self._every_path
        also = {config.paths.labelled} if config.task.normalise != "none" else set()
        wanted: dict[str, tuple[Recording, set[str]]] = {}
        for fold in self.task.folds:
            for recording in fold.labelled:
                wanted.setdefault(recording.key, (recording, set()))[1].update(every or {config.paths.labelled})
            for recording in fold.source:
                wanted.setdefault(recording.key, (recording, set()))[1].update(every or also)
            for recording in (*fold.source, *fold.target, *fold.test):
                wanted.setdefault(recording.key, (recording, set()))[1].add(self.resolved.encoder_of(recording.language))
            for recording in (*fold.target, *fold.test) if config.paths.predict == "mean" else ():
                wanted[recording.key][1].update(every)
            for recording in fold.validation:
                wanted.setdefault(recording.key, (recording, set()))[1].update({self.path_of_validation(fold), *every})
        return {key: (recording, tuple(sorted(encoders))) for key, (recording, encoders) in wanted.items()}

    @property
    def _every_path(self) -> set[str]:
        """The encoder ids of all streams, where S_l is classified through each; else none."""
        if self.resolved.config.paths.supervise == "labelled":
            return set()
        spoken = {recording.language for fold in self.task.folds for recording in (*fold.source, *fold.target, *fold.test)}
        return {self.resolved.config.paths.labelled, *map(self.resolved.encoder_of, spoken)}

    def path_of_validation(self, fold: Fold) -> str:
        """The encoder id of what is held out of the source: that of S_u, or of S_l where there is no S_u."""
        return self.resolved.encoder_of(fold.source[0].language) if fold.source else self.resolved.config.paths.labelled

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The encoder ids that the task uses."""
        return tuple(sorted({encoder for _, encoders in self.recordings.values() for encoder in encoders}))


def build_corpus(resolved: Resolved, name: str) -> Corpus:
    """The corpus of this id.  It is built whenever it is needed and not kept: it knows the labels."""
    classes = resolved.config.task.classes
    context = BuildContext(
        id=name,
        classes=() if classes == "shared" else tuple(classes),
        cache=corpora_folder(resolved.config.features.cache),
    )
    corpus: Corpus = resolved.components[f"corpora.{name}"].build(context)
    return corpus


def open_corpus(catalog: Catalog, use: str, root: str | None, params: Mapping[str, object]) -> Corpus:
    """A corpus outside a config.

    Args:
        catalog: where it is found.
        use: its name.
        root: its folder, for a manifest its file; None for a corpus that has neither.
        params: its other parameters.

    Raises:
        SereError: R201 for an unknown name, C302 for what is wrong with the parameters.
    """
    entry = catalog.find("corpus", use, Place(path="corpus"))
    data = dict(params)
    where = next((name for name in ("root", "file") if name in entry.spec.params.model_fields), "")
    if root is not None:
        if not where:
            raise error("C302", f"corpus '{use}' has no folder", f"leave {root} out")
        data[where] = root
    elif where and where not in data:
        raise error("C302", f"corpus '{use}' needs its {where}", "give its path after the name")
    checked, problems = validate(entry.spec.params, data, lambda path, key: Place(path=".".join(path)), f"corpus '{use}'")
    if checked is None:
        raise SereError(*problems)
    bound = Bound(entry.spec, entry.full_name, entry.distribution, entry.version, checked, "corpus")
    corpus: Corpus = bound.build(BuildContext(id=use))
    return corpus


def list_corpus(resolved: Resolved, name: str) -> Sequence[Utterance]:
    """All utterances of the corpus of this id, with their emotions, read now."""
    corpus = build_corpus(resolved, name)
    contents = Contents(cache_folder(resolved.config.features.cache))
    return _without_damaged(resolved, name, corpus, corpus.utterances(), contents, [], [])


def make_plan(resolved: Resolved) -> Plan:
    """As `make_plans`, of the config's seed."""
    (plan,) = make_plans(resolved, Contents(cache_folder(resolved.config.features.cache)), (resolved.config.seed,))
    return plan


def make_plans(resolved: Resolved, contents: Contents, seeds: Sequence[int]) -> list[Plan]:
    """List the corpora and make the task of each seed; nothing is trained, and nothing decoded but where damaged files are to be skipped.

    The one place of a run that reads the target's labels before there are predictions.  They die with its frame.

    Args:
        contents: digests of files.
        seeds: instead of the config's.

    Raises:
        SereError: everything that is wrong with the folders, the pair of corpora, or the folds.
    """
    task = resolved.config.task
    _check_selection(resolved)
    listed: dict[str, Sequence[Utterance]] = {}
    problems: list[Problem] = []
    warnings: list[str] = []
    skipped: list[str] = []
    for name in dict.fromkeys((task.source, task.target, *([task.target_labels] if task.target_labels else ()))):
        try:
            corpus = build_corpus(resolved, name)
            listed[name] = _without_damaged(resolved, name, corpus, corpus.utterances(), contents, warnings, skipped)
            warnings += [f"corpus {name}: {finding.message}" for finding in corpus.findings() if finding.level != "note"]
        except SereError as broken:
            place = resolved.place(f"corpora.{name}")
            problems += [p if p.place.file else Problem(p.code, p.message, p.hint, place) for p in broken.problems]
    if problems:
        raise SereError(*problems)
    listings = {name: listing_digests(side) for name, side in listed.items()}
    given = listed.pop(task.target_labels) if task.target_labels else ()
    _check_languages(resolved, Counter(each.recording.language for side in listed.values() for each in side))
    warnings += _untaught(resolved, {each.recording.language for side in listed.values() for each in side})
    plans = []
    for seed in seeds:
        plan = make_task(task, listed[task.source], listed[task.target], derive(seed, "task"), resolved.place, given)
        if resolved.oracle:
            if not plan.labelled:
                what = f"corpus '{task.target}' has no labels, by which '{resolved.components['select'].full_name}' would choose"
                raise error("C311", what, "use another selector", resolved.place("select"))
            plan = replace(plan, uses_target_labels=True, protocol=f"{plan.protocol} epochs chosen by target labels")
        one = replace(resolved, config=resolved.config.model_copy(update={"seed": seed}))
        plans.append(Plan(one, plan, (*warnings, *plan.warnings), contents, listings, tuple(skipped)))
    return plans


def _without_damaged(
    resolved: Resolved,
    name: str,
    corpus: Corpus,
    listed: Sequence[Utterance],
    contents: Contents,
    warnings: list[str],
    skipped: list[str],
) -> Sequence[Utterance]:
    """The utterances whose audio can be used, where the task is to go on without the others; of the source, how many of each class.

    Raises:
        SereError: the problems of all, if none can be used.
    """
    from sere_core.data.check import damaged

    if resolved.config.task.skip is None:
        return listed
    corpus.prepare(lambda done, total: None)
    lost = damaged([each.recording for each in listed], resolved.config.features, contents)
    kept = [each for each in listed if each.recording.key not in lost]
    if lost and not kept:
        raise SereError(*lost.values())
    if lost:
        what = f"corpus {name}: {len(lost)} of {len(listed)} utterances are skipped as damaged"
        if name == resolved.config.task.source != resolved.config.task.target:
            counts = Counter(each.emotion or "unlabelled" for each in listed if each.recording.key in lost)
            what += f" ({', '.join(f'{number} {emotion}' for emotion, number in sorted(counts.items()))})"
        warnings.append(what)
        skipped += [f"skipped: {key}: {problem.code} {problem.message}" for key, problem in sorted(lost.items())]
    return kept


def to_start(resolved: Resolved, trust: bool, again: Callable[[Catalog], Resolved]) -> Resolved:
    """The config of a run that starts now, its `file:` components imported; said on stderr.

    Before that, all that can be wrong without them has been looked at.

    Args:
        resolved: read without them.
        trust: may files outside the config's folder be imported?
        again: reads the config with a catalog.

    Raises:
        SereError: P109 for a file that may not be imported; what `make_plan` raises; and what the files' components say.
    """
    check_factories(resolved)
    if not resolved.unread:
        return resolved
    resolved.check_trust(trust)
    if not any(path.startswith("corpora.") for path in resolved.unread):
        make_plan(resolved)
    return again(importing(resolved))


def importing(*configs: Resolved) -> Catalog:
    """A catalog that imports files, which are named on stderr.  What they change of torch is put back, so that it is loaded before."""
    import torch  # noqa: F401

    for file in sorted({bound.distribution for each in configs for bound in each.unread.values()}):
        print(f"importing {file}", file=sys.stderr)
    return Catalog(imports="files")


def recorded(folder: Path, trust: bool, sets: Sequence[str] = (), file: str = "config.yaml") -> Resolved:
    """The config of a record, or of a job, which may be a stranger's: without `trust` only what comes with sere is imported.

    Raises:
        SereError: as `load`.
    """
    quiet = load(folder / file, sets=sets, catalog=Catalog(imports="own"))
    return load(folder / file, sets=sets, catalog=importing(quiet)) if trust and quiet.unread else quiet


def _check_selection(resolved: Resolved) -> None:
    """What the selector reads that only `task.validation` brings."""
    bound = resolved.components.get("select")
    if bound is None or bound.unread or resolved.config.task.validation:
        return
    asked = {name for names in reads("selector", bound.spec.factory).values() for name in names}
    if any(name.partition("_")[0] == "validation" for name in asked):
        what = f"'{bound.full_name}' reads labelled utterances of the source that are held out, and none are"
        raise error("C311", what, "set `task.validation`, to 5 of each class, say", resolved.place("select"))


def _untaught(resolved: Resolved, languages: Iterable[str]) -> list[str]:
    """A warning for every path that no label teaches."""
    paths = resolved.config.paths
    if paths.supervise == "all":
        return []
    untaught = {name for name in map(resolved.encoder_of, languages) if name != paths.labelled}
    what = "no labelled utterance passes it, so nothing but losses without labels teaches its projection (`paths.supervise: labelled`)"
    return [f"encoder {name}: {what}" for name in sorted(untaught)]


def _check_languages(resolved: Resolved, spoken: Mapping[str, int]) -> None:
    """Every language of the pair needs an encoder."""
    unlabelled = resolved.config.paths.unlabelled
    if isinstance(unlabelled, str):
        return
    for language in spoken:
        if language not in unlabelled:
            hint = suggest(language, unlabelled, "languages with an encoder")
            what = f"no encoder for the language '{language}' ({spoken[language]} utterances)"
            raise error("C311", what, hint, resolved.place("paths.unlabelled"))
