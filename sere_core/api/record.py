"""The record of a run as an object: its scores, predictions and pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from sere_core.config import load
from sere_core.config.yaml_text import flow
from sere_core.score import records
from sere_core.score.records import Prediction
from sere_core.tables import Cell, Column, Line, Table
from sere_registry.errors import error

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from sere_core.model import Model

#: as in `sklearn.metrics.confusion_matrix`
Normalize = Literal["true", "pred", "all"] | None


class Predictions(tuple[Prediction, ...]):
    """Rows of `predictions.csv`; a notebook shows them as a table."""

    def table(self, most: int = 50) -> Table:
        """The first rows."""
        shown = [(each.id, str(each.fold + 1), each.truth, each.prediction, f"{each.confidence:.2f}") for each in self[:most]]
        more = (f"{len(self) - most} more are not shown",) if len(self) > most else ()
        columns = (Column("utterance", text=True), Column("fold"), Column("truth", text=True), Column("prediction", text=True))
        lines = tuple(Line(tuple(map(Cell, words))) for words in shown)
        return Table("predictions", f"{len(self)} utterances", (*columns, Column("confidence")), (lines,), more)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Record(records.Record):
    """A finished run; made by `run` and `read_record`.

    `scores`, `config`, `manifest`, `folds` and `history` are the record's files of these names, `path` is its folder.
    """

    def __repr__(self) -> str:
        score = "nothing scored" if self.uar is None else f"UAR {100 * self.uar:.1f} %"
        return f"<Record {self.manifest['name']}: {score}, {self.manifest['protocol']}, {self.path}>"

    def _repr_html_(self) -> str:
        from html import escape

        title = f"<p><strong>{escape(self.manifest['name'])}</strong> {escape(self.manifest['protocol'])}</p>"
        return title + "".join(table._repr_html_() for table in self.tables())

    @property
    def scored(self) -> bool:
        """Had the target any labels to score with?"""
        return bool(self.scores.get("scored", True))

    @property
    def classes(self) -> tuple[str, ...]:
        """The emotions, in the order of posteriors and of the confusion matrix."""
        return tuple(self.scores["classes"])

    @property
    def uar(self) -> float | None:
        """Unweighted average recall, 0 to 1: the mean over folds; None where nothing was scored."""
        return self._mean("uar")

    @property
    def war(self) -> float | None:
        """Accuracy, 0 to 1: the mean over folds; None where nothing was scored."""
        return self._mean("war")

    @property
    def macro_f1(self) -> float | None:
        """The mean over folds; None where nothing was scored."""
        return self._mean("f1")

    @property
    def y_true(self) -> list[str]:
        """The labels of the scored utterances, in the order of `predictions.csv`."""
        return [each.truth for each in self._labelled()]

    @property
    def y_pred(self) -> list[str]:
        """The predictions for the scored utterances."""
        return [each.prediction for each in self._labelled()]

    @property
    def y_prob(self) -> NDArray[np.float64]:
        """The posteriors of the scored utterances, `[n, C]`."""
        import numpy as np

        return np.array([each.posteriors for each in self._labelled()], dtype=np.float64)

    def confusion(self, normalize: Normalize = None) -> NDArray[np.float64]:
        """The confusion matrix over all folds, `[C, C]`: rows true, columns predicted.

        Args:
            normalize: None for counts; "true", "pred" or "all" for shares of rows, of columns, or of everything.

        Raises:
            SereError: T505 where nothing was scored, C302 for another word.
        """
        import numpy as np

        self._need_labels()
        if normalize not in (None, "true", "pred", "all"):
            raise error("C302", f"normalize is None, true, pred or all, not {normalize!r}")
        counts = np.array(self.scores["pooled"]["confusion"], dtype=np.float64)
        if normalize is None:
            return counts
        axis = {"true": 1, "pred": 0, "all": None}[normalize]
        return np.asarray(counts / np.maximum(counts.sum(axis=axis, keepdims=True), 1))

    def misclassified(self) -> Predictions:
        """The scored utterances that were predicted wrongly, the most confident first.

        Raises:
            SereError: T505 where nothing was scored.
        """
        self._need_labels()
        wrong = [each for each in self._labelled() if each.prediction != each.truth]
        return Predictions(sorted(wrong, key=lambda each: (-each.confidence, each.id)))

    def tables(self) -> list[Table]:
        """Scores, confidence, coverage and confusion; of a target without labels, what the posteriors say of themselves."""
        from sere_core.score import table

        return table.tables(self)

    def plot_confusion(self, *, normalize: Normalize = "true", ax: Axes | None = None) -> Axes:
        """Draw the confusion matrix, of shares in percent or of counts."""
        from sere_core.picture.record import draw_confusion

        return draw_confusion(ax or _axes(), self.confusion(normalize), self.classes, normalize is not None)

    def plot_history(self, *names: str, ax: Axes | None = None) -> Axes:
        """Draw losses or diagnostics over the epochs: the mean over folds, and the range of the folds.

        Args:
            names: as in `history.jsonl`; default: all losses.
            ax: where; default: a new figure.

        Raises:
            SereError: C302 for a name that the history does not hold.
        """
        from sere_core.picture.record import draw_history

        return draw_history(ax or _axes(), self.history, names)

    def plot_calibration(self, *, ax: Axes | None = None) -> Axes:
        """Draw how often predictions are right, by their confidence (a reliability diagram).

        Raises:
            SereError: T505 where nothing was scored.
        """
        from sere_core.picture.record import draw_calibration
        from sere_core.score.calibration import reliability

        self._need_labels()
        labels = [self.classes.index(label) for label in self.y_true]
        return draw_calibration(ax or _axes(), reliability(self.y_prob, labels, bins=10))

    def report(self, output: str | Path | None = None, *, trust: bool = False) -> Path:
        """Write the run's report, one page of HTML, into the record's folder or to `output`; returns where it is.

        Without `trust` nothing is imported that does not come with sere; maps that need it are left out.
        """
        from sere_core.compare.report.run_page import write_run_report

        return write_run_report(self.path, None if output is None else Path(output), trust=trust)[0]

    def export(self, path: str | Path, *, fold: int | None = None, trust: bool = False, quiet: bool = False) -> Model:
        """Write the folder of a model, as `sere export` does, and load it.

        Args:
            path: the folder.
            fold: the network of this fold, counted from 1; default: one that is trained on everything.
            trust: may what the record names be imported, beside what comes with sere?
            quiet: print nothing and show no progress.

        Raises:
            SereError: C311 for a record that was trained on target labels, T505 for a fold that is not there, X704.
        """
        from sere_core.console import Speaker
        from sere_core.model import Model
        from sere_core.model.export import of_fold, of_record

        if fold is None:
            of_record(self, Path(path), trust, quiet=quiet)
        else:
            of_fold(self, fold - 1, Path(path), Speaker(quiet), trust)
        return Model.load(path)

    def _mean(self, name: str) -> float | None:
        return self.scores["mean"][name] if self.scored else None

    def _labelled(self) -> Iterable[Prediction]:
        return [each for each in self.predictions if each.truth]

    def _need_labels(self) -> None:
        if not self.scored:
            hint = "predictions and tables() hold what can be said without labels"
            raise error("T505", f"nothing was scored in {self.path}: its target has no labels", hint)


def run(
    config: str | Path | Mapping[str, object],
    *,
    sets: Mapping[str, object] | Sequence[str] = (),
    unsets: Sequence[str] = (),
    seed: int | None = None,
    resume: bool = False,
    fresh: bool = False,
    trust: bool = False,
    quiet: bool = False,
) -> Record:
    """Train, score and record; or, if this very run is done already, read its record.

    Args:
        config: a YAML file, the name of a config that comes with sere, or a config as a dict.
        sets: values to change, `{"train.epochs": 5}`, or `["train.epochs=5"]` as on the command line.
        unsets: paths to remove.
        seed: replaces the config's.
        resume: go on with an unfinished run.
        fresh: throw an unfinished or finished run away and begin again.
        trust: import `file:` components of outside the config's folder, too.
        quiet: print nothing and show no progress.

    Raises:
        SereError: every mistake in the config, or whatever went wrong in the run.
    """
    from sere_core.console import Speaker
    from sere_core.plan import to_start
    from sere_core.run import obtain

    read = partial(load, config, sets=as_flags(sets), unsets=unsets, seed=seed)
    resolved = to_start(read(), trust, lambda catalog: read(catalog=catalog))
    speaker = Speaker(quiet)
    speaker.warn(tuple(map(str, resolved.warnings)))
    found, _ = obtain(resolved, speaker, resume=resume, fresh=fresh)
    return Record(found.path, found.config, found.manifest, found.folds, found.scores)


def read_record(path: str | os.PathLike[str]) -> Record:
    """A finished run's record, checked against its `done`; nothing is trained.

    Raises:
        SereError: T505 if the run is not finished, or a file is missing, damaged or was changed.
    """
    return Record.read(Path(path))


def as_flags(sets: Mapping[str, object] | Sequence[str]) -> list[str]:
    """Changes as the command line writes them.

    >>> as_flags({"train.epochs": 5, "losses.adapt": None})
    ['train.epochs=5', 'losses.adapt=null']
    """
    return [f"{path}={flow(value)}" for path, value in sets.items()] if isinstance(sets, Mapping) else list(sets)


def _axes() -> Axes:
    from matplotlib import pyplot

    axes: Axes = pyplot.subplots(layout="constrained")[1]
    return axes
