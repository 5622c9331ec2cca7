"""SERE's equations in plain loops over float64 scalars: what the plugins are held against.  It shares no code with them.

An utterance is a pair (z, d): z `[T, D]`, d `[T, K]`, real frames only.  Every function works on torch scalars, so that
autograd differentiates the loops as they stand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

Utterance = tuple[Tensor, Tensor]


def pitch(f0: Sequence[float], periodicity: Sequence[float], p: Any) -> list[float]:
    """f0 with a value in every frame.  `p` has the names of `idfe`'s parameters."""
    voiced = [t for t in range(len(f0)) if periodicity[t] >= p.periodicity and math.isfinite(f0[t]) and f0[t] > 0]

    def value(t: int) -> float:
        return f0[t] if p.f0_scale == "hz" else 12 * math.log(f0[t] / 55) / math.log(2)

    found = []
    for t in range(len(f0)):
        before, after = [v for v in voiced if v <= t], [v for v in voiced if v >= t]
        if t in voiced:
            found.append(value(t))
        elif not voiced or p.unvoiced == "zero":
            found.append(0.0)
        elif not before:
            found.append(value(after[0]))
        elif not after or p.unvoiced == "hold":
            found.append(value(before[-1]))
        else:
            left, right = before[-1], after[0]
            found.append(value(left) + (value(right) - value(left)) * (t - left) / (right - left))
    return found


def idfe(contours: Tensor, context: Tensor, weight: Tensor, bias: Tensor, eps: float, real: Sequence[bool] | None = None) -> Tensor:
    """Equation 1 for one utterance: f `[T, K]`, h `[T, d]`, W `[K or 1, d]` -> d `[T, K]`.

    A difference stands where both of its frames are `real` (all, if not given).
    """
    frames, count = contours.shape
    real = [True] * frames if real is None else real
    valid = [t for t in range(1, frames) if real[t] and real[t - 1]]
    out = torch.zeros(frames, count, dtype=torch.float64)
    for k in range(count):
        row = k if len(weight) > 1 else 0
        steps = {t: contours[t, k] - contours[t - 1, k] for t in valid}
        scale = sum((abs(step) for step in steps.values()), torch.zeros((), dtype=torch.float64)) / max(len(valid), 1)
        for t in valid:
            gate = 1 / (1 + torch.exp(-((weight[row] * context[t]).sum() + bias[row])))
            out[t, k] = gate * steps[t] / (scale + eps)
    return out


def delta(contours: Tensor, eps: float, real: Sequence[bool], order: int = 1) -> Tensor:
    """Dn of equation 1 without the gate, or with `order` 2 that of the differences' differences: f `[T, K]` -> `[T, K]`."""
    out = torch.zeros_like(contours)
    for k in range(contours.shape[1]):
        steps = {t: contours[t, k] for t in range(len(contours)) if real[t]}
        for _ in range(order):
            steps = {t: step - steps[t - 1] for t, step in steps.items() if t - 1 in steps}
        scale = sum((abs(step) for step in steps.values()), torch.zeros((), dtype=torch.float64)) / max(len(steps), 1)
        for t, step in steps.items():
            out[t, k] = step / (scale + eps)
    return out


def standardised(contours: Tensor, eps: float, real: Sequence[bool]) -> Tensor:
    """Each contour less its mean, over its standard deviation (and eps), of the real frames: f `[T, K]` -> `[T, K]`."""
    out = torch.zeros_like(contours)
    for k in range(contours.shape[1]):
        values = {t: Fraction(contours[t, k].item()) for t in range(len(contours)) if real[t]}
        mean = sum(values.values()) / max(len(values), 1)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in values.values()) / max(len(values), 1))
        for t, value in values.items():
            out[t, k] = float(value - mean) / (deviation + eps)
    return out


def enhanced(context: Tensor, bursts: Tensor) -> Utterance:
    """Equation 2: z_t = [h_t ; d_t], and d_t beside it for equation 3."""
    rows = [[*context[t], *bursts[t]] for t in range(len(context))]
    return torch.stack([torch.stack(row) for row in rows]), bursts


def embedding(z: Tensor) -> Tensor:
    """g = mean_t z_t."""
    return sum((z[t] for t in range(len(z))), torch.zeros(z.shape[1], dtype=torch.float64)) / len(z)


def strengths(bursts: Tensor, alpha: Tensor, burst: str) -> list[Tensor]:
    """Equation 3: e_t for every frame."""
    found = []
    for t in range(len(bursts)):
        total = torch.zeros((), dtype=torch.float64)
        for k in range(len(alpha)):
            total = total + alpha[k] * (abs(bursts[t, k]) if burst == "abs" else bursts[t, k])
        found.append(total)
    return found


def highlights(e: list[Tensor], highlight: str, quantile: float) -> list[int]:
    """H of equation 6, decided in exact arithmetic."""
    exact = [Fraction(float(value.detach())) for value in e]
    if highlight == "all":
        return list(range(len(e)))
    if highlight == "above_mean":
        return [i for i, value in enumerate(exact) if value >= sum(exact) / len(exact)]
    keep = len(e) - int(Fraction(str(quantile)) * len(e))  # as it is written: 0.7 of 10 frames are 7
    level = sorted(exact, reverse=True)[keep - 1]
    return [i for i, value in enumerate(exact) if value >= level]


def cosine(left: Tensor, right: Tensor) -> Tensor:
    """0 where a vector is 0."""
    if not bool(left.detach().any()) or not bool(right.detach().any()):
        return (left * right).sum() * 0
    return (left * right).sum() / ((left * left).sum().sqrt() * (right * right).sum().sqrt())


def resonate(a: Utterance, b: Utterance, alpha: Tensor, p: Any, moved: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """Equations 3 to 6 for one pair: S(a, b) and zt_{a<-b}.  `p` has the names of `irf`'s parameters.

    Under the shuffled control, what resonates with frame j of b is matched with frame `moved[j]` of it.
    """
    (za, da), (zb, db) = a, b
    ea, eb = strengths(da, alpha, p.burst), strengths(db, alpha, p.burst)
    best: list[Tensor] = []
    aligned = torch.zeros(zb.shape[1], dtype=torch.float64)
    for i in range(len(za)):
        row = []
        for j in range(len(zb)):
            gap = ea[i] - eb[j]
            sync = torch.exp(-abs(gap) / p.temperature) if p.sync == "exp_abs" else torch.exp(-gap * gap / p.temperature)
            row.append(cosine(za[i], zb[j]) * sync if p.combine == "product" else cosine(za[i], zb[j]) + sync)
        j = max(range(len(row)), key=lambda place: float(row[place].detach()))  # the first of equals
        j = j if moved is None else moved[j]
        best.append(row[j])
        aligned = aligned + zb[j]
    chosen = highlights(ea, p.highlight, p.quantile)
    return sum((best[i] for i in chosen), torch.zeros((), dtype=torch.float64)) / len(chosen), aligned / len(za)


def similarity(a: Utterance, b: Utterance, alpha: Tensor, p: Any) -> float:
    """S(a, b), without gradient."""
    with torch.no_grad():
        return float(resonate(a, b, alpha, p)[0])


def length(row: Tensor) -> Tensor:
    """Where it is 0 its gradient is 0."""
    return (row * row).sum().sqrt() if bool(row.detach().any()) else row.sum() * 0


def unit(row: Tensor) -> Tensor:
    """0 where the vector is 0."""
    return row / length(row) if bool(row.detach().any()) else row * 0


def tric(
    support: list[Utterance],
    labels: list[int],
    source: list[Utterance],
    target: list[Utterance],
    alpha: Tensor,
    field: Any,
    p: Any,
    classes: int,
    given: Sequence[int] | None = None,
) -> tuple[Tensor, Tensor]:
    """Equations 7 to 9: L_PR and L_DR without their weights.  `p` has the names of `tric`'s parameters.

    Where classes of T_u are `given`, an utterance's anchor is the most resonant labelled one of its class.
    """
    zero = torch.zeros((), dtype=torch.float64)
    scaled = unit if p.normalise == "l2" else (lambda row: row)

    def closest(u: Utterance, pool: list[Utterance], among: Sequence[int] | None = None) -> int:
        return max(range(len(pool)) if among is None else among, key=lambda place: similarity(u, pool[place], alpha, field))

    def euclidean(gap: Tensor) -> Tensor:
        return (gap * gap).sum() if p.squared else length(gap)

    intra = [closest(u, support) for u in source]
    cross = [closest(u, source) for u in target] if source else []

    members: list[tuple[Utterance, Utterance, int]] = []
    if p.anchors_from in ("chain", "relay"):
        members += [(u, support[r], labels[r]) for u, r in zip(source, intra, strict=True)]
    if p.anchors_from == "relay":
        members += [(u, source[r], labels[intra[r]]) for u, r in zip(target, cross, strict=False)]
    else:
        allowed = [None if given is None else [place for place, y in enumerate(labels) if y == given[j]] for j in range(len(target))]
        anchors = [closest(u, support, among) for u, among in zip(target, allowed, strict=True)]
        members += [(u, support[r], labels[r]) for u, r in zip(target, anchors, strict=True)]

    sums = [torch.zeros(support[0][0].shape[1], dtype=torch.float64) for _ in range(classes)]
    counts = [0] * classes
    for u, label in zip(support, labels, strict=True):
        sums[label] = sums[label] + scaled(embedding(u[0]))
        counts[label] += 1
    found = []
    for u, anchor, label in members:
        resonance, aligned = resonate(u, anchor, alpha, field)
        share = torch.ones((), dtype=torch.float64) if p.mix == "mean" else torch.clamp(resonance, min=0)
        sums[label] = sums[label] + (scaled(embedding(u[0])) + share * scaled(embedding(anchor[0]))) / (1 + share)
        counts[label] += 1
        found.append((scaled(aligned), label))
    centres = [total / max(count, 1) for total, count in zip(sums, counts, strict=True)]
    prototype = zero
    for aligned, label in found:
        if p.prototype_loss == "euclidean":
            prototype = prototype + euclidean(aligned - centres[label])
        else:
            exponentials = [torch.exp(cosine(aligned, centres[c]) / p.contrast_temperature) for c in range(classes) if counts[c]]
            own = torch.exp(cosine(aligned, centres[label]) / p.contrast_temperature)
            prototype = prototype - torch.log(own / sum(exponentials[1:], exponentials[0]))
    prototype = prototype / max(len(found), 1)

    dual = zero
    pairs = [(u, support[r]) for u, r in zip(source, intra, strict=True)]
    pairs += [(u, source[r]) for u, r in zip(target, cross, strict=False)]
    for u, partner in pairs:
        forth = scaled(resonate(u, partner, alpha, field)[1])
        back = scaled(resonate(partner, u, alpha, field)[1])
        dual = dual + (1 - cosine(forth, back) if p.distance == "cosine" else euclidean(forth - back))
    return prototype, dual / max(len(pairs), 1)


def equal_shares(logits: Tensor, rounds: int) -> Tensor:
    """(B1): posteriors `[n, C]` whose columns and rows are scaled in turn, until columns sum to n / C and rows to 1."""
    rows = [[torch.exp(score) / sum(torch.exp(other) for other in row) for score in row] for row in logits.detach()]
    count, classes = len(rows), len(rows[0])
    for _ in range(rounds):
        sums = [sum(row[c] for row in rows) for c in range(classes)]
        rows = [[row[c] * count / classes / sums[c] for c in range(classes)] for row in rows]
        rows = [[value / sum(row) for value in row] for row in rows]
    return torch.stack([torch.stack(row) for row in rows])


def cross_entropy(logits: Tensor, labels: Sequence[int]) -> Tensor:
    """CE of equation 10: the mean of -log p(y)."""
    total = torch.zeros((), dtype=torch.float64)
    for row, label in zip(logits, labels, strict=True):
        total = total - torch.log(torch.exp(row[label]) / sum((torch.exp(score) for score in row[1:]), torch.exp(row[0])))
    return total / len(labels)


def predict(u: Utterance, support: list[Utterance], labels: list[int], alpha: Tensor, field: Any, p: Any, classes: int) -> list[Tensor]:
    """The posteriors of an utterance by the nearest labelled class mean or by the most resonant labelled utterance."""
    scaled = unit if p.normalise == "l2" else (lambda row: row)
    exponentials = []
    for c in range(classes):
        own = [member for member, label in zip(support, labels, strict=True) if label == c]
        if not own:
            exponentials.append(torch.zeros((), dtype=torch.float64))
        elif p.predict == "prototype":
            means = [scaled(embedding(member[0])) for member in own]
            gap = scaled(embedding(u[0])) - sum(means[1:], means[0]) / len(own)
            exponentials.append(torch.exp(-(gap * gap).sum() / p.predict_temperature))
        else:
            exponentials.append(torch.exp(max(resonate(u, member, alpha, field)[0] for member in own) / p.predict_temperature))
    return [each / sum(exponentials[1:], exponentials[0]) for each in exponentials]
