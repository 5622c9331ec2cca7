"""Speech-like utterances in made-up languages, for learning sere and for testing it without data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import product

from sere_plugins.specs.corpora import SyntheticParams
from sere_registry.files import corpora_folder, write_atomically
from sere_registry.protocols import BuildContext
from sere_registry.utterances import Finding, Recording, Utterance

#: part of the folder's name: a change of the sound must change it
VERSION = 1


class Synthetic:
    """A corpus that is made: each speaker says the same sentences in each emotion.

    A source-filter voice speaks; emotion is a set of rules (see `synth_tables`) from which speakers, utterances and
    languages stray.  The same parameters give the same files.  It stands in for speech: results on it say that software
    works and which way it errs, not how well a method does on people.
    """

    def __init__(self, params: SyntheticParams, context: BuildContext) -> None:
        self.params = params
        self.corpus = context.id
        self.languages: tuple[str, ...] = (params.language,)
        cache = context.cache if context.cache is not None else corpora_folder()
        values = json.dumps({"version": VERSION, **params.model_dump(mode="json")}, sort_keys=True)
        digest = hashlib.sha256(values.encode()).hexdigest()
        #: each set of parameters has a folder of its own
        self.folder = cache / "synthetic" / f"{params.language}-{digest[:16]}"

    def utterances(self) -> Sequence[Utterance]:
        """All utterances, sorted by id; their files exist after `prepare`."""
        params = self.params
        found = []
        for index, emotion, sentence in product(range(params.speakers), params.emotions, range(params.per_class)):
            speaker, text = f"{params.language}{index + 1:02d}", f"t{sentence + 1:02d}"
            id_ = f"{speaker}/{emotion}-{text}"
            path, gender = self.folder / f"{id_}.wav", "male" if index % 2 else "female"
            recording = Recording(id_, path, self.corpus, params.language, speaker, gender=gender, text=text)
            found.append(Utterance(recording, emotion))
        return sorted(found, key=lambda utterance: utterance.id)

    def findings(self) -> Sequence[Finding]:
        """That this is not human speech."""
        return (Finding("note", f"synthetic speech in a made-up language, below {self.folder}"),)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Make the files that are not there yet, each atomically: two processes may do so at once.

        Raises:
            SereError: X704 or X705 where the folder cannot be written or the disk is full.
        """
        missing = [utterance for utterance in self.utterances() if not utterance.recording.path.is_file()]
        if not missing:
            return
        from sere_plugins.corpora.synth_render import wav  # numpy, which listing must not need

        for done, utterance in enumerate(missing, start=1):
            path = utterance.recording.path
            if path.is_file():  # made by another process in the meantime
                continue
            write_atomically(path, wav(self.params, utterance))
            if progress is not None:
                progress(done, len(missing))
