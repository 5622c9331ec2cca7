"""wav2vec2, hubert and wavlm against transformers' own forward pass, on tiny checkpoints of the real classes."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from sere_core.config import load
from sere_plugins.encoders import pretrained
from sere_plugins.encoders.speech import SpeechEncoder
from sere_plugins.specs import encoders as specs
from sere_registry import BuildContext, SereError
from tests.encoders.checkpoints import HIDDEN, LAYERS, encode, tiny_hubert, tiny_wav2vec2, tiny_wavlm, tiny_whisper

MAKERS: dict[str, Callable[..., Path]] = {"wav2vec2": tiny_wav2vec2, "hubert": tiny_hubert, "wavlm": tiny_wavlm}
SPECS = {"wav2vec2": specs.WAV2VEC2, "hubert": specs.HUBERT, "wavlm": specs.WAVLM}
KINDS = [(kind, group) for kind in MAKERS for group in (True, False)]
RNG = np.random.default_rng(0)
LONG = RNG.normal(0.02, 0.1, 16000).astype(np.float32)
SHORT = RNG.normal(-0.01, 0.3, 7001).astype(np.float32)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, bool], Path]:
    root = tmp_path_factory.mktemp("models")
    return {(kind, group): MAKERS[kind](root / f"{kind}-{group}", group_norm=group) for kind, group in KINDS}


def build(folder: Path, **params: Any) -> SpeechEncoder:
    spec = SPECS[json.loads((folder / "config.json").read_text())["model_type"]]
    made = spec.load()(spec.params(**{"model": str(folder), **params}), BuildContext(id="anchor"))
    assert isinstance(made, SpeechEncoder)
    return made.eval()


def theirs(folder: Path, waveform: np.ndarray) -> tuple[Tensor, tuple[Tensor, ...]]:
    """What transformers' own model class and feature extractor say."""
    from transformers import AutoModel, Wav2Vec2FeatureExtractor

    model: Any = AutoModel.from_pretrained(folder).eval()
    made = Wav2Vec2FeatureExtractor.from_pretrained(folder)(waveform, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        out = model(made.input_values, output_hidden_states=True)
    return out.last_hidden_state[0], tuple(state[0] for state in out.hidden_states)


@pytest.mark.parametrize("which", KINDS)
def test_frozen_layers_are_those_of_transformers(folders: dict[Any, Path], which: tuple[str, bool]) -> None:
    last, states = theirs(folders[which], LONG)
    encoder = build(folders[which])
    frames = encoder.extract(LONG, {}, 0.02)
    assert frames.shape == (49, HIDDEN) and frames.dtype == np.float32
    assert np.abs(frames - last.numpy()).max() < 1e-5
    for layer in range(LAYERS):  # the last of `hidden_states` is before or after the final norm, by version
        got = build(folders[which], layer=layer).extract(LONG, {}, 0.02)
        assert np.abs(got - states[layer].numpy()).max() < 1e-5
    assert np.array_equal(build(folders[which], layer=LAYERS).extract(LONG, {}, 0.02), frames)


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("params", [{}, {"layer": "mix"}, {"layer": "auto"}, {"train": "top", "top_layers": 1}], ids=str)
def test_bfloat16_changes_the_precision_and_nothing_else(
    folders: dict[Any, Path], which: tuple[str, bool], params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """These networks are so narrow that their norms multiply what rounding does to them; a wide one keeps a cosine of 0.9999."""
    monkeypatch.setattr(pretrained, "multiplies_bfloat16", lambda: True)  # without instructions for it, it is only slow
    exact, near = build(folders[which], **params), build(folders[which], precision="bfloat16", **params)
    for waveform in (LONG, SHORT, SHORT[:5]):
        wanted, found = (each.extract(waveform, {}, 0.02) for each in (exact, near))
        assert found.dtype == np.float32 and found.shape == wanted.shape and not np.array_equal(found, wanted)
        one, other = wanted.mean(axis=0), found.mean(axis=0)
        assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.8
    assert exact.fingerprint() != near.fingerprint()
    assert all(each.dtype == torch.float32 for each in near.parameters())
    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.Module, "bfloat16", lambda self: self)
        same = build(folders[which], precision="bfloat16", **params)
        np.testing.assert_allclose(same.extract(LONG, {}, 0.02), exact.extract(LONG, {}, 0.02), atol=1e-3)


def test_bfloat16_is_refused_where_the_processor_does_not_multiply_it(folders: dict[Any, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = build(folders["hubert", True], precision="bfloat16")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_f": True, "amx_bf16": False}, raising=False)
    with pytest.raises(SereError) as raised:
        encoder.extract(LONG, {}, 0.02)
    problem = raised.value.problems[0]
    assert problem.code == "X702" and str(problem.place) == "encoders.anchor.params.precision"
    with pytest.raises(SereError, match="bfloat16"):
        encoder.traced(torch.from_numpy(LONG))
    with pytest.raises(ValueError, match="precision is of the frozen part"):
        build(folders["hubert", True], precision="bfloat16", train="all")


@pytest.mark.parametrize("which", KINDS)
@pytest.mark.parametrize("train", [{"train": "top", "top_layers": k} for k in (1, 2, LAYERS)] + [{"train": "all"}])
def test_trained_in_part_equals_the_whole_network(folders: dict[Any, Path], which: tuple[str, bool], train: dict[str, Any]) -> None:
    """Batched with a shorter one and with rubbish in the padding; each as if it were alone in transformers' model."""
    encoder = build(folders[which], **train)
    assert not encoder.normalise  # standardised hidden states would be another network's
    values, mask = encode(encoder, SHORT, LONG)
    for row, waveform in enumerate((SHORT, LONG)):
        assert (values[row][mask[row]] - theirs(folders[which], waveform)[0]).abs().max() < 1e-5


def test_top_layers_of_a_network_that_is_cut(folders: dict[Any, Path]) -> None:
    """`layer` and `top_layers` together: layer 2 is the output, layer 2 alone is trained, and there is no final norm."""
    for which in KINDS:
        values, _ = encode(build(folders[which], train="top", top_layers=1, layer=2), LONG)
        assert (values[0] - theirs(folders[which], LONG)[1][2]).abs().max() < 1e-5


def test_a_frozen_layer_stands_beside_trained_ones(folders: dict[Any, Path]) -> None:
    """`layer: [2, 3]` with one top layer: layer 2, which alone is trained, and layer 3 as it is, on a cache of layers 1 and 3."""
    for which in KINDS:
        beside, frozen = build(folders[which], train="top", top_layers=1, layer=(2, 3)), build(folders[which], layer=(1, 3))
        assert beside.fingerprint() == frozen.fingerprint() and not beside.normalise
        (values, mask), states = encode(beside, SHORT, LONG), build(folders[which], layer=(2, 3)).extract(SHORT, {}, 0.02)
        assert values.shape[2] == beside.dim == 2 * HIDDEN
        assert np.abs(values[0][mask[0]].detach().numpy() - states).max() < 1e-5
        alone = build(folders[which], train="top", top_layers=1, layer=2)
        assert [name for name, _ in beside.named_parameters()] == [name for name, _ in alone.named_parameters()]


@pytest.mark.parametrize("which", KINDS)
def test_gradients_reach_exactly_the_trained_parameters(folders: dict[Any, Path], which: tuple[str, bool]) -> None:
    from transformers import AutoModel

    whole = {name for name, _ in AutoModel.from_pretrained(folders[which]).named_parameters() if "masked_spec_embed" not in name}

    def count(*parts: str) -> int:
        return sum(any(part in name for part in parts) for name in whole)

    final = 0 if which[1] else 2
    trained = {
        "frozen": 0,
        "top": count("encoder.layers.2.") + final,
        "all": len(whole) - count("feature_extractor."),
        "cnn": len(whole),
    }
    modes: dict[str, dict[str, Any]] = {
        "frozen": {},
        "top": {"train": "top", "top_layers": 1},
        "all": {"train": "all"},
        "cnn": {"train": "all", "train_cnn": True},
    }
    for name, params in modes.items():
        encoder = build(folders[which], **params).train()
        values, mask = encode(encoder, SHORT, LONG)
        if name != "frozen":
            (values[mask] ** 3).sum().backward()  # type: ignore[no-untyped-call]
        assert len(list(encoder.parameters())) == trained[name]
        assert len(encoder.state_dict()) == trained[name]
        for at, parameter in encoder.named_parameters():
            assert parameter.requires_grad and parameter.grad is not None, at
            assert torch.isfinite(parameter.grad).all() and (parameter.grad.abs().sum() > 0 or "k_proj.bias" in at), at


def test_mix_is_a_learned_sum_of_all_layers(folders: dict[Any, Path]) -> None:
    for which in KINDS:
        encoder = build(folders[which], layer="mix")
        assert encoder.input_dim == (LAYERS + 1) * HIDDEN and list(encoder.state_dict()) == ["mix.weights"]
        values, mask = encode(encoder, LONG, SHORT)
        last, states = theirs(folders[which], LONG)
        assert (values[0] - torch.stack([*states[:LAYERS], last]).mean(dim=0)).abs().max() < 1e-5
        (values[mask] ** 2).sum().backward()  # type: ignore[no-untyped-call]
        (weights,) = encoder.parameters()
        assert weights.grad is not None and weights.grad.abs().min() > 0
        with torch.no_grad():
            weights.copy_(torch.tensor([0.0, 50.0, 0.0, 0.0]))
        assert (encode(encoder, LONG)[0][0] - states[1]).abs().max() < 1e-5


def test_listed_layers_stand_side_by_side_and_pooling_is_their_mean_over_time(folders: dict[Any, Path]) -> None:
    for which in KINDS:
        last, states = theirs(folders[which], LONG)
        encoder = build(folders[which], layer=[1, 2, LAYERS])
        assert encoder.input_dim == encoder.dim == 3 * HIDDEN and encoder.states == 3
        expected = torch.cat([states[1], states[2], last], dim=-1)
        assert (encode(encoder, LONG)[0][0] - expected).abs().max() < 1e-5
        pooled = build(folders[which], layer=[1, 2, LAYERS], pool=True)
        values, _ = encode(pooled, LONG)
        assert values.shape == (1, 1, 3 * HIDDEN) and (values[0, 0] - expected.mean(dim=0)).abs().max() < 1e-5
        mixed = build(folders[which], layer="mix", pool=True)
        assert mixed.states == LAYERS + 1 and encode(mixed, LONG)[0].shape == (1, 1, HIDDEN)
        assert np.allclose(mixed.extract(LONG, {}, 0.01)[0, HIDDEN : 2 * HIDDEN], states[1].mean(dim=0), atol=1e-5)


def test_times_of_frames(folders: dict[Any, Path]) -> None:
    """Frame i shows what happens near `offset + i / rate`: a click moves the frames around it most."""
    encoder = build(folders["wav2vec2", False], layer=0, train="frozen")
    assert (encoder.rate, encoder.offset) == (50.0, 200 / 16000)
    cnn: Any = encoder._trunk.on(torch.device("cpu"))[0].cnn
    quiet = torch.zeros(1, 16000)
    for i in (0, 7, 48):
        click = quiet.clone()
        click[0, round((encoder.offset + i / encoder.rate) * 16000)] = 1.0
        moved = (cnn(click) - cnn(quiet))[0].norm(dim=0)
        assert int(moved.argmax()) == i


def test_lengths_are_exact_for_samples(folders: dict[Any, Path]) -> None:
    encoder = build(folders["wav2vec2", True], train="all")
    for n in (1, 399, 400, 401, 719, 720, 721, 16000):
        values, _ = encode(encoder, SHORT[:n] if n < 7000 else LONG[:n])
        assert values.shape[1] == int(encoder.lengths(torch.tensor([n]))) == max(0, n - 400) // 320 + 1


def test_samples_are_standardised_as_the_checkpoint_says(folders: dict[Any, Path], tmp_path: Path) -> None:
    whole = build(folders["wav2vec2", False], train="all").extract(SHORT, {}, 0.02)
    assert abs(float(whole.mean())) < 1e-6 and abs(float(whole.std()) - 1) < 1e-4
    raw = tiny_wav2vec2(tmp_path / "raw", group_norm=False)
    wanted = raw / "preprocessor_config.json"
    wanted.write_text(wanted.read_text().replace('"do_normalize": true', '"do_normalize": false'))
    assert np.array_equal(build(raw, train="all").extract(SHORT, {}, 0.02)[:, 0], SHORT)


def test_dropout_only_in_train_mode_and_never_spec_augment_or_layer_drop(tmp_path: Path) -> None:
    """Without dropout nothing random is left, whatever the checkpoint says of masks and layer drop."""
    noisy = {"layerdrop": 0.9, "mask_time_prob": 0.5, "mask_time_length": 2, "mask_feature_prob": 0.5, "mask_feature_length": 2}
    calm = {"hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0}
    for kind, maker in MAKERS.items():
        folder = maker(tmp_path / kind, **noisy, **calm)
        for params in ({"train": "top", "top_layers": 2}, {"train": "all"}):
            encoder = build(folder, **params)
            assert torch.equal(encode(encoder.eval(), LONG)[0], encode(encoder.train(), LONG)[0])
        encoder = build(maker(tmp_path / f"{kind}-dropout", hidden_dropout=0.5), train="top", top_layers=1)
        assert not torch.equal(encode(encoder.eval(), LONG)[0], encode(encoder.train(), LONG)[0])
        assert np.array_equal(encoder.train().extract(LONG, {}, 0.02), encoder.eval().extract(LONG, {}, 0.02))


def test_a_copy_is_trained_by_itself_and_shares_what_is_frozen(folders: dict[Any, Path]) -> None:
    """Methods copy encoders (moving averages, two branches); weight-normalised convolutions must survive it."""
    for which in KINDS:
        for params in ({"train": "all"}, {"train": "top", "top_layers": 1}):
            encoder = build(folders[which], **params)
            expected = encode(encoder, SHORT)[0].detach()
            twin = copy.deepcopy(encoder)
            assert twin._trunk is encoder._trunk
            with torch.no_grad():
                for parameter in twin.parameters():
                    parameter.mul_(1.1)
            assert torch.equal(encode(encoder, SHORT)[0], expected) and not torch.equal(encode(twin, SHORT)[0], expected)


def test_fingerprint_follows_settings_and_layer(folders: dict[Any, Path], tmp_path: Path) -> None:
    folder = tiny_wav2vec2(tmp_path / "model")
    prints = [
        build(folder, **params).fingerprint()
        for params in ({}, {"layer": 1}, {"layer": "mix"}, {"train": "all"}, {"pool": True}, {"layer": [1, 2]})
    ]
    json.dumps(prints)
    assert all(a != b for i, a in enumerate(prints) for b in prints[:i])
    assert build(folder, train="top", top_layers=2).fingerprint() == build(folder, layer=1).fingerprint()  # the same array
    wanted = folder / "preprocessor_config.json"
    wanted.write_text(wanted.read_text().replace("true", "false"))
    assert build(folder).fingerprint() != prints[0] and build(folder, train="all").fingerprint() != prints[3]
    assert {path.name for path in build(folder).files} >= {"config.json", "preprocessor_config.json", "model.safetensors"}


@pytest.mark.parametrize(
    ("params", "key", "says"),
    [
        ({"layer": [1, LAYERS + 1]}, "layer", f"layer {LAYERS + 1}"),
        ({"layer": LAYERS + 1}, "layer", f"{LAYERS} layers"),
        ({"train": "top", "top_layers": LAYERS + 1}, "top_layers", f"layer {LAYERS}"),
        ({"train": "top", "top_layers": 3, "layer": 2}, "top_layers", "layer 2"),
    ],
)
@pytest.mark.parametrize("kind", ["wav2vec2", "whisper"])
def test_layers_that_a_local_checkpoint_has_not_are_missed_in_the_config(
    folders: dict[Any, Path], tmp_path: Path, kind: str, params: dict[str, Any], key: str, says: str
) -> None:
    folder = tiny_whisper(tmp_path) if kind == "whisper" else folders["wav2vec2", True]
    with pytest.raises(SereError) as caught:
        load("sere_default", sets=[f"encoders.anchor={json.dumps({'use': kind, 'params': {'model': str(folder), **params}})}"])
    (problem,) = caught.value.problems
    assert (problem.code, problem.place.path) == ("C302", f"encoders.anchor.params.{key}") and says in problem.message


@pytest.mark.parametrize(
    ("params", "path", "hint"),
    [
        ({"layer": LAYERS + 1}, "encoders.anchor.params.layer", f"{LAYERS} layers"),
        ({"train": "top", "top_layers": LAYERS + 1}, "encoders.anchor.params.top_layers", f"{LAYERS} layers"),
        ({"train": "top", "top_layers": 2, "layer": 1}, "encoders.anchor.params.top_layers", "up to layer 1"),
        ({"train": "all", "layer": 0}, "encoders.anchor.params.layer", "up to layer 0"),
    ],
)
def test_layers_that_are_not_there(folders: dict[Any, Path], params: dict[str, Any], path: str, hint: str) -> None:
    unchecked = specs.WAV2VEC2.params(model=str(folders["wav2vec2", True])).model_copy(update=params)  # as of a name on the hub
    with pytest.raises(SereError) as caught:
        specs.WAV2VEC2.load()(unchecked, BuildContext(id="anchor"))
    (problem,) = caught.value.problems
    assert (problem.code, problem.place.path) == ("C302", path) and hint in problem.hint


@pytest.mark.parametrize(
    "params",
    [
        {"train": "top"},
        {"top_layers": 1},
        {"train_cnn": True},
        {"layer": "mix", "train": "all"},
        {"pool": True, "train": "top", "top_layers": 1},
        {"layer": [1, 2], "train": "all"},
        {"layer": [2, 1]},
        {"layer": [1, 1]},
        {"layer": []},
        {"layer": -1},
        {"layer": True},
        {"model": ""},
    ],
)
def test_parameters_that_do_not_fit_together(params: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        specs.WAV2VEC2.params(**params)


def test_hubert_with_batch_norm_before_its_positions(tmp_path: Path) -> None:
    """A batch norm would see padding too: such a network runs each utterance alone up to the first layer."""
    folder = tiny_hubert(tmp_path / "model", group_norm=False, conv_pos_batch_norm=True)
    values, mask = encode(build(folder, train="all"), SHORT, LONG)
    assert (values[0][mask[0]] - theirs(folder, SHORT)[0]).abs().max() < 1e-5
