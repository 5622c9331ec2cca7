"""A sample of utterances as the network saw them before training and sees them after it: `embeddings/picture.npz` of a record.

initial, trained   embeddings `[N, D]`, float16
stream             "labelled", "source" or "test"; language, speaker: of the recording, `[N]`
emotion            position of the class: the label of a "labelled" utterance; for the others what the trained network answers
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sere_core.data.plan import Fold
from sere_core.train.assemble import Assembler
from sere_core.train.streams import StreamSet
from sere_core.train.whole import encode_whole, predict

#: utterances of each stream that are taken; streams are in random order, so the first ones are a random sample
TAKEN = {"labelled": 80, "source": 100, "test": 140}


def take_picture(assembler: Assembler, state: Mapping[str, Tensor], fold: Fold, streams: Mapping[str, StreamSet]) -> dict[str, Any]:
    """The arrays of `picture.npz`.  No label of the target is needed, and nothing is drawn at random.

    Args:
        assembler: of the fold; what it builds has the first weights of the training.
        state: of the trained method.
        fold: who stands in the streams.
        streams: of the fold.
    """
    method = replace(assembler, built=lambda kind, id, name: None).method()
    device, shown = assembler.device, {name: _first(streams[name], count) for name, count in TAKEN.items() if name in streams}
    initial = [encode_whole(stream, method.backbone, device).embedding for stream in shown.values()]
    method.load_state_dict(dict(state))
    support = streams["labelled"] if "labelled" in method.stages()[-1].sees else None
    trained, answers = [], []
    for stream in shown.values():
        posteriors, embeddings = predict(method, stream, support, device)
        trained.append(embeddings)
        answers.append(posteriors.argmax(dim=1) if stream.labels is None else stream.labels)
    members = {"labelled": fold.labelled, "source": fold.source, "test": fold.test}
    recordings = [recording for name, stream in shown.items() for recording in members[name][: len(stream)]]
    return {
        "initial": _half(initial),
        "trained": _half(trained),
        "stream": np.array([name for name, stream in shown.items() for _ in range(len(stream))]),
        "language": np.array([recording.language for recording in recordings]),
        "speaker": np.array([f"{recording.corpus}/{recording.speaker}" if recording.speaker else "" for recording in recordings]),
        "emotion": torch.cat([answer.cpu() for answer in answers]).numpy().astype(np.int16),
    }


def _first(stream: StreamSet, count: int) -> StreamSet:
    return replace(stream, items=stream.items[:count], labels=None if stream.labels is None else stream.labels[:count])


def _half(parts: list[Tensor]) -> Any:
    most = torch.finfo(torch.float16).max
    return torch.cat([part.float().cpu() for part in parts]).clamp(-most, most).half().numpy()
