"""A local folder of Hugging Face `datasets`: what `save_to_disk` wrote, Parquet files of a hub, or an audiofolder."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sere_plugins.corpora.audio_folder import AudioFolder
from sere_plugins.corpora.folder import describe
from sere_plugins.corpora.manifest import Manifest
from sere_plugins.corpora.rows import Row, RowCorpus, column_of, optional
from sere_plugins.specs.corpora import DatasetParams, FolderOfAudioParams, ManifestParams
from sere_registry.errors import Place, error, suggest
from sere_registry.files import corpora_folder, expanded, write_atomically
from sere_registry.protocols import BuildContext

if TYPE_CHECKING:
    import datasets

#: the metadata of an audiofolder
METADATA = ("metadata.csv", "metadata.jsonl")


class DatasetFolder(RowCorpus):
    """The rows of all splits, or of one.  Audio that the dataset holds is written to the cache as it is, not decoded."""

    def __init__(self, params: DatasetParams, context: BuildContext) -> None:
        super().__init__(params, context)
        self.root, self.split = expanded(params.root), params.split
        self.context = context
        self._plain: RowCorpus | None = None
        self.cache = (context.cache or corpora_folder()) / "datasets"

    @property
    def source(self) -> Path:
        return self.root

    def audio(self, row: Row) -> Path:
        return Path(row.text("path")) if self._plain is None else self._plain.audio(row)

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Write the audio that stands in the dataset and is not in the cache yet.

        Raises:
            SereError: X704 or X705 where the cache cannot be written.
        """
        utterances = self.readable()[0]
        wanted = {each.recording.path for each in utterances if not each.recording.path.is_file()}
        for path, content in self._audio() if wanted else ():
            if path in wanted and content is not None:
                write_atomically(path, content)
                wanted.remove(path)
                if progress is not None:
                    progress(len(utterances) - len(wanted), len(utterances))

    def rows(self) -> Iterable[Row]:
        self._plain = self._audiofolder()
        if self._plain is not None:
            yield from self._plain.rows()
            return
        for split, data, audio in self._splits():
            names = set(data.column_names) - {audio}
            wanted = ("emotion", "speaker", "language", "gender", "text", "id")
            read = {name: column for name in wanted if (column := column_of(name, self.columns, names, self.root))}
            table = data.remove_columns([audio])
            paths = [path for path, _ in self._files(split, data, audio, False)]
            for number, (values, path) in enumerate(zip(table, paths, strict=True)):
                cells = {name: _text(table.features[column], values[column]) for name, column in read.items()}
                cells["id"] = cells.get("id") or f"{split}/{number:06d}"
                yield Row(Place(str(self.root), path=cells["id"]), {**cells, "path": str(path)})

    def _audiofolder(self) -> RowCorpus | None:
        """An audiofolder is a manifest, or a folder whose subfolders are labels; None for a dataset in tables."""
        if not self.root.is_dir():
            raise error("D601", f"folder {self.root} does not exist")
        if self._saved or next(self.root.rglob("*.parquet"), None):
            return None
        kept = {"language": self.params.language, "labels": self.params.labels}
        for name in METADATA:
            if (self.root / name).is_file():
                columns = {"path": "file_name", **self.columns}
                return Manifest(
                    ManifestParams.model_validate({"file": self.root / name, "columns": columns, **kept}),
                    self.context,
                )
        if any(entry.is_dir() for entry in self.root.iterdir()):
            if not self.params.language:
                raise error(
                    "D610",
                    "nothing says which language is spoken",
                    "set params.language",
                    Place(str(self.root)),
                )
            return AudioFolder(
                FolderOfAudioParams.model_validate({"root": self.root, "emotion": "parent", **kept}),
                self.context,
            )
        hint = f"a folder that `save_to_disk` wrote, one of Parquet files, or an audiofolder; {describe(self.root)}"
        raise error("D602", f"{self.root} holds no dataset", hint)

    @property
    def _saved(self) -> bool:
        return any((self.root / name).is_file() for name in ("state.json", "dataset_dict.json"))

    def _splits(self) -> list[tuple[str, datasets.Dataset, str]]:
        """Name, data and the audio column of every split that is read; audio is not decoded."""
        library = optional("datasets", self.root)
        library.disable_progress_bars()
        root, cache = str(self.root), str(self.cache / "tables")
        try:
            data = library.load_from_disk(root) if self._saved else library.load_dataset(root, cache_dir=cache)
        except Exception as cause:  # whatever datasets and pyarrow raise
            line = " ".join(str(cause).split()) or type(cause).__name__
            raise error("D602", f"{self.root} is no dataset: {line}") from cause
        splits = dict(data) if isinstance(data, dict) else {"all": data}
        if self.split and self.split not in splits:
            raise error("D610", f"{self.root} has no split {self.split!r}", suggest(self.split, splits, "splits"))
        found = []
        for name, each in splits.items() if not self.split else [(self.split, splits[self.split])]:
            kinds = (key for key, kind in each.features.items() if isinstance(kind, library.Audio))
            audio = self.columns.get("path") or next(kinds, "")
            if audio not in each.features:
                raise error("D610", f"{self.root} has no column of audio", f"columns: {', '.join(each.column_names)}")
            found.append((name, each.cast_column(audio, library.Audio(decode=False)), audio))
        return found

    def _audio(self) -> Iterator[tuple[Path, bytes | None]]:
        for split, data, audio in self._splits():
            yield from self._files(split, data, audio, True)

    def _files(self, split: str, data: datasets.Dataset, audio: str, whole: bool) -> Iterator[tuple[Path, bytes | None]]:
        """The audio file of every row, beside the dataset or in the cache; if `whole`, with content held by the dataset."""
        stamp = [str(self.root.resolve())]
        for path in sorted(self.root.rglob("*")):
            about = path.stat()  # the time of change cannot be set by those who copy
            stamp.append(f"{path.relative_to(self.root)} {about.st_size} {about.st_mtime_ns} {about.st_ctime_ns} {about.st_ino}")
        folder = self.cache / hashlib.sha256("\n".join(stamp).encode()).hexdigest()[:16] / split
        number = 0
        # Arrow: the bytes are copied only where they are wanted
        for batch in data.select_columns([audio]).with_format("arrow").iter(256):
            held = batch[audio].combine_chunks()
            for path, content in zip(held.field("path").to_pylist(), held.field("bytes"), strict=True):
                place = folder / f"{number:06d}" if content.is_valid else self.root / (path or "")
                yield place, content.as_py() if whole else None
                number += 1


def _text(feature: object, value: object) -> str:
    """A cell as text; classes by their names, -1 for none."""
    names = getattr(feature, "names", None)
    if names is not None and isinstance(value, int):
        return str(names[value]) if value >= 0 else ""
    return "" if value is None else str(value).strip()
