"""What honest libraries do when they are imported and used is not called a change."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import torch, torch.nn.functional, torch.optim, numpy, scipy.linalg
from sere_registry.guard import Owner, call, fingerprint, running
said = []
def use():
    import sklearn.linear_model, sklearn.svm, transformers, torchmetrics, librosa, torch._dynamo
    import matplotlib.pyplot, soundfile, safetensors.torch
    from transformers import Wav2Vec2Model, WhisperModel
    librosa.feature.mfcc(y=numpy.zeros(2048, numpy.float32), sr=16000)
    net = torch.nn.Linear(2, 2)
    torch.optim.SGD(net.parameters(), lr=0.1).step()
    torch.compile(net)
    sklearn.svm.SVC().fit([[0.0], [1.0]], [0, 1])
    torchmetrics.Accuracy(task="binary")(torch.ones(2), torch.ones(2).long())
with running(said.append):
    fingerprint.extend()
    call(Owner("a loss", "loss", "other"), "build", use)
    replaced = fingerprint.restore()
print(said, replaced)
"""


@pytest.mark.counts
def test_imports_of_libraries_are_no_changes() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout.splitlines()[-1:] == ["[] []"], done.stdout + done.stderr[-1000:]
