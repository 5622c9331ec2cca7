"""What the batches of a real run say of domains, languages and speakers."""

from __future__ import annotations

import json
from pathlib import Path

from sere_core.config import load
from sere_core.run import run

LOSS = """
from __future__ import annotations
import json
import torch
from torch import nn
from sere_registry import ComponentSpec, Params, param

class WatchParams(Params):
    file: str = param(..., "where it writes what it sees")

class Watch(nn.Module):
    predicts = True

    def __init__(self, params, context):
        super().__init__()
        self.file, self.known = params.file, {"languages": context.languages, "speakers": context.speakers}

    def write(self, name, batch):
        rows = zip(batch.ids, *(getattr(batch, part).tolist() for part in ("domain", "language", "speaker")))
        with open(self.file, "a") as file:
            file.write(json.dumps({"name": name, "rows": list(rows), "inputs": batch.inputs is not None, **self.known}) + "\\n")

    def forward(self, labelled, source, target):
        for name, batch in (("labelled", labelled), ("source", source), ("target", target)):
            self.write(name, batch)
        return {"nothing": 0 * target.embedding.sum()}

    def predict(self, batch, support, field):
        self.write("predict", batch)
        return batch.logits.softmax(dim=1)

WATCH = ComponentSpec(kind="loss", name="watch", factory=f"{__name__}:Watch", params=WatchParams, summary="writes down what it sees")
"""


def test_scored_utterances_have_no_speaker_and_training_ones_an_opaque_index(tmp_path: Path) -> None:
    (tmp_path / "watch.py").write_text(LOSS, encoding="utf-8")
    corpora = {
        name: {
            "use": "synthetic",
            "params": {"language": name, "speakers": 2, "per_class": 2, "emotions": ["anger", "sadness"], "seconds": 0.4},
        }
        for name in ("xa", "xb")
    }
    config = {
        "sere": 1,
        "name": "watched",
        "corpora": corpora,
        "task": {"source": "xa", "target": "xb", "shots": 1, "folds": "speakers"},
        "encoders": {"mel": {"use": "logmel", "params": {"bands": 8, "dim": 4, "layers": 0}}},
        "paths": {"labelled": "mel", "unlabelled": "mel"},
        "network": {"dim": 8},
        "dynamics": {"use": "none"},
        "features": {"cache": str(tmp_path / "cache")},
        "losses": {
            "classify": {"use": "cross_entropy"},
            "watch": {"use": "file:watch.py:WATCH", "params": {"file": str(tmp_path / "seen")}},
        },
        "train": {"epochs": 1, "batch": {"labelled": "all", "source": 4, "target": 4}, "device": "cpu"},
        "output": {"dir": str(tmp_path / "runs")},
    }
    (tmp_path / "watched.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    assert run(load(tmp_path / "watched.yaml"), quiet=True) == 0
    seen = [json.loads(line) for line in (tmp_path / "seen").read_text().splitlines()]
    speakers: dict[str, int] = {}
    scored: set[str] = set()
    for batch in seen:
        assert batch["inputs"] and batch["languages"] == ["xa", "xb"] and batch["speakers"] == 3, "two of the source, one of the target"
        for id, domain, language, speaker in batch["rows"]:
            assert domain == language
            if batch["name"] == "predict":
                scored |= {id} if speaker == -1 else set()
            else:
                assert domain == int(batch["name"] == "target")
                assert 0 <= speaker == speakers.setdefault(id, speaker) < 3
    assert len(scored) == 8, "every utterance of the target is scored, and so is no other"
    assert len(set(speakers.values())) == 3
