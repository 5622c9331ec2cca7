"""Resonance maps of a comparison: drawn from a trained run, left out with a reason where they cannot be."""

from __future__ import annotations

from pathlib import Path

from sere_core.compare.jobs import run_job
from sere_core.compare.report.resonance import draw_resonance
from tests.compare.made_up import make_comparison
from tests.compare.tiny import COMPARISON, made


def test_the_reference_rows_field_is_drawn_once_and_what_cannot_be_drawn_is_said(home: Path) -> None:
    plan, folder = made(COMPARISON)
    ours = next(job.job for job in plan.jobs if job.row == "ours")
    said: list[str] = []
    assert draw_resonance(folder, 2, said.append, trust=False) == [], "nothing is trained"
    assert run_job(folder, ours).code == ""
    path, vector = draw_resonance(folder, 2, said.append, trust=False)
    assert path.parent == folder / "figures" and path.read_bytes().startswith(b"\x89PNG")
    assert vector == path.with_suffix(".svg") and "<svg " in vector.read_text()
    assert path.with_suffix(".txt").read_text().startswith("ours, xa>xb: ")
    assert draw_resonance(folder, 2, said.append, trust=False) == [] and said == [], "it is there already"
    make_comparison(home / "made-up", ("ours", "other"), ("aa>bb", "bb>aa"), (0,), reference="ours")
    assert draw_resonance(home / "made-up", 1, said.append, trust=False) == []
    assert len(said) == 1 and said[0].startswith("no resonance map of aa>bb: ")
