"""Tiny pretrained models, made on the spot: the classes and files of real ones, with random weights.

    folder = tiny_wav2vec2(tmp_path / "w2v")      # `model: <folder>` in a config

The convolutions have the kernels and strides of the real networks, so frames stand at 50 Hz and look at 400 samples.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

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
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    return _speech(folder, Wav2Vec2Config, Wav2Vec2Model, group_norm, changes)


def tiny_hubert(folder: Path, group_norm: bool = True, **changes: Any) -> Path:
    """Like hubert-base, or like hubert-large."""
    from transformers import HubertConfig, HubertModel

    return _speech(folder, HubertConfig, HubertModel, group_norm, changes)


def tiny_wavlm(folder: Path, group_norm: bool = False, **changes: Any) -> Path:
    """Like wavlm-large, or like wavlm-base; few and near buckets of relative positions, so that short audio reaches them all."""
    from transformers import WavLMConfig, WavLMModel

    return _speech(folder, WavLMConfig, WavLMModel, group_norm, {"num_buckets": 16, "max_bucket_distance": 20, **changes})


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
    model = WhisperForConditionalGeneration(config)
    _shake(model)
    model.save_pretrained(folder)
    wanted = {"feature_size": 20, "hop_length": 160, "n_fft": 400, "sampling_rate": 16000, "chunk_length": 30, "padding_value": 0.0}
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": "WhisperFeatureExtractor", **wanted}))
    return folder


def _speech(folder: Path, config_class: Any, model_class: Any, group_norm: bool, changes: dict[str, Any]) -> Path:
    torch.manual_seed(0)
    norm = {"feat_extract_norm": "group" if group_norm else "layer", "do_stable_layer_norm": not group_norm, "conv_bias": not group_norm}
    model = model_class(config_class(**{**_CONVOLUTIONS, **_LAYERS, **norm, **changes}))
    _shake(model)
    model.save_pretrained(folder)
    wanted = {
        "do_normalize": True,
        "return_attention_mask": not group_norm,
        "feature_size": 1,
        "padding_value": 0.0,
        "sampling_rate": 16000,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps({"feature_extractor_type": "Wav2Vec2FeatureExtractor", **wanted}))
    return folder


def _shake(model: torch.nn.Module) -> None:
    """Larger weights than the usual start, and norms that are not the identity: a part left out or out of order then shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 or "rel_attn" in name:
                parameter.add_(0.3 * torch.randn(parameter.shape))
            elif "conv" not in name:
                parameter.mul_(8.0)
