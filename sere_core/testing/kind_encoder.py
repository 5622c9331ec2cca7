"""The checks of encoders."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sere_core.testing.comparing import close, same, shaken
from sere_core.testing.slopes import check_slope
from sere_core.testing.sounds import CONTOURS, HOP, Array, padded, waves
from sere_core.testing.subject import Checks, Subject
from sere_registry import Encoder

CHECKS = Checks()
MEMBERS = ("input_dim", "dim", "rate", "offset", "contours", "normalise", "fingerprint", "extract", "lengths", "__call__")


def build(subject: Subject, seed: int = 0) -> Any:
    """In evaluation mode."""
    return subject.build(seed=seed).eval()


def extract(encoder: Any, wave: Array) -> Tensor:
    """`[T, F]`, with made-up contours: every other value voiced."""
    count = 1 + int(len(wave) / 16000 / HOP)
    steps = np.arange(count, dtype=np.float32)
    every = {"f0": 150 + 5 * steps, "periodicity": steps % 2, "rms": 0.1 + 0 * steps, "mfcc2": steps, "centroid": 900 + steps}
    found = encoder.extract(wave.copy(), {name: every[name].astype(np.float32) for name in encoder.contours}, HOP)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32, "extract does not return an array of float32"
    assert found.ndim == 2 and found.shape[1] == encoder.input_dim, f"extract returns {found.shape}, not [T, {encoder.input_dim}]"
    assert len(found) > 0, f"extract returns no frame for {len(wave)} samples"
    assert np.isfinite(found).all(), "extract returns values that are not finite"
    return torch.from_numpy(found.copy())


def encode(encoder: Any, rows: list[Tensor], padding: float = 0.0, extra: int = 0) -> list[Tensor]:
    """The real frames of each."""
    found = encoder(padded(rows, padding, extra))
    return [values[mask] for values, mask in zip(found.values, found.mask, strict=True)]


@CHECKS("encoder.shapes", "build.defaults")
def shapes(subject: Subject) -> None:
    """Extraction and `forward` return what `input_dim`, `dim`, `rate` and `lengths` say, for one sample too."""
    encoder = build(subject)
    missing = [name for name in MEMBERS if not hasattr(encoder, name)]
    assert not missing and isinstance(encoder, Encoder), f"it has no {', '.join(missing)}"
    assert isinstance(encoder.normalise, bool), "`normalise` is not True or False"
    unknown = set(encoder.contours) - set(CONTOURS)
    assert not unknown, f"it wants the contours {sorted(unknown)}; there are {', '.join(CONTOURS)}"
    assert 0 <= encoder.offset <= 1 / encoder.rate, f"its first frame stands at {encoder.offset} s, {encoder.rate} frames a second"
    rows = [extract(encoder, wave) for wave in waves()]
    found = encoder(padded(rows))
    counts = encoder.lengths(torch.tensor([len(row) for row in rows])).tolist()
    assert found.mask.dtype == torch.bool, "its mask is not of booleans"
    wide = (*found.mask.shape, encoder.dim)
    assert found.values.shape == wide, f"forward returns {tuple(found.values.shape)}, not {wide}"
    assert found.mask.sum(dim=1).tolist() == counts, f"forward returns {found.mask.sum(dim=1).tolist()} frames, `lengths` says {counts}"
    assert min(counts) >= 1, "an utterance has no frame"
    assert (torch.arange(found.mask.shape[1]) < torch.tensor(counts)[:, None]).equal(found.mask), "real frames do not come first"
    assert bool(torch.isfinite(found.values[found.mask]).all()), "forward returns values that are not finite"
    for wave, count in zip(waves(), counts, strict=True):
        seconds = len(wave) / 16000
        assert abs(count - seconds * encoder.rate) <= 1.5, f"{count} frames in {seconds:.2f} s, and its rate is {encoder.rate}"


@CHECKS("encoder.batched_is_single", "encoder.shapes")
def batched_is_single(subject: Subject) -> None:
    """An utterance's frames do not depend on what it is batched with."""
    encoder = build(subject)
    rows = [extract(encoder, wave) for wave in waves()]
    for row, found in zip(rows, encode(encoder, rows), strict=True):
        assert close(encode(encoder, [row])[0], found), "an utterance's frames are others in a batch than alone"


@CHECKS("encoder.padding", "encoder.shapes")
def padding(subject: Subject) -> None:
    """What stands in padded frames reaches no real one, not even NaN."""
    encoder = build(subject)
    rows = [extract(encoder, wave) for wave in waves()]
    clean = encode(encoder, rows, extra=4)
    for rubbish in (1e3, float("nan")):
        for one, other in zip(clean, encode(encoder, rows, rubbish, extra=4), strict=True):
            assert close(one, other), f"frames change with {rubbish:g} in padded ones"


@CHECKS("encoder.deterministic", "encoder.shapes")
def deterministic(subject: Subject) -> None:
    """Extraction repeats, bit for bit, in whatever instance and order: its output is cached; its fingerprint is JSON and repeats."""
    first, second = build(subject, seed=1), build(subject, seed=2)
    reverse = [extract(second, wave) for wave in reversed(waves())][::-1]
    for wave, other in zip(waves(), reverse, strict=True):
        assert same(extract(first, wave), other), "two instances extract other values from the same samples"
    prints = [json.dumps(dict(each.fingerprint()), sort_keys=True, allow_nan=False) for each in (first, second)]
    assert prints[0] == prints[1], "two instances have other fingerprints"
    rows = [extract(first, wave) for wave in waves()]
    assert all(same(*pair) for pair in zip(encode(first, rows), encode(first, rows), strict=True)), (
        "forward does not repeat in evaluation mode"
    )


@CHECKS("encoder.trained", "encoder.shapes")
def trained(subject: Subject) -> None:
    """Gradients reach exactly what is trained: every parameter with `requires_grad`, and no other."""
    encoder = build(subject).train()
    frames = torch.cat(encode(encoder, [extract(encoder, wave) for wave in waves()[:2]], extra=1))
    learned = [name for name, parameter in encoder.named_parameters() if parameter.requires_grad]
    assert frames.requires_grad == bool(learned), "a frozen encoder has no graph, a trained one has"
    if learned:
        (frames**3).sum().backward()  # type: ignore[no-untyped-call]
    for name, parameter in encoder.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, f"no gradient reaches '{name}', which asks for one: freeze it with requires_grad_(False)"
            assert bool(torch.isfinite(parameter.grad).all()), f"the gradient of '{name}' is not finite"


@CHECKS("encoder.float64", "encoder.trained", "encoder.deterministic")
def float64(subject: Subject) -> None:
    """The gradients of what is trained are those of its function: finite differences in float64."""
    encoder = build(subject).double()
    rows = [extract(encoder, wave).double() for wave in waves()[1:]]
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]

    def value() -> Tensor:
        heard = torch.cat(encode(encoder, rows, extra=1))
        return heard.square().mean() + heard.mean()

    if trained:
        check_slope(value, trained, "the derivative by what is trained")


@CHECKS("encoder.state", "encoder.deterministic")
def state(subject: Subject) -> None:
    """Its `state_dict` is all there is: another instance that takes it over gives the same bits."""
    first, second = shaken(build(subject, seed=1), 0.01), build(subject, seed=2)
    second.load_state_dict(first.state_dict())
    rows = [extract(first, waves()[1])]
    assert same(encode(first, rows)[0], encode(second, rows)[0]), "a second instance with its state_dict gives other frames"
