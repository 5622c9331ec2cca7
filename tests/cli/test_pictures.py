"""`sere resonance` and `sere embeddings`: pictures of trained runs, and what they say where there is nothing to draw."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

import sere
from sere_core.cli import main, run_main
from sere_core.picture.embeddings import draw, flat, read_panel
from sere_core.picture.pair import Pair, Voice
from sere_core.picture.resonance import draw as draw_map
from sere_registry import Recording
from tests.end_to_end.conftest import TINY

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a config and its finished run."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "tiny.yaml").write_text(TINY)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_main(["tiny.yaml", "--quiet"]) == 0
        yield folder


@pytest.fixture
def call(trained: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    def told(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main([str(word) for word in words]), *capsys.readouterr()

    return told


def job(trained: Path) -> Path:
    """The first run's record: another test adds a run."""
    return min((trained / "runs").glob("*/done"), key=lambda path: path.stat().st_mtime).parent


def ids(trained: Path) -> tuple[str, str]:
    fold = json.loads((job(trained) / "folds.json").read_text())["folds"][1]
    return next(iter(fold["labelled"])), fold["test"][0]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_a_map_of_resonance(call: Call, trained: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"map{suffix}"
    code, out, err = call("resonance", "tiny.yaml", *ids(trained), "-o", path)
    assert (code, err) == (0, ""), err
    assert "S(a, b) = " in out and str(path) in out
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    if suffix == ".svg":
        text = data.decode()
        for word in ("log f0", "energy", "spectral tilt", "centroid", "bursts e", "labelled source", "test target", "fold 2, sere.irf"):
            assert word in text, word
        call("resonance", "tiny.yaml", *ids(trained), "-o", path)
        assert path.read_bytes() == data, "the same picture has the same bytes"


def test_the_map_opens_no_label_and_changes_no_record(call: Call, trained: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in job(trained).rglob("*") if path.is_file()}
    assert call("resonance", "tiny.yaml", *ids(trained), "--fold", "2", "-o", tmp_path / "map.png")[0] == 0
    assert {path: path.read_bytes() for path in job(trained).rglob("*") if path.is_file()} == before


def test_a_field_without_frames_has_no_map(call: Call, trained: Path, tmp_path: Path) -> None:
    change = ["--set", "resonance.use=mean", "--set", "train.epochs=1", "--set", "output.dir=switched-off"]
    assert run_main(["tiny.yaml", "--quiet", *change]) == 0
    code, _, err = call("resonance", "tiny.yaml", *ids(trained), *change, "-o", tmp_path / "map.png")
    assert code == 3 and "[B403] 'sere.mean' has no map of frames" in err, err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--set", "resonance.use=mean"), 1, ("[T505]", "train it: sere-run tiny.yaml --set resonance.use=mean")),
        (("--set", "resonance=null", "--set", "losses.adapt=null"), 2, ("[C311]", "no resonance field")),
        (("--fold", "7"), 2, ("[C302]", "trained folds: 1, 2")),
        (("-o", "map.jpeg"), 2, ("[C302]", "end it in .png, .svg, .pdf")),
    ],
)
def test_what_cannot_be_drawn(call: Call, trained: Path, words: tuple[str, ...], code: int, told: tuple[str, ...]) -> None:
    got, _, err = call("resonance", "tiny.yaml", *ids(trained), *words)
    assert got == code and all(word in err for word in told), err


def test_unknown_ids_are_all_told_with_a_suggestion(call: Call, trained: Path) -> None:
    known, _ = ids(trained)
    code, _, err = call("resonance", "tiny.yaml", known + "x", "nothing")
    assert code == 2 and f"did you mean '{known}'" in err and err.count("[C302]") == 2 and "'nothing'" in err


def test_an_unfinished_run_is_told_how_to_go_on(call: Call, trained: Path) -> None:
    whole = (job(trained) / "embeddings").rename(job(trained) / "embeddings.away")
    try:
        code, _, err = call("resonance", "tiny.yaml", *ids(trained))
    finally:
        whole.rename(job(trained) / "embeddings")
    assert code == 1 and "finish it: sere-run tiny.yaml --resume" in err


# -- embeddings ------------------------------------------------------------------------------------------------------------


def test_panels_side_by_side(call: Call, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / "fig3.svg"
    code, out, err = call("embeddings", job(trained), f"the same again={job(trained)}", "-o", path)
    assert (code, err) == (0, "") and out.startswith("2 panels")
    text = path.read_text()
    for word in ("tiny", "the same again", "UAR", "anger", "sadness", "true emotions are sealed", "utterances (xa)"):
        assert word in text, word


@pytest.mark.parametrize("panels", [1, 2, 5])
def test_no_caption_is_cut(trained: Path, panels: int) -> None:
    """With many classes of long names, and a title that somebody took time for."""
    panel = read_panel(job(trained), 0)
    classes = [*panel.classes, *(f"a rather mixed feeling {number}" for number in range(9))]
    title = "a run of which its owner had much to say, and said it"
    figure = draw([replace(panel, classes=classes, title=title, subtitle=2 * f"{panel.subtitle}, ")] * panels)
    assert cut(figure) == []


def test_no_caption_of_a_map_is_cut() -> None:
    recording = Recording("a/folder/" + 9 * "very-long-", Path("x.wav"), "corpus", "xa", "")
    contours = {name: np.ones(40, np.float32) for name in ("f0", "periodicity", "rms", "mfcc2", "centroid")}
    times = np.arange(20, dtype=np.float32) / 25
    samples = np.sin(np.arange(12_800, dtype=np.float32))
    voice = Voice(recording, "test", samples, contours, 0.02, times, np.ones(20, np.float32))
    field = np.random.default_rng(0).random((20, 20)).astype(np.float32)
    pair = Pair(voice, voice, field, field, np.full(20, 0.05, np.float32), 0.5, 0.25, True, 9 * "a long name ")
    figure = draw_map(pair)
    assert cut(figure) == []
    heads = [(text.get_text(), text.get_window_extent()) for text in figure.texts]
    assert len(heads) == 8 and [(one[0], other[0]) for one, other in combinations(heads, 2) if one[1].overlaps(other[1])] == []


def cut(figure: Figure) -> list[str]:
    """The texts that reach out of a figure."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in texts}
    width, height = figure.bbox.size
    return [text for text, box in boxes.items() if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1]


def test_a_panel_holds_predictions_and_the_labels_of_the_source(trained: Path) -> None:
    panel = read_panel(job(trained), 0)
    folds = json.loads((job(trained) / "folds.json").read_text())
    assert panel.scored == len(folds["folds"][0]["test"]) and len(panel.points) == panel.scored + 4
    assert set(panel.language[: panel.scored]) == {"xb"} and set(panel.language[panel.scored :]) == {"xa"}
    assert panel.emotion[panel.scored :].tolist() == list(folds["folds"][0]["labelled"].values())
    figure = draw([panel] * 5)
    assert sum(axes.axison for axes in figure.axes) == 5


def test_tsne_says_the_same_every_time_and_keeps_groups_apart() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], 15)
    points = random.normal(size=(45, 10)) + 12 * np.eye(10)[labels]
    places: Any = flat(points)
    assert np.array_equal(places, flat(points))
    centres = np.stack([places[labels == each].mean(axis=0) for each in range(3)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == labels).all()
    assert flat(points[:2]).shape == (2, 2) and flat(np.ones((12, 3))).tolist() == [[0, 0]] * 12


def test_the_only_record_in_a_folder_is_meant(call: Call, trained: Path, tmp_path: Path) -> None:
    record = job(trained)
    shutil.copytree(record, tmp_path / "runs" / record.name)
    code, _, err = call("embeddings", tmp_path / "runs", "-o", tmp_path / "x.png")
    assert (code, err) == (0, "") and sere.read_record(tmp_path / "runs").path == tmp_path / "runs" / record.name
    shutil.copytree(record, tmp_path / "runs" / "another")
    code, _, err = call("embeddings", tmp_path / "runs", "-o", tmp_path / "x.png")
    assert code == 1 and "[T505]" in err and str(tmp_path / "runs" / "another") in err


def test_what_is_no_record(call: Call, trained: Path, tmp_path: Path) -> None:
    code, _, err = call("embeddings", tmp_path, "-o", tmp_path / "x.png")
    assert code == 1 and "[T505]" in err and "holds no record" in err
    code, _, err = call("embeddings", job(trained), "--fold", "9")
    assert code == 1 and "folds that it has: 1, 2" in err
