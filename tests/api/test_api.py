"""The package `sere`: what its functions return is what the commands compute, and shows itself in a notebook."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
import yaml
from sklearn.metrics import confusion_matrix, recall_score

import sere
from sere_core.cli import main, run_main
from sere_core.score.calibration import reliability


def codes(caught: pytest.ExceptionInfo[sere.SereError]) -> list[str]:
    return [problem.code for problem in caught.value.problems]


def test_every_name_is_there() -> None:
    assert {name for name in sere.__all__ if getattr(sere, name) is None} == set()
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        sere.nothing_of_the_kind  # noqa: B018


def test_a_run_is_that_of_the_command(record: sere.Record, config: dict[str, object], tmp_path: Path) -> None:
    file = tmp_path / "same.yaml"
    file.write_text(yaml.safe_dump({**config, "output": {"dir": str(tmp_path / "runs")}}))
    assert run_main([str(file), "--quiet"]) == 0
    other = sere.read_record(next((tmp_path / "runs").glob("*/done")).parent)
    for name in ("scores.json", "predictions.csv", "folds.json"):
        assert (record.path / name).read_bytes() == (other.path / name).read_bytes()


def test_a_run_that_is_done_is_read_and_not_trained_again(record: sere.Record, config: dict[str, object]) -> None:
    before = (record.path / "done").stat().st_mtime_ns
    assert sere.run(config, quiet=True).path == record.path
    assert (record.path / "done").stat().st_mtime_ns == before
    again = sere.run(config, sets={"train.epochs": 2}, seed=1, quiet=True)
    assert again.config["train"]["epochs"] == 2 and again.config["seed"] == 1 and again.path != record.path


def test_torch_has_as_many_threads_after_a_run_as_before(config: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sere_registry.settings._of_libraries", lambda *_: ())  # as in a process that has not imported torch before
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        sere.run(config, sets={"train.threads": 2}, seed=2, quiet=True)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_scores_are_those_that_scikit_learn_computes(record: sere.Record) -> None:
    expected = confusion_matrix(record.y_true, record.y_pred, labels=list(record.classes))
    assert np.array_equal(record.confusion(), expected)
    with pytest.raises(sere.SereError, match="C302"):
        record.confusion("x")
    for way in ("true", "pred", "all"):
        shares = confusion_matrix(record.y_true, record.y_pred, labels=list(record.classes), normalize=way)
        assert np.allclose(record.confusion(way), shares)
    folds = {each.fold for each in record.predictions}
    by_fold = [[each for each in record.predictions if each.fold == fold] for fold in folds]
    uars = [recall_score([e.truth for e in rows], [e.prediction for e in rows], average="macro") for rows in by_fold]
    assert record.uar == pytest.approx(np.mean(uars))
    assert record.war == record.scores["mean"]["war"] and record.macro_f1 == record.scores["mean"]["f1"]
    assert record.y_prob.shape == (len(record.y_true), len(record.classes))


def test_misclassified_utterances_come_with_the_most_confident_first(record: sere.Record) -> None:
    wrong = record.misclassified()
    assert len(wrong) == record.confusion().sum() - np.trace(record.confusion()) > 0
    assert all(each.truth != each.prediction for each in wrong)
    confidences = [each.confidence for each in wrong]
    assert confidences == sorted(confidences, reverse=True)
    assert wrong[0].id in wrong._repr_html_()


def test_pictures_show_the_numbers(record: sere.Record) -> None:
    shown = [text.get_text() for text in record.plot_confusion(normalize=None).texts]
    assert shown == [f"{value:.0f}" for value in record.confusion().flat]
    drawn = {line.get_label() for line in record.plot_history().lines}
    assert drawn == set(record.history[0]["losses"])
    name = next(iter(record.history[0]["diagnostics"]))
    (line,) = record.plot_history(name).lines
    firsts = [each["diagnostics"][name] for each in record.history if each["epoch"] == 0]
    assert line.get_ydata()[0] == pytest.approx(np.mean(firsts))
    found = reliability(record.y_prob, [record.classes.index(label) for label in record.y_true], bins=10)
    axes = record.plot_calibration()
    assert sorted(bar.get_height() for bar in axes.patches) == pytest.approx(sorted(found.accuracy[found.count > 0]))
    assert record.plot_history(ax=axes) is axes
    with pytest.raises(sere.SereError) as caught:
        record.plot_history("no such loss")
    assert codes(caught) == ["C302"]


def test_a_record_shows_itself(record: sere.Record, home: Path) -> None:
    written = record.report(home / "page.html")
    assert written == home / "page.html" and record.manifest["job"] in written.read_text(encoding="utf-8")
    assert f"{100 * (record.uar or 0):.1f}" in repr(record)
    page = record._repr_html_()
    assert page.count("<table>") == page.count("</table>") == len(record.tables())
    assert not re.findall(r"<(?!/?(?:table|caption|thead|tbody|tr|th|td|ul|li|p|strong|u|small)\b)", page)


def test_a_target_without_labels_has_predictions_but_no_scores(config: dict[str, object], home: Path) -> None:
    corpus = sere.load_corpus("synthetic", language="xb", speakers=3, per_class=2, emotions=["anger", "sadness"], seconds=0.4)
    corpus.prepare()
    manifest = home / "target.csv"
    rows = [f"{each.recording.path},{each.speaker}" for each in corpus]
    manifest.write_text("\n".join(["path,speaker", *rows]))
    target = {"use": "manifest", "params": {"file": str(manifest), "language": "xb"}}
    silent = sere.run(config, sets={"corpora.xb": target, "task.classes": ["anger", "sadness"]}, quiet=True)
    assert not silent.scored and silent.uar is None and len(silent.predictions) == len(corpus)
    assert silent.y_true == [] and "nothing scored" in repr(silent) and "<table>" in silent._repr_html_()
    for ask in (silent.confusion, silent.misclassified, silent.plot_confusion, silent.plot_calibration):
        with pytest.raises(sere.SereError) as caught:
            ask()
        assert codes(caught) == ["T505"]


def test_a_config_of_plain_data_is_checked_as_a_file_is(config: dict[str, object]) -> None:
    with pytest.raises(sere.SereError) as caught:
        sere.run({**config, "losses": {"adapt": {"use": "trik"}}, "trainn": {}})
    assert sorted(codes(caught)) == ["C302", "R201"]
    with pytest.raises(sere.SereError) as caught:
        sere.run("no/such/file.yaml")
    assert codes(caught) == ["C304"]


def test_a_corpus_is_a_sequence_with_a_table() -> None:
    corpus = sere.load_corpus("synthetic", language="xc", speakers=2, per_class=1, emotions=["anger", "fear"])
    assert len(corpus) == 4 and corpus.emotions == {"anger": 2, "fear": 2} and len(corpus.speakers) == 2
    assert corpus.languages == ("xc",) and corpus[0].emotion in corpus.emotions and len(corpus[1:]) == 3
    total = next(reversed(list(corpus.table().lines)))
    assert [cell.text for cell in total.cells] == ["all", "2", "2", "4"]
    corpus.prepare()
    assert corpus.check().utterances == 4 and not corpus.check().unusable
    assert all(Path(each.recording.path).is_file() for each in corpus)


@pytest.mark.parametrize(
    ("use", "root", "params", "code"),
    [
        ("nothing", None, {}, "R201"),
        ("emodb", None, {}, "C302"),
        ("emodb", "no such folder", {}, "D601"),
        ("synthetic", "a folder", {}, "C302"),
        ("synthetic", None, {"language": "klingon"}, "C302"),
    ],
)
def test_a_wrong_corpus_is_a_coded_line(use: str, root: str | None, params: dict[str, object], code: str) -> None:
    with pytest.raises(sere.SereError) as caught:
        sere.load_corpus(use, root, **params)
    assert codes(caught) == [code]


def test_a_model_predicts(record: sere.Record, home: Path) -> None:
    exported = record.export(home / "model", fold=1, quiet=True)
    model = sere.load_model(home / "model")
    assert main(["export", str(record.path), "--fold", "1", "-o", str(home / "same"), "--quiet"]) == 0
    assert (home / "model" / "weights.safetensors").read_bytes() == (home / "same" / "weights.safetensors").read_bytes()
    assert exported.classes == model.classes
    assert isinstance(model, sere.Model) and model.classes == record.classes
    corpus = sere.load_corpus("synthetic", language="xb", speakers=3, per_class=2, emotions=["anger", "sadness"], seconds=0.4)
    found = model.predict(*soundfile.read(corpus[0].recording.path))
    assert found.label == max(found.posteriors, key=found.posteriors.__getitem__)
    assert sum(found.posteriors.values()) == pytest.approx(1) and isinstance(found, sere.Prediction)
    with pytest.raises(sere.SereError) as caught:
        sere.load_model(record.path)
    assert codes(caught) == ["T505"]


def test_a_comparison_is_that_of_the_command(config: dict[str, object], home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "base.yaml").write_text(yaml.safe_dump(config))
    vary = {"losses.adapt.use": ["tric", "coral"]}
    found = sere.compare(home / "base.yaml", vary=vary, seeds=[0, 1], out=home / "two", jobs=1, quiet=True)
    assert capfd.readouterr().out == "" and not found.failures and len(found.results.runs) == 4
    table = found.table()
    lines = {line.about["row"]: line for line in table.lines if "row" in line.about}
    assert set(found.rows) <= set(lines)
    with pytest.raises(sere.SereError, match="C308"):
        found.records("nix")
    records = found.records(found.rows[0])
    mean = np.mean([each.uar for each in records.values()])
    assert lines[found.rows[0]].cells[1].text == f"{100 * mean:.1f}"
    assert main(["table", str(home / "two")]) == 0
    printed = capfd.readouterr().out
    assert str(table).splitlines()[0][:40] in printed
    assert found.rows[1] in found._repr_html_() and str(home / "two") in repr(found)
    assert sere.read_comparison(home / "two").table() == table
    with pytest.raises(sere.SereError) as caught:
        found.table("round")
    assert codes(caught) == ["C302"]
    with pytest.raises(sere.SereError) as caught:
        sere.read_comparison(home)
    assert codes(caught) == ["T505"]
