"""What tables, statistics and reports know of a run: facts taken from its record, and of a comparison: one run for each place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sere_core.compare.plan import ComparePlan
from sere_core.score.metrics import uar
from sere_registry.errors import Problem, SereError

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class RunFacts:
    """One finished run.

    Args:
        job, path: its record.
        classes: C names.
        protocol, selection, evidence: parts of the row's full name; see `sere_core.score.manifest`.
        conditions: of the run, flat, for the proof; see `sere_core.compare.proof`.
        digests: flat, e.g. {"folds": ..., "features.all": ..., "corpora.emodb": ..., "streams.labelled": ...}.
        confusion: `[F, C, C]` by fold; rows true, columns predicted.
        speakers: the S scored speakers, with `genders` ("female", "male" or None) and `speaker_folds` (the fold that scored each).
        by_speaker: `[S, C, C]`.  None of the four where the corpus does not know speakers: they are empty then.
        openings: how many target labels were opened, by opener.
        warnings: of the run.
        seconds: by phase.
        peak_mib: the most memory that the process held; None if unknown.
        parameters: how many numbers were trained; None if unknown.
    """

    job: str
    path: Path
    classes: tuple[str, ...]
    protocol: str
    selection: str
    evidence: str
    digests: Mapping[str, str]
    confusion: Counts
    conditions: Mapping[str, str] = field(default_factory=dict)
    speakers: tuple[str, ...] = ()
    genders: tuple[str | None, ...] = ()
    speaker_folds: tuple[int, ...] = ()
    by_speaker: Counts = field(default_factory=lambda: np.zeros((0, 0, 0), dtype=np.int64))
    openings: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    peak_mib: float | None = None
    parameters: int | None = None

    @cached_property
    def uar(self) -> float:
        """The mean over folds of the unweighted average recall, in [0, 1]."""
        return float(uar(self.confusion).mean())


@dataclass(frozen=True)
class Results:
    """A comparison's plan with what is there of its runs.

    Args:
        plan: what was to be run.
        runs: (row, pair, seed) -> facts; places without a finished record are missing.
        failures: (row, pair, seed) -> the one line of why.
        allowed: differences between records that were found and had been allowed by name, as lines.
        refused: all other differences, which forbid a table (T506).
        config: the reference row's resolved config, for "what was compared and how".
    """

    plan: ComparePlan
    runs: Mapping[tuple[str, str, int], RunFacts]
    failures: Mapping[tuple[str, str, int], str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    refused: tuple[Problem, ...] = ()
    config: Mapping[str, object] = field(default_factory=dict)

    @property
    def failure_lines(self) -> list[str]:
        """The failures with their places."""
        return [f"failed: {row} {pair} seed {seed}: {line}" for (row, pair, seed), line in self.failures.items()]

    def check(self) -> None:
        """May its rows share a table?

        Raises:
            SereError: T506 for every difference that nothing explains and that is not allowed by name.
        """
        if self.refused:
            raise SereError(*self.refused)
