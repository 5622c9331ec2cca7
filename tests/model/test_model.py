"""A model predicts as the fold that it is of, wherever its folder lies; trained on everything it says how its folds did."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml
from safetensors.torch import load_file, save_file

from sere_core.cli import main
from sere_core.config import load
from sere_core.model import Model, card, folder
from sere_core.model import temperature as temperatures
from sere_core.plan import list_corpus
from sere_core.score.records import Record
from sere_registry.errors import SereError
from tests.encoders.checkpoints import tiny_whisper

SMALL = ["corpora.xa.params.speakers=4", "corpora.xb.params.speakers=4", "corpora.xa.params.per_class=3", "corpora.xb.params.per_class=2"]
SMALL += ["task.folds=2", "task.shots=2", "train.epochs=1", "hooks=null", "resonance=null", "losses.adapt=null"]
LOGMEL = ["encoders={mel: {use: logmel, params: {dim: 8}}}", "paths={labelled: mel, unlabelled: {xa: other, xb: mel}}"]
LOGMEL += ["encoders.other={use: acoustic}", "dynamics.use=none", "task.normalise=corpus"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


def flags(home: Path, name: str, *sets: str) -> list[str]:
    words = [*SMALL, f"output.dir={home / name}", *sets]
    return ["sere_default", "--quiet", *(part for word in words for part in ("--set", word))]


def trained(home: Path, name: str, *sets: str) -> Record:
    """A record of a small run."""
    assert main(["run", *flags(home, name, *sets)]) == 0
    return Record.read(next((home / name).glob("*/done")).parent)


def exported(record: Record, out: Path, *words: str) -> Model:
    assert main(["export", str(record.path), "-o", str(out), "--quiet", *words]) == 0
    return Model.load(out)


@pytest.fixture(scope="module")
def record(home: Path) -> Record:
    return trained(home, "joint")


def predicted(model: Model, record: Record, fold: int, own: bool = False) -> float:
    """The largest distance between a model's posteriors and the record's, of a fold's test utterances.

    With `own` the statistics of a speaker are made again of the speaker's utterances, else they are those that the model knows.
    """
    recordings = {each.id: each.recording for each in list_corpus(load(record.path / "config.yaml"), "xb")}
    rows = [each for each in record.predictions if each.fold == fold]
    clips = [model.extract(*soundfile.read(recordings[row.id].path)) for row in rows]
    speakers = [recordings[row.id].speaker for row in rows]
    statistics = [model.known(speaker) for speaker in speakers]
    if own:
        assert all(statistics)
        statistics = [model.statistics([clip for clip, s in zip(clips, speakers, strict=True) if s == each]) for each in speakers]
    found = model.posteriors(clips, statistics)
    one = model.predict(*soundfile.read(recordings[rows[0].id].path), speaker=speakers[0])
    assert one.label == rows[0].prediction and list(one.posteriors) == list(model.classes)
    raw, shown = found[0], np.array(list(one.posteriors.values()))
    assert shown == pytest.approx(temperatures.tempered(raw[None], model.temperature)[0], abs=1e-6)
    return float(np.abs(found - np.array([row.posteriors for row in rows])).max())


@pytest.mark.parametrize("fold", [0, 1])
def test_posteriors_are_those_of_the_record(record: Record, tmp_path: Path, fold: int) -> None:
    model = exported(record, tmp_path / "model", "--fold", str(fold + 1))
    assert ", ".join(model.classes) in repr(model)
    assert model.languages == ("xb",)
    assert predicted(model, record, fold) < 1e-6
    assert predicted(model, record, fold, own=True) < 1e-6


def test_weights_of_another_version_are_a_line_that_says_what_to_do(record: Record, tmp_path: Path) -> None:
    exported(record, tmp_path / "model", "--fold", "1")
    weights = next((tmp_path / "model").glob("*.safetensors"))
    tensors = load_file(weights)
    save_file({name.replace("classifier", "former_name"): value for name, value in tensors.items()}, weights)
    sums = tmp_path / "model" / folder.SUMS
    lines = [line.split("  ", 1) for line in sums.read_text().splitlines()]
    made = {name: hashlib.sha256((tmp_path / "model" / name).read_bytes()).hexdigest() for _, name in lines}
    sums.write_text("".join(f"{digest}  {name}\n" for name, digest in made.items()))
    with pytest.raises(SereError) as caught:
        Model.load(tmp_path / "model")
    (problem,) = caught.value.problems
    assert problem.code == "T505" and "export" in problem.hint and "--fresh" not in problem.hint


@pytest.mark.parametrize(
    "sets",
    [
        ["method.use=svm", "losses=null", "dynamics.use=none"],
        ["method={use: logistic}", "losses=null", "dynamics.use=none"],
        ["method={use: skada}", "losses=null", "dynamics.use=none"],
        ["method={use: logistic}", "losses=null", "dynamics.use=none", "task.shrinkage=4"],
        LOGMEL,
        [
            *LOGMEL,
            "paths={labelled: other, field_path: own}",
            "resonance={use: cosine}",
            "losses.adapt={use: tric, params: {predict: resonance}}",
        ],
    ],
    ids=["svm", "logistic", "skada", "shrunken statistics", "logmel, another encoder for the source", "S_l compared through another"],
)
def test_every_kind_of_method_is_exported(home: Path, tmp_path: Path, sets: list[str]) -> None:
    record = trained(home, str(len(list(home.iterdir()))), *sets)
    own = any("shrinkage" in words for words in sets)
    assert predicted(exported(record, tmp_path / "model", "--fold", "1"), record, 0, own) < 1e-6


def test_train_leaves_no_fold_out_and_quotes_the_folds(home: Path, record: Record, tmp_path: Path) -> None:
    words = flags(home, "joint")
    assert main(["train", *words, "-o", str(tmp_path / "model")]) == 0
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    told, quoted = about["facts"]["trained"], about["facts"]["quoted"]
    everybody = list_corpus(load(record.path / "config.yaml"), "xb")
    assert told["fold"] is None and told["utterances"]["target"] == len(everybody)
    assert set(Model.load(tmp_path / "model").speakers) == {each.speaker for each in everybody}
    assert quoted["protocol"] == record.manifest["protocol"] and quoted["n"] == len(record.predictions)
    assert quoted["uar"]["mean"] == record.scores["mean"]["uar"]
    assert quoted["interval"]["low"] <= quoted["uar"]["mean"] <= quoted["interval"]["high"]
    assert quoted["calibration"]["raw"]["ece"] == pytest.approx(record.scores["pooled"]["confidence"]["ece"])
    front = yaml.safe_load((tmp_path / "model" / "README.md").read_text().split("---")[1])
    assert front["pipeline_tag"] == "audio-classification" and front["language"] == ["xb"] and front["license"] == "other"
    assert front["model-index"][0]["results"][0]["metrics"][0]["value"] == pytest.approx(record.scores["mean"]["uar"], abs=1e-4)
    # trained once; from the record it is the same model again, into the place of the first
    before = (tmp_path / "model" / "weights.safetensors").read_bytes()
    assert main(["export", str(record.path), "-o", str(tmp_path / "model"), "--quiet"]) == 0
    assert (tmp_path / "model" / "weights.safetensors").read_bytes() == before


def test_a_model_knows_no_place_of_its_machine(record: Record, home: Path, tmp_path: Path) -> None:
    exported(record, tmp_path / "model", "--fold", "1")
    texts = [path.read_text() for path in (tmp_path / "model").iterdir() if path.suffix in (".yaml", ".json", ".md")]
    assert len(texts) == 3 and not any(str(home) in text or str(tmp_path) in text for text in texts)
    model = Model.load(shutil.copytree(tmp_path / "model", tmp_path / "else where: #1"))
    assert list(model.classes) == record.scores["classes"]


def test_a_model_brings_its_encoders_checkpoint(home: Path, tmp_path: Path) -> None:
    checkpoint = tiny_whisper(tmp_path / "checkpoint")
    encoder = f"encoders={{w: {{use: whisper, params: {{model: '{checkpoint}', train: top, top_layers: 1}}}}}}"
    record = trained(home, "whisper", encoder, "paths={labelled: w, unlabelled: w}", "dynamics={use: none}")
    exported(record, tmp_path / "model", "--fold", "1")
    shutil.rmtree(checkpoint)
    (tmp_path / "model").rename(tmp_path / "moved")
    assert predicted(Model.load(tmp_path / "moved"), record, 0) < 1e-6


PLUGIN = """
from pathlib import Path
import numpy as np
from sere_registry import ComponentSpec, Params, param
from tests.kit.broken import GoodEncoder

class TableParams(Params):
    weights: Path = param(..., "a file")
    more: tuple[Path, ...] = param(..., "files and folders")
    files: bool = param(False, "are they listed?")

class Table(GoodEncoder):
    def __init__(self, params, context):
        super().__init__(params, context)
        self.table = np.load(params.weights) + sum(np.load(each / "deep" / "table.npy") for each in params.more)
        if params.files:
            self.files = (params.weights, *(each / "deep" / "table.npy" for each in params.more))

    def extract(self, waveform, contours, hop):
        return np.abs(super().extract(waveform, contours, hop) - self.table)

SPEC = ComponentSpec(kind="encoder", name="table", factory="paths_plugin:Table", params=TableParams, summary="a table")
"""


@pytest.mark.parametrize("files", ["true", "false"])
def test_a_model_brings_what_the_parameters_of_an_encoder_name(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: str
) -> None:
    (tmp_path / "paths_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "paths_plugin", raising=False)
    info, data = tmp_path / "paths_plugin-1.0.dist-info", tmp_path / "data"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paths-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sere.encoders]\npaths.table = paths_plugin:SPEC\n")
    (data / "folder" / "deep").mkdir(parents=True)
    for name in ("w.npy", "folder/deep/table.npy"):
        np.save(data / name, np.full(4, 0.01, np.float32))
    params = f"{{weights: {data}/w.npy, more: [{data}/folder], files: {files}}}"
    encoder = f"encoders={{c: {{use: paths.table, params: {params}}}}}"
    record = trained(home, f"paths-{files}", encoder, "paths={labelled: c, unlabelled: c}", "dynamics={use: none}")
    exported(record, tmp_path / "model", "--fold", "1", "--trust")
    names = {path.relative_to(tmp_path / "model").as_posix() for path in (tmp_path / "model").glob("*/**/*") if path.is_file()}
    assert names == {"files/encoders.c/weights/w.npy", "files/encoders.c/more.0/folder/deep/table.npy"}
    shutil.rmtree(data)
    (tmp_path / "model").rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    assert predicted(Model.load("moved"), record, 0) < 1e-6
    (tmp_path / "moved" / "files" / "encoders.c" / "more.0" / "folder" / "new.npy").write_bytes(b"")
    with pytest.raises(SereError, match="T505"):
        Model.load("moved")


def failed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command that must fail says on stderr."""
    assert main(list(words)) != 0
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_mistakes_are_lines(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "letter.txt").write_text("dear")
    assert "X704" in failed(capsys, "export", str(record.path), "-o", str(out)) and (out / "letter.txt").exists()
    assert "X704" in failed(capsys, "train", *flags(tmp_path, "never"), "-o", str(out))  # before it is trained
    for words in (["train", *flags(tmp_path, "never")], ["export", str(record.path)]):
        assert "X704" in failed(capsys, *words, "-o", "/proc/model")
    said = failed(capsys, "export", str(record.path), "-o", str(tmp_path / "model"), "--fold", "7")
    assert "T505" in said and "1, 2" in said
    assert "T505" in failed(capsys, "export", str(tmp_path), "-o", str(tmp_path / "model"))
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]  # nothing half-made is left


def test_a_model_is_no_record(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported(record, tmp_path / "model", "--fold", "1")
    (tmp_path / "my.yaml").write_text("")
    for name, what in {"model": "is a model", "my.yaml": "holds no record"}.items():
        for words in (["report"], ["export", "-o", str(tmp_path / "other")], ["export", "--onnx"]):
            said = failed(capsys, words[0], str(tmp_path / name), *words[1:])
            assert "[T505]" in said and what in said and "--resume" not in said


def test_no_folder_is_removed_that_holds_more_than_a_model(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / folder.SUMS).write_text("0  recording.wav\n")
    (data / "recording.wav").write_bytes(b"mine")
    exported(record, tmp_path / "model", "--fold", "1")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    for out, mine in ((data, "recording.wav"), (tmp_path / "model", "notes.txt")):
        assert "X704" in failed(capsys, "export", str(record.path), "-o", str(out), "--fold", "1")
        assert (out / mine).read_bytes() == b"mine"


def test_a_model_that_takes_the_place_of_another_says_so(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for _ in range(2):
        assert main(["export", str(record.path), "-o", str(tmp_path / "model"), "--fold", "1"]) == 0
        said.append("will be replaced" in capsys.readouterr().out)
    assert said == [False, True]
    (tmp_path / "model" / folder.SUMS).unlink()
    assert folder.SUMS in failed(capsys, "predict", str(tmp_path / "model"), "a.wav")


def test_training_that_is_interrupted_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sere_core.run.run", interrupted)
    words = ["train", *flags(tmp_path, "never"), "-o", str(tmp_path / "model")]
    assert main(words) == 130 and f"sere {shlex.join(words)}" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["changed", "missing", "a record", "a file named as a component"])
def test_a_damaged_model_is_one_line(record: Record, tmp_path: Path, what: str) -> None:
    where = tmp_path / "model"
    exported(record, where, "--fold", "1")
    if what == "changed":
        weights = bytearray((where / "weights.safetensors").read_bytes())
        weights[len(weights) // 2] ^= 1
        (where / "weights.safetensors").write_bytes(weights)
    elif what == "missing":
        (where / "model.json").unlink()
    elif what == "a record":
        where = record.path
    else:
        data = yaml.safe_load((where / "config.yaml").read_text())
        data["method"]["use"] = f"file:{tmp_path / 'evil.py'}:SPEC"
        (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
        (where / "config.yaml").write_text(yaml.safe_dump(data))
        lines = (where / "sha256").read_text().splitlines()
        (where / "sha256").write_text("".join(f"{line}\n" for line in lines if "config.yaml" not in line))
    with pytest.raises(SereError, match="T505"):
        Model.load(where)
    assert not (tmp_path / "ran").exists()


def test_a_card_tells_what_applies(record: Record, tmp_path: Path) -> None:
    exported(record, tmp_path / "model", "--fold", "1")
    about, _ = folder.read(tmp_path / "model")
    bare = replace(about, temperature=1.0, facts={**about.facts, "quoted": None})
    given = {**about.facts["trained"], "utterances": {"labelled": 5, "target_labels": 2, "source": 3, "target": 4}}
    hot = replace(about, temperature=2.0, facts={**about.facts, "trained": given})
    said, other = card.card(bare, record), card.card(hot, record)
    assert "before the temperature" not in said and "The scores hold" not in said and "came with a label" not in said
    assert "before the temperature" in other and "The scores hold" in other
    assert "* labelled: 5 utterances of `xa`, 2 utterances of `xb` that came with a label" in other


def test_a_temperature_finds_what_posteriors_were_sharpened_by() -> None:
    generator = np.random.default_rng(0)
    true = generator.dirichlet(np.ones(4), size=4000)
    labels = np.array([generator.choice(4, p=row) for row in true])
    assert temperatures.best(temperatures.tempered(true, 1 / 3), labels) == pytest.approx(3.0, rel=0.05)
    assert temperatures.best(true, labels) == pytest.approx(1.0, rel=0.05)
    assert temperatures.best(temperatures.tempered(true, 3.0), labels) == 1.0  # never surer than it is
