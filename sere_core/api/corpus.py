"""A corpus by itself, outside a run: what it holds, as a sequence and as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from sere_core.plan import open_corpus
from sere_core.tables import Cell, Column, Line, Table
from sere_registry.catalog import Catalog
from sere_registry.utterances import Finding, Utterance

if TYPE_CHECKING:
    from sere_core.data.check import Report
    from sere_registry import Corpus as Source

#: what the tables call utterances without a label
UNLABELLED = "unlabelled"


class Corpus(Sequence[Utterance]):
    """The utterances of a corpus, sorted as the corpus lists them; made by `load_corpus`.

    Attributes:
        name: what a config calls the corpus under `use`.
        findings: what the corpus says of its folder: missing, surplus, notes.
    """

    def __init__(self, name: str, source: Source) -> None:
        self.name, self._source = name, source
        self._utterances = tuple(source.utterances())
        self.findings: tuple[Finding, ...] = tuple(source.findings())

    def __len__(self) -> int:
        return len(self._utterances)

    @overload
    def __getitem__(self, index: int) -> Utterance: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Utterance, ...]: ...
    def __getitem__(self, index: int | slice) -> Utterance | tuple[Utterance, ...]:
        return self._utterances[index]

    def __iter__(self) -> Iterator[Utterance]:
        return iter(self._utterances)

    def __repr__(self) -> str:
        spoken = ", ".join(self.languages)
        return f"<Corpus {self.name}: {len(self)} utterances, {len(self.speakers)} speakers, language {spoken}>"

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()

    @property
    def emotions(self) -> dict[str, int]:
        """Emotion, or "unlabelled" -> number of utterances, sorted by name."""
        return dict(sorted(Counter(each.emotion or UNLABELLED for each in self).items()))

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        return tuple(sorted({each.speaker for each in self if each.speaker}))

    @cached_property
    def languages(self) -> tuple[str, ...]:
        return tuple(sorted({each.recording.language for each in self}))

    def prepare(self) -> None:
        """Make the audio of a corpus that is made on the spot (`synthetic`); for all others nothing is to be done."""
        self._source.prepare(None)

    def check(self) -> Report:
        """Read every file: durations, duplicates, and one problem for each that no run could use."""
        from sere_core.data.check import check

        return check(self._source)

    def table(self) -> Table:
        """Utterances by speaker and emotion."""
        names = list(self.emotions)
        counts = Counter((each.speaker, each.emotion or UNLABELLED) for each in self)
        rows: Mapping[str, list[int]] = {
            speaker or "-": [counts[speaker, name] for name in names] for speaker in sorted({speaker for speaker, _ in counts})
        }
        lines = [Line(tuple(map(Cell, (speaker, *map(str, row), str(sum(row)))))) for speaker, row in rows.items()]
        total = Line(tuple(map(Cell, ("all", *map(str, self.emotions.values()), str(len(self))))))
        columns = (Column("speaker", text=True), *map(Column, names), Column("all"))
        notes = tuple(f"{finding.level}: {finding.message}" for finding in self.findings)
        return Table("corpus", f"{self.name}: utterances, language {', '.join(self.languages)}", columns, (tuple(lines), (total,)), notes)


def load_corpus(use: str, root: str | Path | None = None, **params: object) -> Corpus:
    """List a corpus.

    Args:
        use: its name, as in a config: "emodb", "manifest", "folder", "synthetic", ...
        root: its folder; for a manifest its file; for "synthetic" nothing.
        params: its other parameters, such as `language="pl"`.

    Raises:
        SereError: R201 for an unknown name, C302 for a parameter, D601, D602 and D610 for what is wrong with the folder or file.
    """
    data = {name: str(value) if isinstance(value, Path) else value for name, value in params.items()}
    return Corpus(use, open_corpus(Catalog(), use, None if root is None else str(root), data))
