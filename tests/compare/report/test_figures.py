"""What figures are drawn from, and that they can be read."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sere_core.compare.report.figures import FILL, Sample, agreements, history, over_runs, pooled
from sere_core.compare.report.html import TEMPLATE
from sere_core.compare.report.studio import COLOURS, Studio, slug


def colours() -> dict[str, dict[str, str]]:
    """The page's variables, light and dark."""
    blocks = re.findall(r":root \{(.*?)\}", (TEMPLATE / "style.css").read_text(encoding="utf-8"), flags=re.DOTALL)
    light, dark = (dict(re.findall(r"--(\w+): (#\w+)", block)) for block in blocks)
    return {"light": light, "dark": dark}


def channels(colour: str) -> np.ndarray[Any, Any]:
    return np.array([int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)])


def contrast(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    """WCAG 2.2, "contrast ratio"."""
    light = [float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722)) + 0.05 for c in (one, other)]
    return max(light) / min(light)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out(scheme: str) -> None:
    page = {name: channels(value) for name, value in colours()[scheme].items()}
    for text in ("ink", "quiet", "link", "good", "bad"):
        assert contrast(page[text], page["paper"]) >= 4.5 and contrast(page[text], page["soft"]) >= 4.5, text
    for colour in COLOURS:
        assert contrast(channels(colour), page["paper"]) >= 3, colour
    filled = FILL * channels(COLOURS[0]) + (1 - FILL) * page["paper"]
    assert contrast(page["ink"], filled) >= 4.5


def test_colours_of_the_palette_are_told_apart_without_red_or_green() -> None:
    """Colours projected on what a dichromat sees (Viénot, Brettel and Mollon 1999) stay apart, at least those of the first four lines."""
    to_cones = np.array([[17.8824, 43.5161, 4.11935], [3.45565, 27.1554, 3.86714], [0.0299566, 0.184309, 1.46709]])
    protan = np.array([[0, 2.02344, -2.52581], [0, 1, 0], [0, 0, 1]])
    deutan = np.array([[1, 0, 0], [0.494207, 0, 1.24827], [0, 0, 1]])
    linear = np.array([channels(colour) ** 2.2 for colour in COLOURS[:4]])
    for kind in (protan, deutan):
        seen = np.clip(linear @ to_cones.T @ kind.T @ np.linalg.inv(to_cones).T, 0, 1) ** (1 / 2.2)
        apart = [np.abs(seen[i] - seen[j]).max() for i in range(4) for j in range(i)]
        assert min(apart) > 0.12


def test_confusions_are_pooled_over_pairs_with_other_classes() -> None:
    def facts(classes: tuple[str, ...], counts: list[list[int]]) -> Any:
        return SimpleNamespace(classes=classes, confusion=np.array([counts, counts]))

    runs = {("r", "p", 0): facts(("anger", "fear"), [[2, 1], [0, 3]]), ("r", "q", 0): facts(("anger", "sadness"), [[1, 0], [4, 5]])}
    classes, counts = pooled(SimpleNamespace(runs={**runs, ("other", "p", 0): facts(("joy",), [[9]])}), "r")  # type: ignore[arg-type]
    assert classes == ("anger", "fear", "sadness")
    assert counts.tolist() == [[6, 2, 0], [0, 6, 0], [8, 0, 10]]


def test_curves_put_stages_one_after_the_other() -> None:
    lines: list[dict[str, Any]] = [
        {"fold": fold, "stage": stage, "epoch": epoch, "losses": {term: float(10 * fold + epoch)}, "diagnostics": {}}
        for fold in (0, 1)
        for stage, term, epochs in (("source", "classify", 2), ("adapt", "pull", 3))
        for epoch in range(epochs)
    ]
    lines.append({"fold": 1, "stage": "adapt", "epoch": 3, "losses": {"pull": None}, "diagnostics": {}})
    found = history([lines, []])["losses"]
    ends = np.full(4, np.nan)
    for values, expected in zip(over_runs(found["classify"], 0, 100), ([5, 6, *ends], [0, 1, *ends], [10, 11, *ends]), strict=True):
        np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(over_runs(found["pull"])[0], [np.nan, np.nan, 5, 6, 7, np.nan])


def test_neighbours_agree_where_groups_lie_apart() -> None:
    draw = np.random.default_rng(0)
    emotion = np.repeat([0, 1], 30)
    initial = draw.normal(size=(60, 4))
    words = np.array(["a"] * 60)
    sample = Sample(initial, initial + 50 * emotion[:, None], words, words, np.tile(["s", "t"], 30), emotion)
    found = agreements(sample, ("anger", "fear"))
    before, after, chance = found["same emotion"]
    assert before < 0.7 and after == 1 and chance == pytest.approx(29 / 59)
    assert found["same language"] == (1, 1, 1) and found["fear: same emotion"][1] == 1


def test_a_drawing_takes_the_colours_of_the_page_and_the_file_keeps_its_own(tmp_path: Path) -> None:
    def paint(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.set_title("$5 < $6 & more")
        axes.grid()

    picture = Studio(tmp_path).draw("two", (3, 2), paint, 'of "quotes" & <angles> \\1')
    assert "currentColor" in picture.markup and "var(--line)" in picture.markup and "#1d222b" not in picture.markup
    assert "$5 &lt; $6 &amp; more" in picture.markup and 'aria-label="of &#34;quotes&#34; &amp; &lt;angles&gt; \\1"' in picture.markup
    file = (tmp_path / "two.svg").read_text()
    assert "#1d222b" in file and "currentColor" not in file and (tmp_path / "two.png").read_bytes().startswith(b"\x89PNG")
    assert slug("a>b") != slug("a<b") and slug("../../etc").startswith("etc-")
