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
    """It lists utterances sorted by ids that are the same on every machine, of known emotions and languages."""
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
        assert utterance.emotion in EMOTIONS, f"{utterance.id}: '{utterance.emotion}' is not one of sere_registry.emotions.EMOTIONS"
        assert recording.corpus == "checked", f"{utterance.id}: its corpus is '{recording.corpus}', not the id in the context"
        assert recording.language in corpus.languages, f"{utterance.id}: '{recording.language}' is not in `languages`"
        assert recording.gender in ("female", "male", None), f"{utterance.id}: its gender is '{recording.gender}'"
        assert recording.path.is_absolute(), f"{utterance.id}: its path is relative"
        assert not Path(recording.id).is_absolute(), f"{utterance.id}: its id is an absolute path, and another one on another machine"
    assert {finding.level for finding in corpus.findings()} <= {"missing", "surplus", "note"}


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
