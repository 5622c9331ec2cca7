"""What the batches of a real run say of domains, languages and speakers."""

from __future__ import annotations

import json
from pathlib import Path

from tests.end_to_end.conftest import Sere

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


def test_scored_utterances_have_no_speaker_and_training_ones_an_opaque_index(sere: Sere, home: Path) -> None:
    (home / "watch.py").write_text(LOSS, encoding="utf-8")
    watch = f"losses.adapt={{use: 'file:watch.py:WATCH', params: {{file: {home / 'seen'}}}}}"
    told = sere("tiny.yaml", watch, "resonance=null", "task.setting=transductive", "train.epochs=1")
    assert (told.code, told.problems) == (0, []), told.err
    seen = [json.loads(line) for line in (home / "seen").read_text().splitlines()]
    speakers: dict[str, int] = {}
    scored: set[str] = set()
    for batch in seen:
        assert batch["inputs"] and batch["languages"] == ["xa", "xb"] and batch["speakers"] == 6
        for id, domain, language, speaker in batch["rows"]:
            assert domain == language
            if batch["name"] == "predict":
                scored |= {id} if speaker == -1 else set()
            else:
                assert domain == int(batch["name"] == "target")
                assert 0 <= speaker == speakers.setdefault(id, speaker) < 6
    assert len(scored) == 12, "every utterance of the target is scored, and so is no other"
    assert len(set(speakers.values())) == 6, "three of the source, three of the target"
