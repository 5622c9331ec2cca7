"""Resonance maps of a comparison's reference row; unlike the rest of a report they need the audio."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from sere_core.compare.plan import ComparePlan, is_done, job_file, record_of
from sere_core.console import Speaker
from sere_core.picture.files import save
from sere_core.picture.pair import look, trained_folds
from sere_core.picture.resonance import draw
from sere_core.plan import make_plan, recorded
from sere_registry.errors import SereError
from sere_registry.files import write_atomically


def draw_resonance(folder: Path, count: int, say: Callable[[str], None], trust: bool) -> list[Path]:
    """Draw the reference row's field where it is missing, in the first `count` pairs: first seed, last trained fold.

    The first labelled utterance of S_l meets the first scored one of T_e, by id; `say` gets why one is missing, `trust` is as in
    `sere_core.plan.recorded`.
    """
    plan, written = ComparePlan.read(folder), []
    for pair in plan.pairs[:count]:
        path = folder / "figures" / f"resonance-{re.sub('[^A-Za-z0-9_]+', '-', pair)}.png"
        job = next((job.job for job in plan.jobs if (job.row, job.pair) == (plan.reference, pair)), "")
        forms = (path, path.with_suffix(".svg"))
        if not is_done(folder, job) or all(each.exists() for each in forms):
            continue
        config = job_file(folder, job)
        try:
            resolved = recorded(config.parent, trust, file=config.name)
            planned = make_plan(resolved)
            record = record_of(folder, job)
            fold = planned.task.folds[max(trained_folds(record, resolved, planned, ["sere-run", str(config)]))]
            a, b = (min(stream, key=lambda recording: recording.id) for stream in (fold.labelled, fold.test))
            (seen,) = look(record, resolved, planned, fold, [[("labelled", a), ("test", b)]], Speaker(quiet=True))
        except SereError as cause:
            say(f"no resonance map of {pair}: {cause.problems[0].message}")
            continue
        words = f"{plan.reference}, {pair}: {seen.a.recording.id} of S_l, aligned with {seen.b.recording.id} of T_e; "
        words += f"S(a, b) = {seen.similarity:.3f}, S(b, a) = {seen.back:.3f}\n"
        write_atomically(path.with_suffix(".txt"), words.encode())
        figure = draw(seen)
        for each in forms:
            save(figure, each)
            written.append(each)
    return written
