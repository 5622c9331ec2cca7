"""A sample of utterances as the network saw them before training and sees them after it: `embeddings/picture.npz` of a record.

initial, trained   embeddings `[N, D]`, float16
stream             "labelled", "source" or "test"; language, speaker: of the recording, `[N]`
emotion            position of the class: the label of a "labelled" utterance; for the others what the trained network predicts
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sere_core.data.plan import Fold
from sere_core.train.build import Builder
from sere_core.train.streams import StreamSet
from sere_core.train.whole import embeddings, predict
from sere_registry import Method

#: utterances of each stream that are taken
TAKEN = {"labelled": 80, "source": 100, "test": 140}


def take_picture(
    builder: Builder,
    state: Mapping[str, Tensor],
    fold: Fold,
    streams: Mapping[str, StreamSet],
    standardise: Callable[[Method, bool], object],
) -> dict[str, NDArray[np.generic]]:
    """The arrays of `picture.npz`, given the trained method's state.  No label of the target is needed, and nothing is random."""
    method = replace(builder, built=lambda kind, id, name: None).method()
    device, shown = builder.device, {name: streams[name].first(count) for name, count in TAKEN.items() if name in streams}
    standardise(method, False)
    initial = [embeddings(method, stream, device) for stream in shown.values()]
    cast(nn.Module, method).load_state_dict(dict(state))
    standardise(method, False)
    support = streams["labelled"] if "labelled" in method.stages()[-1].sees else None
    trained, emotions = [], []
    for stream in shown.values():
        found = predict(method, stream, support, device)
        trained.append(found["embeddings"])
        emotions.append(found["posteriors"].argmax(dim=1) if stream.labels is None else stream.labels.cpu())
    members = {"labelled": fold.labelled, "source": fold.source, "test": fold.test}
    recordings = [recording for name, stream in shown.items() for recording in members[name][: len(stream)]]
    return {
        "initial": _half(initial),
        "trained": _half(trained),
        "stream": np.array([name for name, stream in shown.items() for _ in range(len(stream))]),
        "language": np.array([recording.language for recording in recordings]),
        "speaker": np.array([f"{recording.corpus}/{recording.speaker}" if recording.speaker else "" for recording in recordings]),
        "emotion": torch.cat(emotions).numpy().astype(np.int16),
    }


def _half(parts: list[Tensor]) -> NDArray[np.float16]:
    most = torch.finfo(torch.float16).max
    values: NDArray[np.float16] = torch.cat([part.float().cpu() for part in parts]).clamp(-most, most).half().numpy()
    return values
