"""The checks of corpora."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sere_core.testing.subject import Checks, Subject
from sere_registry import BuildContext, Corpus
from sere_registry.emotions import EMOTIONS

CHECKS = Checks()


def build(subject: Subject) -> Any:
    return subject.build(BuildContext("checked", cache=subject.folder))


@CHECKS("corpus.listing", "build.defaults")
def listing(subject: Subject) -> None:
    """It lists utterances sorted by ids that are unique and the same on every machine, each with the absolute path of its file."""
    corpus = build(subject)
    missing = [name for name in ("languages", "utterances", "findings", "prepare") if not hasattr(corpus, name)]
    assert not missing and isinstance(corpus, Corpus), f"it has no {', '.join(missing)}"
    found = corpus.utterances()
    assert found, "it lists nothing"
    ids = [utterance.id for utterance in found]
    assert len(set(ids)) == len(ids), "two utterances have the same id"
    assert ids == sorted(ids), "its utterances are not sorted by id"
    for utterance in found:
        recording = utterance.recording
        assert recording.corpus == "checked", f"{utterance.id}: its corpus is '{recording.corpus}', not the id in the context"
        assert recording.path.is_absolute(), f"{utterance.id}: its path is relative"
        assert not Path(recording.id).is_absolute(), f"{utterance.id}: its id is an absolute path, and another one on another machine"


@CHECKS("corpus.labels", "corpus.listing")
def labels(subject: Subject) -> None:
    """Its emotions are known ones, and its languages those that it declares: no other, and none that nobody speaks."""
    corpus = build(subject)
    for utterance in corpus.utterances():
        language = utterance.recording.language
        assert utterance.emotion in EMOTIONS, f"{utterance.id}: '{utterance.emotion}' is not one of sere_registry.emotions.EMOTIONS"
        assert language in corpus.languages, f"{utterance.id}: '{language}' is not in `languages`"
    spoken = {utterance.recording.language for utterance in corpus.utterances()}
    assert len(set(corpus.languages)) == len(corpus.languages), "a language stands twice in `languages`"
    assert spoken == set(corpus.languages), f"nobody speaks {', '.join(sorted(set(corpus.languages) - spoken))}, which `languages` declares"


@CHECKS("corpus.speakers", "corpus.listing")
def speakers(subject: Subject) -> None:
    """Every utterance has a speaker, or none has one; a speaker has one gender."""
    genders: dict[str, str | None] = {}
    for utterance in build(subject).utterances():
        gender = utterance.recording.gender
        assert gender in ("female", "male", None), f"{utterance.id}: its gender is '{gender}'"
        known = genders.setdefault(utterance.speaker, gender)
        assert not utterance.speaker or known == gender, (
            f"{utterance.id}: the gender of '{utterance.speaker}' is {gender}, and {known} before"
        )
    assert "" not in genders or len(genders) == 1, (
        "some utterances have no speaker, and others have: folds would take the rest for one person"
    )


@CHECKS("corpus.deterministic", "corpus.listing")
def deterministic(subject: Subject) -> None:
    """It lists the same again, and so does another instance."""
    corpus = build(subject)
    first = list(corpus.utterances())
    assert list(corpus.utterances()) == first and list(build(subject).utterances()) == first, "a second listing is not the first"


@CHECKS("corpus.prepare", "corpus.listing")
def prepare(subject: Subject) -> None:
    """Once it is prepared, its files are there, hold sound, and are not made again."""
    import soundfile

    corpus = build(subject)
    corpus.prepare()
    paths = sorted({utterance.recording.path for utterance in corpus.utterances()})
    absent = [path for path in paths if not path.is_file()]
    assert not absent, f"{absent[0] if absent else ''} is not there"
    if paths[0].suffix.lower() in (".wav", ".flac", ".ogg"):
        assert soundfile.info(paths[0]).frames > 0, f"{paths[0]} holds no samples"
    before = {path: path.stat().st_mtime_ns for path in paths}
    corpus.prepare()
    assert {path: path.stat().st_mtime_ns for path in paths} == before, "what is there is made again"


@CHECKS("corpus.counts", "corpus.deterministic", "corpus.prepare")
def counts(subject: Subject) -> None:
    """Each recording counts once, as many are there as were announced before, and its findings are the same whenever they are asked for."""
    corpus = build(subject)
    told = list(corpus.findings())  # before anything is listed
    announced = list(corpus.utterances())
    parts: dict[object, str] = {}
    for utterance in announced:
        recording = utterance.recording
        other = parts.setdefault((recording.path, recording.start, recording.end), utterance.id)
        assert other == utterance.id, (
            f"{other} and {utterance.id} are one recording: it would count twice, and stand on both sides of a fold"
        )
    corpus.prepare()
    assert list(build(subject).utterances()) == announced, "it lists other utterances once its files are there"
    for finding in told:
        assert finding.level in ("missing", "surplus", "note"), f"the level of a finding is '{finding.level}', not missing, surplus or note"
        assert finding.message.strip() and "\n" not in finding.message, "a finding is not one line"
    assert list(corpus.findings()) == told, "its findings are others once its utterances are listed"
