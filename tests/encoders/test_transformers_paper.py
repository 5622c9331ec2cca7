"""The configs of the paper's twelve pairs: they load, and say what the paper says."""

from __future__ import annotations

from pathlib import Path

import pytest

from sere_core.config import load

CONFIGS = Path(__file__).parents[2] / "configs" / "paper"
CORPORA = {"B": "emodb", "E": "enterface", "C": "casia", "O": "emovo"}
LANGUAGES = {"B": "de", "E": "en", "C": "zh", "O": "it"}
MODELS = {
    "B": ("sere.whisper", "openai/whisper-large-v3"),
    "E": ("sere.wavlm", "microsoft/wavlm-large"),
    "C": ("sere.hubert", "TencentGameMate/chinese-hubert-base"),
    "O": ("sere.wav2vec2", "facebook/wav2vec2-large-it-voxpopuli"),
}
PAIRS = [a + b for a in CORPORA for b in CORPORA if a != b]


def test_there_is_a_config_for_each_pair_and_no_other() -> None:
    assert {path.stem for path in CONFIGS.glob("??.yaml")} == set(PAIRS)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_pair_is_what_the_paper_says(pair: str) -> None:
    resolved = load(CONFIGS / f"{pair}.yaml", environ={"SERE_DATA": "/data"})
    assert not resolved.warnings
    config = resolved.config
    assert config.name == f"paper-{pair}"
    assert (config.task.source, config.task.target) == (CORPORA[pair[0]], CORPORA[pair[1]])
    assert config.task.shots == 5 and config.task.setting == "inductive"
    assert config.task.folds == ("speakers" if pair[1] == "C" else 5)
    assert (config.train.epochs, config.train.optimizer.use) == (80, "adam")
    for corpus in config.corpora:
        assert config.corpora[corpus].params["root"] in (f"/data/{corpus}", Path(f"/data/{corpus}"))
    assert config.encoders[config.paths.labelled].params["model"] == "facebook/wav2vec2-base"
    assert isinstance(config.paths.unlabelled, dict) and set(config.paths.unlabelled) == {LANGUAGES[letter] for letter in pair}
    for letter in pair:
        block = config.encoders[config.paths.unlabelled[LANGUAGES[letter]]]
        assert (block.use, block.params["model"]) == MODELS[letter]
        assert block.params["train"] == "top"
    assert config.losses["classify"].use == "sere.cross_entropy" and config.losses["classify"].weight == 1.0
    assert config.losses["adapt"].use == "sere.tric"
    assert (config.dynamics.use, config.resonance and config.resonance.use) == ("sere.idfe", "sere.irf")


def test_a_local_folder_instead_of_a_hub_name() -> None:
    resolved = load(CONFIGS / "BO.yaml", sets=["vars.german=/models/whisper"], environ={"SERE_DATA": "/data"})
    assert resolved.config.encoders["german"].params["model"] == "/models/whisper"
