"""Language-weighted contrast: what it comes down to, who takes part, and a speaker that an adversary hides."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sere_core.functional import supervised_contrastive, unit_rows
from sere_plugins.losses.language_supcon import LanguageSupcon
from sere_plugins.specs.adversarial import LanguageSupconParams
from sere_registry import LabelledBatch, Progress
from sere_registry.training import reads
from tests.probes.driver import TinyBackbone, batch, context, copy_of, same
from tests.probes.golden import SUPCON, det

ROWS, LABELS = det(6, 5, 0.3), torch.tensor([0, 0, 1, 1, 2, 0])
TWO, KNOWN = torch.tensor([0, 1, 0, 0, 1, 1]), torch.tensor([0, 1, 2, 0, 1, 2])
NOW = Progress(5, 1, 0.5)


def made(**params: Any) -> LanguageSupcon:
    torch.manual_seed(0)
    given = context(TinyBackbone(4, 5), dim=5, languages=("de", "it"), speakers=3)
    return LanguageSupcon(LanguageSupconParams(hidden=8, **params), given).double()


def labelled(rows: Tensor = ROWS, language: Tensor | None = None, speaker: Tensor = KNOWN) -> LabelledBatch:
    found = batch(rows, rows[:, :3], labels=LABELS)
    return replace(found, language=torch.zeros(6).long() if language is None else language, speaker=speaker)  # type: ignore[return-value]


def test_it_asks_for_nothing_of_the_target() -> None:
    assert reads(made()) == {"labelled", "progress"}  # type: ignore[arg-type]


@pytest.mark.parametrize("weight, language", [(1.0, TWO), (5.0, None)])
def test_without_a_weight_or_a_second_language_it_is_supcon(weight: float, language: Tensor | None) -> None:
    loss = made(language_weight=weight, temperature=0.07)
    assert loss(NOW, labelled(language=language))["contrast"].item() == pytest.approx(SUPCON[0.07], rel=1e-12)
    assert loss.diagnostics()["across"] == (0.0 if language is None else 0.5)


def test_positives_of_another_language_count_more() -> None:
    weights = torch.where(TWO[:, None] != TWO[None, :], 3.0, 1.0)
    expected = supervised_contrastive(unit_rows(ROWS), LABELS, 0.1, 0.1, weights)
    assert made(language_weight=3.0)(NOW, labelled(language=TWO))["contrast"].item() == pytest.approx(expected.item(), rel=1e-12)
    assert expected.item() != pytest.approx(SUPCON[0.1])


def test_without_speakers_there_is_no_speaker_term_and_unknown_ones_do_not_take_part() -> None:
    loss = made()
    assert loss(NOW, labelled(speaker=torch.full((6,), -1)))["speaker"].item() == 0.0
    part = torch.where(torch.arange(6) < 4, KNOWN, -1)
    rows = ROWS.clone().requires_grad_()
    loss(NOW, labelled(rows, speaker=part))["speaker"].backward()
    assert rows.grad is not None and rows.grad[:4].any(dim=1).all() and not rows.grad[4:].any()


def test_weight_0_leaves_the_speaker_out_to_the_bit() -> None:
    without = made(speaker_weight=0.0)
    found = []
    for speaker in (KNOWN, KNOWN.flip(0)):
        rows = ROWS.clone().requires_grad_()
        terms = without(NOW, labelled(rows, speaker=speaker))
        terms["contrast"].backward()
        found.append(rows.grad)
    assert set(terms) == {"contrast"} and not without.parameters_by_group() and not list(without.parameters())
    assert torch.equal(*found)  # type: ignore[arg-type]


def test_bad_batches_are_finite() -> None:
    loss = made()
    one = labelled().take([4])
    assert loss(NOW, one)["contrast"].item() == 0.0 and loss(NOW, one)["speaker"].isfinite()
    rows = ROWS[[0, 0, 2, 2, 2, 0]].clone().requires_grad_()
    sum(loss(NOW, labelled(rows, TWO)).values()).backward()  # type: ignore[union-attr]
    assert rows.grad is not None and rows.grad.isfinite().all()


def separation(speaker_weight: float) -> float:
    """How far apart two speakers' embeddings are, after training, of how far apart they lie altogether."""
    torch.manual_seed(1)
    classes, speakers = torch.arange(60) % 3, (torch.arange(60) // 3) % 2
    vectors = 2.0 * torch.eye(3)[classes] + 0.4 * torch.randn(60, 3)
    vectors = torch.cat([vectors, 2.0 * speakers[:, None] + 0.4 * torch.randn(60, 1)], dim=1)
    layer, classifier = nn.Linear(4, 5), nn.Linear(5, 3)
    loss = LanguageSupcon(LanguageSupconParams(hidden=16, speaker_weight=speaker_weight), context(TinyBackbone(4, 5), dim=5, speakers=2))
    optimizer = torch.optim.SGD([*layer.parameters(), *classifier.parameters(), *loss.parameters()], lr=0.2)
    for step in range(120):
        rows = torch.tanh(layer(vectors))
        given = replace(batch(rows, classifier(rows), labels=classes), speaker=speakers)
        hidden = loss(Progress(step, 0, step / 120), given).get("speaker", torch.zeros(()))
        total = nn.functional.cross_entropy(given.logits, classes) + hidden  # contrast alone would draw the speakers together, too
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    apart = rows[speakers == 0].mean(dim=0) - rows[speakers == 1].mean(dim=0)
    assert (given.logits.argmax(dim=1) == classes).float().mean() > 0.9
    return (apart.norm() / rows.std(dim=0).norm()).item()


def test_the_adversary_hides_the_speaker() -> None:
    assert separation(0.3) < 0.6 * separation(0.0)


def test_the_adversary_trains_in_a_group_of_its_own() -> None:
    loss = made(learning_rate=0.5)
    (group,) = loss.parameters_by_group().values()
    assert group.scale == 0.5 and same(copy_of(group.parameters), loss.parameters())
