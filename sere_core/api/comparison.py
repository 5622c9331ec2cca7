"""A comparison as an object: run what is missing, prove the runs comparable, and make its tables and report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sere_core.api.record import Record, as_flags
from sere_core.tables import Table
from sere_registry import BuildContext
from sere_registry.errors import error, suggest
from sere_registry.protocols import Executor, completed

if TYPE_CHECKING:
    from sere_core.compare.reading import Results


@dataclass(frozen=True, repr=False)
class Comparison:
    """Rows x pairs x seeds under one harness; made by `compare` and `read_comparison`.

    Args:
        path: its folder.
        results: its plan, and what its records say.
    """

    path: Path
    results: Results

    def __repr__(self) -> str:
        return f"<Comparison {self.results.plan.name}: {len(self.results.runs)} of {len(self.results.plan.jobs)} runs, {self.path}>"

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables())

    @property
    def rows(self) -> tuple[str, ...]:
        return tuple(row.name for row in self.results.plan.rows)

    @property
    def failures(self) -> list[str]:
        """A line for each run that has no record, and why."""
        return self.results.failure_lines

    def table(self, shape: str = "main") -> Table:
        """A table; `print` shows it as a terminal does, a notebook as HTML.

        Args:
            shape: main, ablation, encoders, classes, measures, gender, cost or space.

        Raises:
            SereError: T506 if the runs are not comparable, T508 if they do not share a table, T505 if none is finished.
        """
        return self.tables(shape)[0]

    def tables(self, shape: str = "main") -> list[Table]:
        """The table of what was scored, and those of pairs whose target has no labels."""
        from sere_core.compare.label_free import tables
        from sere_core.compare.tables import SHAPES

        if shape not in SHAPES:
            raise error("C302", f"no table has the shape '{shape}'", f"shapes: {', '.join(SHAPES)}")
        self.results.check()
        if not self.results.runs:
            raise error("T505", f"no run of the comparison in {self.path} is finished", "; ".join(self.failures[:3]))
        return tables(self.results, shape)

    def records(self, row: str) -> dict[tuple[str, int], Record]:
        """The records of a row, by pair and seed; C308 for one that it has not."""
        if row not in self.rows:
            raise error("C308", f"no row is named '{row}'", suggest(row, self.rows, "rows"))
        return {(pair, seed): Record.read(run.path) for (name, pair, seed), run in self.results.runs.items() if name == row}

    def report(self) -> Path:
        """Write `report.html`, `figures/` and `tables/` into the folder; returns the page."""
        from sere_core.compare.report import write_report

        return write_report(self.path)


def compare(
    file: str | Path,
    *,
    sets: Mapping[str, object] | Sequence[str] = (),
    unsets: Sequence[str] = (),
    vary: Mapping[str, Sequence[object]] | Sequence[str] = (),
    rows: Sequence[str] = (),
    pairs: str | None = None,
    seeds: int | Sequence[int] | None = None,
    out: str | Path | None = None,
    jobs: int | None = None,
    executor: str | Mapping[str, object] | None = None,
    trust: bool = False,
    quiet: bool = False,
) -> Comparison:
    """Run what is missing of a comparison, and read it.

    Args:
        file: a comparison (YAML with `compare: NAME`), or a config to vary; or the name of one that comes with sere.
        sets, unsets: change the config of every run, as for `run`.
        vary: rows: a path and its values, `{"losses.adapt.use": ["tric", "coral"]}`.
        rows: run these only, each by its name or by a value of an axis.
        pairs: "de>it,it>de", or "all".
        seeds: how many, from 0, or which.
        out: its folder; default: runs/NAME.
        jobs: how many runs at a time on this machine; default: as many as there are cores.
        executor: who runs them, "dask" or `{"use": "dask", "params": {"address": "tcp://host:8786"}}`; default: the comparison's.
        trust: import `file:` components of outside the comparison's folder, too.
        quiet: print nothing and show no progress.

    Raises:
        SereError: every mistake in the comparison and its configs.  A run that fails is a line of `failures`.
    """
    from sere_core.compare.grammar import Flags
    from sere_core.compare.planning import plan_comparison
    from sere_core.compare.progress import JobProgress, run_missing
    from sere_core.config.yaml_text import flow
    from sere_core.console import Speaker

    if isinstance(vary, Mapping):
        vary = [f"{path}={','.join(map(flow, values))}" for path, values in vary.items()]
    listed = seeds if seeds is None or isinstance(seeds, int) else ",".join(map(str, seeds))
    flags = Flags(
        sets=as_flags(sets),
        unsets=unsets,
        vary=vary,
        rows=rows,
        pairs=pairs,
        seeds=None if listed is None else str(listed),
        out=None if out is None else str(out),
        executor=None if executor is None else flow(executor),
        jobs=jobs,
    )
    planned, speaker = plan_comparison(str(file), flags, trust=trust), Speaker(quiet)
    planned.write()
    speaker.warn(planned.warnings)
    missing = planned.plan.missing_jobs(planned.folder)
    if missing:
        started = completed(planned.executor.build(BuildContext("executor")), Executor)
        run_missing(planned, started, JobProgress(planned.plan, planned.folder, missing, started.workers, speaker), missing, speaker)
    found = read_comparison(planned.folder)
    speaker.warn(tuple(found.failures))
    return found


def read_comparison(path: str | os.PathLike[str]) -> Comparison:
    """A comparison that was run before, by its folder; nothing is trained.

    Raises:
        SereError: T505 if there is none.
    """
    from sere_core.compare.reading import read_results

    return Comparison(Path(path), read_results(Path(path)))
