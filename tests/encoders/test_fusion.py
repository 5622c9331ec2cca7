"""Fusion: the attention's properties, one grid for all streams, and what of the streams counts in keys, names and models."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from sere_core.config import load
from sere_core.config.model import Features
from sere_core.content import Contents
from sere_core.features.extract import Keys
from sere_core.features.origin import encoder_origin
from sere_core.identity import codes
from sere_core.provenance import files_of
from sere_core.testing.data import waves
from sere_core.testing.trained_kinds import extract
from sere_plugins.encoders.fusion import CrossAttention, Fusion, row_rate, to_grid
from sere_registry import BuildContext, Frames, Recording, SereError
from tests.encoders.checkpoints import tiny_hubert
from tests.small import SMALL

STREAMS = [{"use": "acoustic", "params": {"rate": 50}}, {"use": "logmel", "params": {"bands": 8}}]
CLIP = Recording("a", Path("a.wav"), "x", "xa", "s")


def config(*sets: str, streams: Any = STREAMS, **params: Any) -> Any:
    fused = {"use": "fusion_reconstructed", "params": {"streams": streams, "dim": 8, "hidden": 8, **params}}
    return load({**yaml.safe_load(SMALL), "encoders": {"mel": fused}}, sets=sets)


def built(**params: Any) -> Fusion:
    torch.manual_seed(0)
    made: Fusion = config(**params).components["encoders.mel"].build(BuildContext("mel"))
    return made


def test_a_concatenation_is_the_streams_frames_side_by_side() -> None:
    joined = {"mel": {"use": "concatenation", "params": {"streams": STREAMS}}}
    made = load({**yaml.safe_load(SMALL), "encoders": joined}).components["encoders.mel"].build(BuildContext("mel"))
    rows = extract(made, waves()[0])
    assert np.array_equal(rows, extract(built(), waves()[0])) and made.dim == made.input_dim == rows.shape[1]
    assert torch.equal(
        made(Frames(torch.ones(1, 3, made.dim), torch.ones(1, 3, dtype=torch.bool), 25.0)).values, torch.ones(1, 3, made.dim)
    )
    assert not list(made.parameters())


def test_a_concatenation_of_one_is_its_means_at_another_rate() -> None:
    found = {}
    for rate in (50, 10):
        alone = {"mel": {"use": "concatenation", "params": {"streams": STREAMS[:1], "rate": rate}}}
        made = load({**yaml.safe_load(SMALL), "encoders": alone}).components["encoders.mel"].build(BuildContext("mel"))
        found[rate] = extract(made, waves()[0])
    whole = len(found[50]) // 5
    assert whole and np.allclose(found[10][:whole], found[50][: 5 * whole].reshape(whole, 5, -1).mean(axis=1), atol=1e-5)


@pytest.fixture
def block() -> CrossAttention:
    torch.manual_seed(0)
    return CrossAttention(8, 2, 16, 0.0).double()


def frames(rows: int, count: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, rows, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_it_is_the_formula(block: CrossAttention) -> None:
    query, key, mask = frames(5), frames(7, seed=1), torch.ones(2, 7, dtype=torch.bool)
    attention = block.attention
    (wq, wk, wv), (bq, bk, bv) = attention.in_proj_weight.chunk(3), attention.in_proj_bias.chunk(3)
    heads = []
    for head in (slice(0, 4), slice(4, 8)):
        q, k, v = ((part @ w.T + b)[..., head] for part, w, b in ((query, wq, bq), (key, wk, bk), (key, wv, bv)))
        heads.append((q @ k.transpose(1, 2) / math.sqrt(4)).softmax(dim=-1) @ v)
    read = torch.cat(heads, dim=-1) @ attention.out_proj.weight.T + attention.out_proj.bias
    mixed = block.norms[0](query + read)
    assert torch.allclose(block.attended(query, key, mask)[0], read, atol=1e-12)
    assert torch.allclose(block(query, key, mask), block.norms[1](mixed + block.feed_forward(mixed)), atol=1e-12)


def test_one_key_frame_leaves_the_query_no_choice(block: CrossAttention) -> None:
    key, mask = frames(1, seed=1), torch.ones(2, 1, dtype=torch.bool)
    one, other = (block.attended(frames(5, seed=seed), key, mask)[0] for seed in (2, 3))
    assert torch.allclose(one, other, atol=1e-12) and torch.allclose(one, one[:, :1].expand_as(one), atol=1e-12)


def test_the_order_of_key_frames_says_nothing(block: CrossAttention) -> None:
    query, key, mask = frames(5), frames(7, seed=1), torch.arange(7) < torch.tensor([[7], [4]])
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(block(query, key, mask), block(query, key[:, order], mask[:, order]), atol=1e-12)


def test_padded_frames_have_no_weight(block: CrossAttention) -> None:
    query, key, mask = frames(5), frames(7, seed=1), torch.arange(7) < torch.tensor([[7], [4]])
    weights = block.attended(query, key, mask)[1]
    assert (weights[1, :, 4:] == 0).all() and torch.allclose(weights.sum(dim=-1), torch.ones(2, 5, dtype=torch.float64))
    other = key.clone()
    other[1, 4:] = 1e6
    assert torch.equal(block(query, key, mask), block(query, other, mask))
    encoder, values = built().double(), torch.randn(2, 6, built().input_dim, dtype=torch.float64)
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    poisoned = torch.where(mask.unsqueeze(-1), values, torch.full_like(values, torch.nan))
    clean, same = (encoder.eval()(Frames(each, mask, 25.0)).values for each in (values, poisoned))
    assert torch.equal(clean[mask], same[mask]) and bool(same.isfinite().all())


@pytest.mark.parametrize(("queries", "pairs"), [("first", [(0, 1), (0, 2)]), ("each", [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)])])
def test_who_queries_whom(queries: str, pairs: list[tuple[int, int]]) -> None:
    encoder = built(streams=[*STREAMS, {"use": "logmel"}], queries=queries)
    assert encoder.pairs == pairs and encoder.dim == 8 * len(pairs) and encoder.widths[2] == 64
    assert all("_streams" not in name and "conv" not in name for name in encoder.state_dict()), "the streams are not trained"


def test_streams_stand_side_by_side_on_one_grid() -> None:
    encoder, wave = built(), waves()[0]
    acoustic, mel = encoder.parts.values()
    found, alone = extract(encoder, wave).numpy(), extract(acoustic, wave).numpy()
    assert (row_rate(acoustic), row_rate(mel), acoustic.rate, mel.rate) == (50, 50, 50, 25)
    count = math.ceil(len(wave) / 640)
    assert found.shape == (count, alone.shape[1] + 8)
    whole = count if len(alone) % 2 == 0 else count - 1
    pairs = alone[: 2 * whole].reshape(whole, 2, -1).mean(axis=1)
    assert found[:whole, : alone.shape[1]] == pytest.approx(pairs, rel=1e-5, abs=1e-5)
    same = built(streams=[{"use": "acoustic"}, {"use": "logmel"}])
    width = same.widths[0]
    assert np.array_equal(extract(same, wave).numpy()[:, :width], extract(same.parts["params.streams.0"], wave).numpy()), "on its own grid"


@pytest.mark.parametrize("rate", [10.0, 25.0, 49.9, 50.0, 100.0])
@pytest.mark.parametrize("rows", [1, 2, 7, 50])
def test_a_grid_keeps_a_constant_and_the_time_of_a_slope(rate: float, rows: int) -> None:
    offset, seconds = 0.0125, rows / rate
    for grid in (10, 25, 50, 100):
        count = max(1, math.ceil(seconds * grid - 1e-9))
        times = (offset + np.arange(rows) / rate)[:, None].astype(np.float32)
        assert np.allclose(to_grid(np.full_like(times, 3.0), rate, offset, grid, count), 3.0)
        found = to_grid(times, rate, offset, grid, count)[:, 0]
        assert found.shape == (count,) and (np.diff(found) >= -1e-6).all()
        assert (
            np.abs(found - np.clip((np.arange(count) + 0.5) / grid, times[0], times[-1]).ravel()).max() <= 0.5 / rate + 0.5 / grid + offset
        )


# -- what of the streams counts -----------------------------------------------------------------------------------------


def test_a_config_binds_the_streams_with_all_their_parameters() -> None:
    resolved = config()
    inner = resolved.components["encoders.mel.params.streams.1"]
    assert (inner.full_name, inner.params.model_dump()["bands"], inner.path) == ("sere.logmel", 8, "encoders.mel.params.streams.1")
    written = resolved.config.encoders["mel"].params["streams"]
    assert [each["use"] for each in written] == ["sere.acoustic", "sere.logmel"] and written[1]["params"]["kernel"] == 5
    again = load(yaml.safe_load(resolved.dump()))
    assert again.digest() == resolved.digest() and again.components.keys() == resolved.components.keys()
    assert config("encoders.mel.params.streams.1.params.bands=16").digest() != resolved.digest()
    default = load({**yaml.safe_load(SMALL), "encoders": {"mel": {"use": "fusion_reconstructed"}}})
    assert [default.components[f"encoders.mel.params.streams.{index}"].full_name for index in range(3)] == [
        "sere.hubert",
        "sere.logmel",
        "sere.acoustic",
    ]


@pytest.mark.parametrize(
    ("streams", "code", "path"),
    [
        ([{"use": "logmell"}, *STREAMS], "R201", "encoders.mel.params.streams.0.use"),
        ([*STREAMS, {"use": "logmel", "params": {"band": 8}}], "C302", "encoders.mel.params.streams.2.params.band"),
        ([*STREAMS, {"params": {}}], "C302", "encoders.mel.params.streams.2.use"),
        (STREAMS[:1], "C302", "encoders.mel.params"),
        ([*STREAMS, {"use": "coral"}], "R201", "encoders.mel.params.streams.2.use"),
    ],
)
def test_what_is_wrong_with_a_stream_is_said_at_its_place(streams: Any, code: str, path: str) -> None:
    with pytest.raises(SereError) as caught:
        config(streams=streams)
    assert [(each.code, each.place.path) for each in caught.value.problems] == [(code, path)]


def test_pooled_streams_stand_side_by_side_in_one_row_and_say_whose_layers_they_are(tmp_path: Path) -> None:
    pooled = {"use": "hubert", "params": {"model": str(tiny_hubert(tmp_path)), "layer": "mix", "pool": True}}
    listed = {"use": "hubert", "params": {**pooled["params"], "layer": [1, 2]}}  # type: ignore[dict-item]

    def made(*streams: Any, use: str = "concatenation") -> Any:
        encoders = {"mel": {"use": use, "params": {"streams": list(streams)}}}
        return load({**yaml.safe_load(SMALL), "encoders": encoders}).components["encoders.mel"].build(BuildContext("mel"))

    both, alone = made(pooled, listed), [made(pooled), made(listed)]
    rows = extract(both, waves()[0])
    assert both.pooled and rows.shape == (1, both.dim)
    np.testing.assert_array_equal(rows, np.concatenate([extract(each, waves()[0]) for each in alone], axis=1))
    (states, width), second = both.networks
    assert (states * width, second) == (alone[0].dim, (2, width)) and made(*STREAMS).networks == tuple((1, n) for n in built().widths)
    bands = load({**yaml.safe_load(SMALL), "encoders": {"mel": STREAMS[1]}}).components["encoders.mel"].build(BuildContext("mel"))
    frames, alone = made(STREAMS[1], pooled), [bands, made(pooled)]
    expected = [np.asarray(extract(each, waves()[0])).mean(axis=0, keepdims=True) for each in alone]
    np.testing.assert_allclose(extract(frames, waves()[0]), np.concatenate(expected, axis=1), rtol=1e-5)
    with pytest.raises(SereError) as caught:
        made(pooled, listed, use="fusion_reconstructed")
    [problem] = caught.value.problems
    assert problem.code == "C302" and problem.place.path == "encoders.mel.params.streams.0"


def test_a_stream_that_is_to_be_trained_is_refused(tmp_path: Path) -> None:
    hubert = {"use": "hubert", "params": {"model": str(tiny_hubert(tmp_path)), "train": "all"}}
    with pytest.raises(SereError) as caught:
        built(streams=[*STREAMS, hubert])
    assert [(each.code, each.place.path) for each in caught.value.problems] == [("C302", "encoders.mel.params.streams.2")]


def test_fingerprint_files_and_code_of_every_stream_are_in_the_key(tmp_path: Path) -> None:
    model = tiny_hubert(tmp_path / "model")
    hubert = {"use": "hubert", "params": {"model": str(model)}}
    (tmp_path / "mine.py").write_text(MINE)

    def key(*sets: str, streams: Any = (*STREAMS, hubert)) -> str:
        bound = config(*sets, streams=list(streams)).components["encoders.mel"]
        named = (bound.build(BuildContext("mel")), bound.full_name, encoder_origin(bound, Contents()))
        return Keys({"mel": named}, Features(), Contents())(CLIP, "0", "encoder mel")

    first = key()
    assert key() == first
    keys = {first, key("encoders.mel.params.streams.0.params.rate=25"), key("encoders.mel.params.streams.1.params.bands=9")}
    keys |= {key("encoders.mel.params.streams.2.params.layer=0"), key("encoders.mel.params.rate=50"), key(streams=(hubert, *STREAMS))}
    assert len(keys) == 6 and key("encoders.mel.params.dim=16") == first, "what is trained is in no key"
    weights = next(path for path in model.iterdir() if path.suffix == ".safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert key() not in keys
    bound = config(streams=[*STREAMS, hubert]).components["encoders.mel"]
    assert len(encoder_origin(bound, Contents())) > sum(len(encoder_origin(one, Contents())) for one in bound.parts["streams"])
    assert files_of(config(streams=[*STREAMS, hubert]).components["encoders.mel.params.streams.2"])["model"] == model
    parts = config(streams=[*STREAMS, {"use": f"file:{tmp_path / 'mine.py'}:SPEC"}]).unread
    assert [*parts] == ["encoders.mel.params.streams.2"] and codes((), Contents()), "a file is named, and not imported before a run"


MINE = """
from sere_registry import ComponentSpec
SPEC = ComponentSpec(kind="encoder", name="mine", factory=f"{__name__}:Mine", summary="of a test")
"""


def test_a_model_takes_the_checkpoints_of_its_streams_along(tmp_path: Path) -> None:
    from sere_core.cli import main
    from sere_core.model import Model
    from sere_core.score.records import Record

    checkpoint = tiny_hubert(tmp_path / "hubert")
    streams = [*STREAMS[1:], {"use": "hubert", "params": {"model": "hubert"}}]
    fused = {"use": "fusion_reconstructed", "params": {"streams": streams, "dim": 8, "rate": 50}}
    made = yaml.safe_load(SMALL) | {"encoders": {"mel": fused}, "output": {"dir": str(tmp_path / "runs")}}
    made["task"] |= {"setting": "transductive", "normalise": "corpus"}
    made |= {"resonance": None, "dynamics": {"use": "none"}}
    (tmp_path / "fused.yaml").write_text(json.dumps(made))
    assert main(["run", str(tmp_path / "fused.yaml"), "--quiet"]) == 0
    record = Record.read(next((tmp_path / "runs").glob("*/done")).parent)
    encoders = [(each["name"], each["evidence"]) for each in record.manifest["components"] if each["kind"] == "encoder"]
    assert encoders == [("sere.fusion_reconstructed", "reconstructed"), ("sere.logmel", "confirmed"), ("sere.hubert", "confirmed")]
    assert main(["export", str(record.path), "-o", str(tmp_path / "model"), "--fold", "1", "--quiet"]) == 0
    shutil.rmtree(checkpoint)
    assert str(tmp_path) not in (tmp_path / "model" / "config.yaml").read_text()
    moved = (tmp_path / "model").rename(tmp_path / "moved")
    model = Model.load(moved)
    wave = np.sin(np.arange(8000) * 0.05).astype(np.float32) * 0.3
    assert sum(model.predict(wave, 16000).posteriors.values()) == pytest.approx(1.0, abs=1e-5)
    assert [each.name for each in sorted((moved / "encoders").iterdir())] == ["mel.params.streams.1"]
