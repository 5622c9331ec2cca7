"""A database in audformat: tables of files or segments, whose columns are emotions, speakers and more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sere_plugins.corpora.folder import few
from sere_plugins.corpora.rows import Row, RowCorpus, column_of, optional
from sere_plugins.specs.corpora import AudformatParams
from sere_registry.errors import Place, error, suggest
from sere_registry.files import expanded
from sere_registry.protocols import BuildContext

if TYPE_CHECKING:
    import audformat
    import pandas


class AudformatDatabase(RowCorpus):
    """The rows of one table; the rest is looked up in the tables of files, and in what they say of speakers."""

    def __init__(self, params: AudformatParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.root, self.table = expanded(params.root), params.table

    @property
    def source(self) -> Path:
        return self.root / "db.yaml"

    def rows(self) -> Iterable[Row]:
        if not self.source.is_file():
            what = f"there is no db.yaml in {self.root}" if self.root.is_dir() else f"folder {self.root} does not exist"
            raise error(
                "D602" if self.root.is_dir() else "D601",
                what,
                "params.root is the folder that holds an audformat database",
            )
        library = optional("audformat", self.root)
        try:
            database = library.Database.load(str(self.root))
            by_file = _by_file(database)
        except Exception as cause:  # whatever audformat and pandas raise
            raise error("D610", f"not an audformat database: {cause}", place=Place(str(self.source))) from cause
        table = self._table(database)
        frame = None if table is None else table.get()
        columns = {*by_file, *(() if frame is None else frame.columns)}
        wanted = ("emotion", "speaker", "gender", "text")
        read = {name: column_of(name, self.columns, columns, self.source) for name in wanted}
        language = "" if self.params.language or len(database.languages) != 1 else str(database.languages[0])
        for position, key in enumerate(database.files if frame is None else frame.index):
            file, *span = key if isinstance(key, tuple) else (key,)
            values = {"path": str(file), "language": language, **_span(span)}
            for name, column in read.items():
                if frame is not None and column in frame.columns:
                    values[name] = _text(frame[column].iloc[position])
                else:
                    values[name] = _text(by_file.get(column, {}).get(file))
            yield Row(Place(str(self.source), path=str(file)), values)

    def _table(self, database: audformat.Database) -> audformat.Table | None:
        """The table whose rows are the utterances; None where no table holds emotions: every file is one, then."""
        if self.table:
            if self.table not in database.tables:
                hint = suggest(self.table, database.tables, "tables")
                raise error("D610", f"no table {self.table!r}", hint, Place(str(self.source)))
            return database.tables[self.table]
        column = self.columns.get("emotion", "emotion")
        having = [name for name, table in database.tables.items() if column in table.columns]
        if len(having) > 1 and "emotion" not in having:
            raise error(
                "D610",
                f"{len(having)} tables have a column {column!r}: {few(having)}",
                "name one: params.table",
                Place(str(self.source)),
            )
        name = "emotion" if "emotion" in having else next(iter(having), None)
        return None if name is None else database.tables[name]


def _by_file(database: audformat.Database) -> dict[str, Mapping[str, object]]:
    """Column -> file -> value, of the tables of whole files; with what the database says of speakers."""
    found: dict[str, Mapping[str, object]] = {}
    for table in database.tables.values():
        for name, column in table.columns.items() if table.is_filewise else ():
            found.setdefault(name, _by_name(column.get()))
            scheme = database.schemes.get(column.scheme_id)
            if name == "speaker" and scheme is not None and scheme.uses_table:
                for more in database.misc_tables[scheme.labels].columns:
                    found.setdefault(more, _by_name(column.get(map=more)))
    return found


def _by_name(series: pandas.Series) -> dict[str, object]:
    return dict(zip(map(str, series.index), series.tolist(), strict=True))


def _text(value: object) -> str:
    """ "" for what pandas has no value for: None, NaN and NA equal nothing, themselves included."""
    return "" if value is None or not isinstance(value == value, bool) or value != value else str(value).strip()


def _span(span: list[pandas.Timedelta]) -> dict[str, str]:
    """Start and end of a segment in seconds; neither for one that is the whole file."""
    if not span:
        return {}
    start, end = (None if each != each else each.total_seconds() for each in span)
    return {
        "start": "" if not start and end is None else f"{start:g}",
        "end": "" if end is None else f"{end:g}",
    }
