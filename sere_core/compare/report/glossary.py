"""What a diagnostic says, in a sentence: the one that its component declares, or whose number it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sere_core.score.records import Record
from sere_registry.catalog import Catalog
from sere_registry.errors import SereError
from sere_registry.kinds import Kind

#: which kinds report numbers of themselves
_KINDS: tuple[Kind, ...] = ("loss", "dynamics", "resonance", "method")


@dataclass(frozen=True)
class Glossary:
    """Sentences by component id (`losses.adapt`, `dynamics`), and the components' names."""

    sentences: Mapping[str, Mapping[str, str]]
    names: Mapping[str, str]

    @classmethod
    def of(cls, record: Path | None) -> Glossary:
        """Of the components of a record; those that are not installed here have no sentences."""
        return cls.of_components(Record.read(record).manifest["components"] if record else [])

    @classmethod
    def of_components(cls, components: Sequence[Mapping[str, str]]) -> Glossary:
        """Of what a manifest lists."""
        catalog, sentences, names = Catalog(imports="own"), dict[str, Mapping[str, str]](), dict[str, str]()
        for each in components:
            for kind in _KINDS:
                if each["kind"] == kind:
                    names[each["id"]] = each["name"]
                    with suppress(SereError):
                        sentences[each["id"]] = catalog.find(kind, each["name"]).spec.diagnostics
        return cls(sentences, names)

    def sentence(self, name: str) -> str:
        """Of `adapt.similarity`, or `gate`; those of a loss begin with its id."""
        loss, dot, last = name.rpartition(".")
        own = f"losses.{loss}" if dot else ""
        order = [own] if own in self.names else [id for id in self.names if not id.startswith("losses.")]
        for id in order:
            if last in self.sentences.get(id, {}):
                return self.sentences[id][last]
        owner = self.names.get(own) or " or ".join(self.names[id] for id in order) or "the method"
        return f"A number that {owner} reports of itself after every epoch and says no more of."
