"""U-ERMS: its masks, its formula by hand, its two sources, odd batches, and that weight zero is source-only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sere_core.testing.data import Shape, encoded, streams
from sere_plugins.losses.u_erms_reconstructed import UErms
from sere_plugins.specs.consistency import U_ERMS_RECONSTRUCTED, UErmsParams
from sere_registry import Frames, Progress
from tests.probes.driver import context
from tests.train.recipes import made, toy

NOW = Progress(3, 1, 0.5)


def loss_and_batches(shape: Shape | None = None, **params: Any) -> tuple[UErms, dict[str, Any]]:
    shape = shape or Shape()
    loss = UErms(UErmsParams(**params), shape.context()).to(shape.dtype)
    every = streams(shape)
    for name in ("labelled", "source", "target"):  # as the network has encoded them
        every[name] = loss._backbone[0].encode(every[name])  # type: ignore[type-var]
    return loss, {name: every[name] for name in loss.reads}


def test_masks_are_spans_of_real_frames_up_to_their_share() -> None:
    loss = UErms(UErmsParams(share=0.3, span=0.1), context())
    mask = torch.arange(60) < torch.tensor([60, 20, 3, 1])[:, None]
    before = Frames(torch.ones(4, 60, 5).masked_fill(~mask.unsqueeze(-1), 7.0), mask, 50.0)
    covered = []
    for step in range(20):
        after = loss.mask(before, loss.draws(step))
        hidden = (after.values == 0).all(dim=2)
        assert torch.equal(after.values == 0, hidden.unsqueeze(-1).expand_as(after.values)) and not (hidden & ~mask).any()
        assert (hidden.sum(dim=1) <= 0.3 * mask.sum(dim=1)).all() and hidden[0].sum() >= 5 and torch.equal(after.mask, mask)
        runs = "".join("x" if each else "." for each in hidden[0].tolist()).split(".")
        assert all(len(run) >= 5 for run in runs if run), "a span is shorter than 0.1 s at 50 frames a second"
        covered.append(int(hidden[0].sum()))
    assert len(set(covered)) > 1


def test_no_mask_and_no_head_leave_nothing_to_reconstruct() -> None:
    loss, batches = loss_and_batches(share=0.0)
    loss.head = nn.Identity()
    assert [term.item() for term in loss(**batches).values()] == pytest.approx([0.0, 0.0], abs=1e-12)


def test_it_is_one_minus_the_cosine_within_its_range_and_the_whole_gets_no_gradient() -> None:
    loss, batches = loss_and_batches(share=0.5, span=0.04)
    whole = {name: batch.embedding.detach().requires_grad_() for name, batch in batches.items() if name != "progress"}
    for name, embedding in whole.items():
        object.__setattr__(batches[name], "embedding", embedding)
    found = loss(**batches)
    again, gaps = loss.draws(NOW.step), {}
    for name in ("target", "labelled", "source"):
        masked = loss._backbone[0].encode(batches[name], loss.mask(batches[name].inputs.frames, again)).embedding
        gaps[name] = 1 - torch.cosine_similarity(loss.head(masked), whole[name])
        assert (gaps[name] >= 0).all() and (gaps[name] <= 2).all()
    torch.testing.assert_close(found["target"], gaps["target"].mean())
    torch.testing.assert_close(found["source"], torch.cat([gaps["labelled"], gaps["source"]]).mean())
    sum(found.values()).backward()
    assert all(embedding.grad is None for embedding in whole.values())
    assert all(value.grad is not None for value in loss.head.parameters())
    assert loss._backbone[0].projections["toy"].linear.weight.grad.any()  # type: ignore[attr-defined, union-attr]


def test_where_the_source_is_reconstructed() -> None:
    for source, reads in (("all", {"labelled", "source"}), ("labelled", {"labelled"}), ("none", set())):
        loss, batches = loss_and_batches(source=source)
        assert loss.reads == {"target", "progress", *reads}
        assert set(loss(**batches)) == ({"target", "source"} if reads else {"target"})


def test_dropout_in_the_second_pass_disturbs_nobody() -> None:
    loss, batches = loss_and_batches()
    for module in loss._backbone[0].modules():  # type: ignore[attr-defined]
        if isinstance(module, nn.Dropout):
            module.p = 0.5
    before = torch.get_rng_state()
    loss(**batches)
    assert torch.equal(torch.get_rng_state(), before)


def test_one_frame_and_utterances_that_are_there_twice() -> None:
    shape = Shape(frames=1)
    loss, _ = loss_and_batches(shape, source="none")
    for rows in ([0], [0, 0, 0]):
        batch = loss._backbone[0].encode(encoded(2, shape, 0, padding=0.0)).take(rows)  # type: ignore[type-var]
        assert loss(progress=NOW, target=batch)["target"].isfinite()


def test_weight_zero_is_source_only_to_the_bit_and_another_is_not(tmp_path: Path) -> None:
    only = toy().trainer(tmp_path / "only").run().posteriors
    for weight in (0.0, 1.0):
        found = toy(adapt=made(U_ERMS_RECONSTRUCTED), weight=weight).trainer(tmp_path / str(weight)).run().posteriors
        assert torch.equal(found, only) is (weight == 0)
