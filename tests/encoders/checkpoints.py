"""Tiny pretrained models, made on the spot: the classes and files of real ones, with random weights.

    folder = tiny_wav2vec2(tmp_path / "w2v")      # `model: <folder>` in a config

The convolutions have the kernels and strides of the real networks, so frames stand at 50 Hz and look at 400 samples.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sere_registry import Frames

HIDDEN = 16
LAYERS = 3
_CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": (8,) * 7,
    "conv_kernel": (10, 3, 3, 3, 3, 2, 2),
    "conv_stride": (5, 2, 2, 2, 2, 2, 2),
    "num_feat_extract_layers": 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_LAYERS: dict[str, Any] = {"hidden_size": HIDDEN, "num_hidden_layers": LAYERS, "num_attention_heads": 2, "intermediate_size": 32}


def tiny_wav2vec2(folder: Path, group_norm: bool = True, **changes: Any) -> Path:
    """Like wav2vec2-base (group norm, norm after each layer), or like wav2vec2-large-lv60 (layer norm, norm before)."""
    return _speech(folder, "Wav2Vec2", group_norm, changes)


def tiny_hubert(folder: Path, group_norm: bool = True, **changes: Any) -> Path:
    """Like hubert-base, or like hubert-large."""
    return _speech(folder, "Hubert", group_norm, changes)


def tiny_wavlm(folder: Path, group_norm: bool = False, **changes: Any) -> Path:
    """Like wavlm-large, or like wavlm-base; few and near buckets of relative positions, so that short audio reaches them all."""
    return _speech(folder, "WavLM", group_norm, {"num_buckets": 16, "max_bucket_distance": 20, **changes})


def tiny_whisper(folder: Path, positions: int = 60, **changes: Any) -> Path:
    """Like whisper, encoder and decoder; windows of `positions` frames (1500 in real ones), 20 ms each."""
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=20, num_mel_bins=20, d_model=HIDDEN, encoder_layers=LAYERS, encoder_attention_heads=2, encoder_ffn_dim=32,
        decoder_layers=1, decoder_attention_heads=2, decoder_ffn_dim=32, max_source_positions=positions, max_target_positions=10,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=3, suppress_tokens=None, begin_suppress_tokens=None,
        **changes,
    )  # fmt: skip
    wanted = {"feature_size": 20, "hop_length": 160, "n_fft": 400, "chunk_length": 30}
    return _save(folder, WhisperForConditionalGeneration(config), "WhisperFeatureExtractor", wanted)


def encode(encoder: Any, *waveforms: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    """Extract each, pad with rubbish, run the trained part on the batch: `[B, T, H]` and the mask."""
    rows = [torch.from_numpy(encoder.extract(waveform, {}, 0.02)) for waveform in waveforms]
    counts = torch.tensor([len(row) for row in rows])
    values = torch.full((len(rows), int(counts.max()), encoder.input_dim), 1e3)
    for at, row in enumerate(rows):
        values[at, : len(row)] = row
    out = encoder(Frames(values, torch.arange(values.shape[1]) < counts[:, None], encoder.rate))
    assert out.mask.sum(dim=1).tolist() == encoder.lengths(counts).tolist()
    assert out.values.shape == (*out.mask.shape, encoder.dim)
    return out.values, out.mask


def _speech(folder: Path, name: str, group_norm: bool, changes: dict[str, Any]) -> Path:
    import transformers

    torch.manual_seed(0)
    norm = {"feat_extract_norm": "group" if group_norm else "layer", "do_stable_layer_norm": not group_norm, "conv_bias": not group_norm}
    config = getattr(transformers, f"{name}Config")(**{**_CONVOLUTIONS, **_LAYERS, **norm, **changes})
    wanted = {"do_normalize": True, "return_attention_mask": not group_norm, "feature_size": 1}
    return _save(folder, getattr(transformers, f"{name}Model")(config), "Wav2Vec2FeatureExtractor", wanted)


def _save(folder: Path, model: Any, extractor: str, wanted: dict[str, object]) -> Path:
    _shake(model)
    model.save_pretrained(folder)
    settings = {"feature_extractor_type": extractor, "sampling_rate": 16000, "padding_value": 0.0, **wanted}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))
    return folder


def _shake(model: torch.nn.Module) -> None:
    """Larger weights than the usual start, and norms that are not the identity: a part left out or out of order then shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 or "rel_attn" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape))
            elif "conv" not in name:
                parameter.mul_(8.0)
