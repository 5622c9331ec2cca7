"""Equal methods differ in nothing, and planted effects are found in their direction."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sere_core.cli import main
from sere_core.compare.reading import Results, read_results
from sere_core.compare.stats.summary import verdicts

Compare = Callable[[str], tuple[int, Results, str]]

HEAD = """\
sere: 1
compare: controls
base: base.yaml
pairs: [xa>xb, xb>xa]
"""

TWINS = """\
seeds: 3
rows:
  tric: {}
  copy: {losses: {adapt: {use: 'file:./tric_copy.py:COPY'}}}
reference: tric
"""

EFFECTS = """\
seeds: 5
set:
  corpora:
    xa: {params: {speakers: 4, per_class: 4}}
    xb: {params: {speakers: 4, per_class: 4}}
  task: {shots: 4}
  losses: null
rows:
  noisy: {method: {use: 'file:./planted.py:METHOD'}}
  sighted: {method: {use: 'file:./planted.py:METHOD', params: {dims: signal}}}
  blind: {method: {use: 'file:./planted.py:METHOD', params: {dims: noise}}}
reference: noisy
"""


@pytest.fixture
def compare(here: Path, capsys: pytest.CaptureFixture[str]) -> Compare:
    """`compare(TEXT)` runs `sere compare` in this process: exit code, results, stderr."""
    shutil.copyfile(Path(__file__).with_name("planted.py"), here / "planted.py")

    def call(text: str) -> tuple[int, Results, str]:
        (here / "comparison.yaml").write_text(HEAD + text)
        code = main(["compare", "comparison.yaml", "--yes"])
        return code, read_results(here / "runs" / "controls"), capsys.readouterr().err

    return call


@pytest.fixture(autouse=True)
def fresh_import() -> Iterator[None]:
    """A file's module is known by its path, and each test has its own."""
    yield
    for name in [name for name in sys.modules if name.startswith(("sere_local_planted_", "sere_local_tric_copy_"))]:
        del sys.modules[name]


def test_a_method_and_its_copy_differ_in_nothing(compare: Compare, home: Path) -> None:
    from sere_plugins.losses import tric

    spec = 'COPY = ComponentSpec(kind="loss", name="copy", factory=f"{__name__}:Tric", params=TricParams, summary="TRIC, copied")\n'
    source = Path(tric.__file__).read_text(encoding="utf-8")
    (home / "tric_copy.py").write_text(f"{source}\n\nfrom sere_registry import ComponentSpec\n\n{spec}", encoding="utf-8")
    code, results, err = compare(TWINS)
    assert code == 0, err
    for pair in results.plan.pairs:
        for seed in results.plan.seeds:
            one, other = (results.runs[row, pair, seed] for row in ("tric", "copy"))
            assert one.job != other.job, "two runs, not one record twice"
            assert (one.path / "predictions.csv").read_bytes() == (other.path / "predictions.csv").read_bytes()
    (verdict,) = verdicts(results)
    assert verdict.shown == "no difference shown"
    assert (verdict.difference, verdict.p, verdict.p_holm, verdict.p_pairs, verdict.interval) == (0, 1, 1, 1, None)
    assert (verdict.wins, verdict.ties, verdict.losses) == (0, 6, 0)


@pytest.mark.slow
def test_planted_effects_are_found_in_their_direction(compare: Compare) -> None:
    code, results, err = compare(EFFECTS)
    assert code == 0, err
    assert [(verdict.row, verdict.shown) for verdict in verdicts(results)] == [("sighted", "better"), ("blind", "worse")]
    for sign, verdict in zip((1, -1), verdicts(results), strict=True):
        assert verdict.difference is not None and sign * verdict.difference > 0.05 and verdict.p_holm < 0.05
        assert verdict.interval is not None and min(sign * verdict.interval.low, sign * verdict.interval.high) > 0
