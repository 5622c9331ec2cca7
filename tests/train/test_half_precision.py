"""Frames that the cache holds in half precision stay so in memory, and are float32 wherever something is computed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sere_core.config import load
from sere_core.console import Speaker
from sere_core.plan import make_plan
from sere_core.testing.toy import streams
from sere_core.train.material import gather
from sere_core.train.streams import Item, StreamSet, read
from sere_plugins.encoders.pretrained import LayerMix
from tests.end_to_end.conftest import TINY
from tests.train.recipes import toy


def halved(stream: StreamSet) -> StreamSet:
    def item(one: Item) -> Item:
        return replace(one, frames=read(one.frames).half())

    return replace(stream, items=tuple(map(item, stream.items)))


def test_a_batch_is_float32(tmp_path: Path) -> None:
    given = streams()
    half = {name: halved(stream) for name, stream in given.items()}
    for name, stream in half.items():
        batch, exact = stream.collate([0, 1, 2], torch.device("cpu")), given[name].collate([0, 1, 2], torch.device("cpu"))
        assert batch.inputs.frames.values.dtype == torch.float32
        assert torch.allclose(batch.inputs.frames.values, exact.inputs.frames.values, rtol=2**-10, atol=1e-6)
        assert torch.equal(batch.vectors, exact.vectors)
    found = [toy().trainer(tmp_path / str(number), streams_=each).run() for number, each in enumerate((given, half))]
    assert torch.allclose(found[0].posteriors, found[1].posteriors, atol=1e-2)


def test_a_learned_sum_of_layers_gets_its_gradient_from_half_precision() -> None:
    exact = torch.randn(2, 5, 3 * 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    gradients = []
    for values in (exact, exact.half().float()):
        mix = LayerMix(3).to(values.dtype)
        mix(values).square().sum().backward()
        assert mix.weights.grad is not None
        gradients.append(mix.weights.grad.double())
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-2, atol=1e-2)


def test_what_the_cache_holds_in_half_precision_is_kept_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERE_CACHE", str(tmp_path))
    (tmp_path / "tiny.yaml").write_text(TINY)

    def made(precision: str) -> dict[str, StreamSet]:
        sets = ["task.normalise=none", "dynamics.use=none", "resonance=null", "losses.adapt=null", f"features.precision={precision}"]
        plan = make_plan(load(tmp_path / "tiny.yaml", sets=sets))
        return gather(plan, torch.device("cpu"), Speaker(quiet=True)).streams(plan.task.folds[0])

    exact = made("float32")
    for name, stream in made("float16").items():
        for one, other in zip(stream.items, exact[name].items, strict=True):
            half, single = read(one.frames), read(other.frames)
            assert half.dtype == torch.float16 and one.vector.dtype == single.dtype == torch.float32
            assert torch.equal(half, single.half()) and torch.allclose(one.vector, other.vector, rtol=1e-3)
        assert stream.collate([0, 1], torch.device("cpu")).inputs.frames.values.dtype == torch.float32
