"""The checks of losses, resonance fields, encoders and dynamics: what is particular to each, around the frame that they share."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from sere_core.testing.data import (
    CONTOURS,
    DIM,
    HOP,
    SHAPES,
    SINGLE,
    Array,
    Batch,
    Shape,
    close,
    contours,
    encoded,
    flat,
    leaves,
    padded,
    streams,
    waves,
)
from sere_core.testing.frame import Kind, Leaves, accepts, add_frame, check_finite, check_members, state_of, trained
from sere_core.testing.subject import Checks, Subject
from sere_registry import BuildContext, Dynamics, Encoder, Frames, Loss, Progress, Resonance, ResonanceField
from sere_registry.protocols import completed
from sere_registry.training import READABLE, STREAMS, reads

LOSS, RESONANCE, ENCODER, DYNAMICS = Checks(), Checks(), Checks(), Checks()
SMALL = Shape(labelled=3, source=2, target=3, frames=3)

# -- losses -------------------------------------------------------------------------------------------------------------


class Losses(Kind[Mapping[str, Any]]):
    """What a loss is given: what it reads, by name."""

    name, first, single = "loss", "loss.scalar", False

    def build(self, subject: Subject, seed: int = 0, shape: Shape = SHAPES[0]) -> nn.Module:
        return cast(nn.Module, completed(subject.build(shape.context(), seed=seed), Loss)).to(shape.dtype)

    def given(
        self, module: nn.Module, *, padding: float = 0.0, extra: int = 1, row: int | None = None, small: bool = False
    ) -> Mapping[str, Any]:
        return self.of_shape(module, SMALL if small else SHAPES[0], padding, extra)

    def of_shape(self, module: nn.Module, shape: Shape, padding: float = 0.0, extra: int = 1) -> Mapping[str, Any]:
        """Just what it reads."""
        loss = cast(Loss, module)
        everything = streams(shape, views=loss.views, padding=padding, extra=extra)
        return {name: everything[name] for name in reads(loss)}

    def results(self, module: nn.Module, given: Mapping[str, Any]) -> dict[str, Tensor]:
        torch.default_generator.manual_seed(0)  # the engine seeds every step
        return {f"the term '{name}'": value for name, value in module(**given).items()}

    def leaves(self, given: Mapping[str, Any]) -> Leaves:
        return {name: list(leaves(batch).values()) for name, batch in given.items() if name in (*STREAMS, "support")}

    def hard(self, subject: Subject) -> Iterator[tuple[str, nn.Module, Mapping[str, Any]]]:
        for shape in SHAPES:
            module = self.build(subject, shape=shape)
            yield f"sizes {shape}", module, self.of_shape(module, shape)

    def end_step(self, module: nn.Module) -> None:
        cast(Loss, module).after_step(Progress(step=0, epoch=0, fraction=0.0))

    def total(self, results: Mapping[str, Tensor]) -> Tensor:
        return torch.stack(list(results.values())).sum()


LOSSES = Losses()


@LOSS("loss.reads", "build.defaults")
def loss_reads(subject: Subject) -> None:
    """It reads what exists, and its `forward` takes just that; views and groups are of what it reads and has."""
    module = LOSSES.build(subject)
    loss = cast(Loss, module)
    named, views = reads(loss), loss.views
    assert named, "it reads nothing"
    assert named <= READABLE, f"it reads {', '.join(sorted(named - READABLE))}; there are {', '.join(sorted(READABLE))}"
    assert not {"labelled", "support"} <= named, "it reads labelled and support, which holds all of labelled"
    assert accepts(loss.forward, named), f"its forward cannot be called with just {', '.join(sorted(named))}, which it reads"
    assert views <= named & set(STREAMS), f"it wants views of {sorted(views)} and reads {sorted(named)}"
    grouped = [id(parameter) for group in loss.parameters_by_group().values() for parameter in group.parameters]
    assert len(set(grouped)) == len(grouped), "a parameter is in two groups"
    assert set(grouped) <= {id(parameter) for parameter in module.parameters()}, "a group holds a parameter that is not the loss's"


@LOSS("loss.scalar", "loss.reads")
def loss_scalar(subject: Subject) -> None:
    """It returns a mapping from names to scalar tensors."""
    module = LOSSES.build(subject)
    terms = module(**LOSSES.given(module))
    assert isinstance(terms, Mapping), f"its forward returns {type(terms).__name__}, not a mapping of terms"
    assert terms, "its forward returns no term: one that is switched off is 0"
    for name, term in terms.items():
        assert isinstance(name, str) and name, "a term has no name"
        assert isinstance(term, Tensor), f"the term '{name}' is a {type(term).__name__}, not a tensor"
        assert term.dim() == 0, f"the term '{name}' has shape {tuple(term.shape)}, it must be a scalar"
        assert term.dtype in (torch.float32, torch.float64), f"the term '{name}' is of {term.dtype}"


add_frame(LOSS, LOSSES)


@LOSS("loss.batch_of_one", "loss.finite")
def batch_of_one(subject: Subject) -> None:
    """One utterance of each stream is enough for finite terms and gradients."""
    module = LOSSES.build(subject, shape=SINGLE)
    check_finite(LOSSES, "one utterance of each stream", module, LOSSES.of_shape(module, SINGLE))


@LOSS("loss.permutation", "loss.deterministic")
def permutation(subject: Subject) -> None:
    """The order of the utterances of a batch changes no term."""
    module = LOSSES.build(subject)
    state, given = state_of(module), LOSSES.given(module)
    before = LOSSES.results(module, given)
    turned = {
        name: part.take(torch.randperm(len(part), generator=torch.Generator().manual_seed(1))) if name in LOSSES.leaves(given) else part
        for name, part in given.items()
    }
    module.load_state_dict(state)
    for name, value in LOSSES.results(module, turned).items():
        assert close(before[name], value), f"{name} is {before[name].item():.6g}, and {value.item():.6g} in another order"


# -- resonance fields ---------------------------------------------------------------------------------------------------

Sides = tuple[Batch, Batch]


class Fields(Kind[Sides]):
    """What a field is given: two batches; its results are those of every pair."""

    name, first, training = "resonance", "resonance.shapes", False

    def build(self, subject: Subject, seed: int = 0, shape: Shape = SHAPES[0]) -> nn.Module:
        return cast(nn.Module, completed(subject.build(shape.context(), seed=seed).to(shape.dtype).eval(), ResonanceField))

    def given(self, module: nn.Module, *, padding: float = 0.0, extra: int = 1, row: int | None = None, small: bool = False) -> Sides:
        a, b = sides(SMALL if small else SHAPES[0], padding=padding, extra=extra)
        return (a, b) if row is None else (a.take([row]), b)

    def results(self, module: nn.Module, given: Sides) -> dict[str, Tensor]:
        a, b = given
        rows, picks = torch.arange(len(a)).repeat_interleave(len(b)), torch.arange(len(b)).repeat(len(a))
        field = cast(ResonanceField, module)
        found = {"searched similarity": field.similarity(a, b).flatten(), **vars(field.aligned(a.take(rows), b, picks, both=True))}
        return {
            f"{name} of {a.ids[row]} and {b.ids[pick]}": value[number]
            for name, value in found.items()
            for number, (row, pick) in enumerate(zip(rows.tolist(), picks.tolist(), strict=True))
        }

    def leaves(self, given: Sides) -> Leaves:
        return {side: list(leaves(batch).values()) for side, batch in zip("ab", given, strict=True)}

    def hard(self, subject: Subject) -> Iterator[tuple[str, nn.Module, Sides]]:
        for shape in (*SHAPES, SINGLE):
            yield f"sizes {shape}", self.build(subject, shape=shape), sides(shape)

    def total(self, results: Mapping[str, Tensor]) -> Tensor:
        return super().total({name: value for name, value in results.items() if not name.startswith("searched")})


def sides(shape: Shape = SHAPES[0], *, equal: bool = False, padding: float = 0.0, extra: int = 1) -> Sides:
    """Two batches, of as many utterances if `equal`."""
    sizes = shape.source, shape.source if equal else shape.target
    first, second = (encoded(size, shape, seed + 1, padding=padding, extra=extra) for seed, size in enumerate(sizes))
    return first, second


FIELDS = Fields()


def field_of(subject: Subject, shape: Shape = SHAPES[0]) -> ResonanceField:
    return cast(ResonanceField, FIELDS.build(subject, shape=shape))


@RESONANCE("resonance.shapes", "build.defaults")
def resonance_shapes(subject: Subject) -> None:
    """Every pair's similarity `[A, B]`, and of chosen pairs similarity `[P]` and aligned representations `[P, D]`, for many sizes."""
    for shape in SHAPES:
        field = field_of(subject, shape)
        check_members(field, "directed similarity aligned")
        assert isinstance(field.directed, bool), "`directed` is not True or False"
        a, b = sides(shape)
        similarity, wide = field.similarity(a, b), (len(a), a.embedding.shape[1])
        assert similarity.shape == (len(a), len(b)), f"similarity has shape {tuple(similarity.shape)}, not {(len(a), len(b))}"
        assert not similarity.requires_grad, "similarity(a, b) carries a gradient"
        picks = similarity.argmax(dim=1)
        for both in (False, True):
            found = field.aligned(a, b, picks, both=both)
            assert isinstance(found, Resonance), f"aligned returns a {type(found).__name__}, not a Resonance"
            assert found.similarity.shape == wide[:1], f"aligned's similarity has shape {tuple(found.similarity.shape)}, not {wide[:1]}"
            assert found.aligned.shape == wide, f"aligned has shape {tuple(found.aligned.shape)}, not {wide}"
            reverse = None if found.reverse is None else found.reverse.shape
            assert reverse == (wide if both else None), f"with both={both} reverse has shape {reverse}"


add_frame(RESONANCE, FIELDS)


@RESONANCE("resonance.aligned", "resonance.deterministic")
def resonance_aligned(subject: Subject) -> None:
    """`similarity` and `aligned` agree, with picks and without, in both directions, with and without gradient."""
    field = field_of(subject)
    a, b = sides(equal=True)
    picks, rows = torch.arange(len(a)).flip(0), torch.arange(len(a))
    similarity, partners = field.similarity(a, b), b.take(picks)
    plain, turned, chosen = field.aligned(a, partners), field.aligned(partners, a), field.aligned(a, b, picks, both=True)
    assert close(plain.similarity, similarity[rows, picks]), "aligned(a, b).similarity is not the diagonal of similarity(a, b)"
    assert close(chosen.similarity, plain.similarity), "aligned(a, b, picks).similarity is not aligned(a, b.take(picks)).similarity"
    assert close(chosen.aligned, plain.aligned), "aligned(a, b, picks).aligned is not aligned(a, b.take(picks)).aligned"
    assert chosen.reverse is not None and close(chosen.reverse, turned.aligned), "aligned(both=True).reverse is not aligned(b, a).aligned"
    with torch.no_grad():
        quiet = field.aligned(a, b, picks, both=True)
    for name, value in vars(quiet).items():
        assert close(value, getattr(chosen, name)), f"{name} is another one without gradient"


@RESONANCE("resonance.map", "resonance.deterministic")
def resonance_map(subject: Subject) -> None:
    """Where it has a map of frames, the map adds up to its similarity and to its aligned representation."""
    field = field_of(subject)
    for a, b in (sides(), sides(extra=3)[::-1]):
        seen = field.frame_map(a, b)
        if seen is None:
            return
        found, frames = field.aligned(a.take([0]), b.take([0])), b.frames.values[0][b.frames.mask[0]]
        shape = (int(a.frames.mask[0].sum()), len(frames))
        assert seen.resonance.shape == seen.alignment.shape == shape, f"the map has shape {tuple(seen.resonance.shape)}, not {shape}"
        assert not seen.resonance.requires_grad and not seen.alignment.requires_grad, "the map carries a gradient"
        assert close(seen.alignment.sum(dim=1), torch.ones_like(seen.alignment[:, 0])), "rows of `alignment` do not sum to 1"
        total = ((seen.alignment * seen.resonance).sum(dim=1) * seen.weights).sum()
        assert close(total, found.similarity[0]), "the map does not add up to the similarity"
        assert close(seen.alignment.mean(dim=0) @ frames, found.aligned[0]), "the map does not add up to the aligned representation"


@RESONANCE("resonance.bounded", "resonance.finite")
def bounded(subject: Subject) -> None:
    """A similarity lies in [-1, 1], however large the frames are."""
    field = field_of(subject)
    for scale in (1e-2, 1.0, 1e3):
        a, b = (_scaled(side, scale) for side in sides())
        found = field.similarity(a, b)
        low, high = found.min().item(), found.max().item()
        assert low >= -1 - 1e-6 and high <= 1 + 1e-6, f"similarities reach from {low:.4g} to {high:.4g} for frames times {scale:g}"


def _scaled(side: Batch, scale: float) -> Batch:
    values = (side.frames.values * scale).detach()
    return replace(side, frames=replace(side.frames, values=values), embedding=(side.embedding * scale).detach())


@RESONANCE("resonance.symmetry", "resonance.deterministic")
def symmetry(subject: Subject) -> None:
    """S(a, b) = S(b, a) if, and only if, it is not `directed`."""
    field = field_of(subject)
    a, b = sides()
    symmetric = close(field.similarity(a, b), field.similarity(b, a).T)
    assert symmetric != field.directed, f"it says `directed = {field.directed}`, and S(a, b) is {'' if symmetric else 'not '}S(b, a)"


# -- encoders -----------------------------------------------------------------------------------------------------------


class Encoders(Kind[Frames]):
    """What an encoder is given: a padded batch of what it has extracted."""

    name, first = "encoder", "encoder.shapes"

    def build(self, subject: Subject, seed: int = 0) -> nn.Module:
        return cast(nn.Module, subject.build(seed=seed).eval())

    def given(self, module: nn.Module, *, padding: float = 0.0, extra: int = 1, row: int | None = None, small: bool = False) -> Frames:
        chosen = waves()[1:] if small else waves() if row is None else [waves()[row]]
        kind = next((parameter.dtype for parameter in module.parameters()), torch.float32)
        return padded([extract(cast(Encoder, module), wave).to(kind) for wave in chosen], padding, extra)

    def results(self, module: nn.Module, given: Frames) -> dict[str, Tensor]:
        found = module(given)
        if getattr(module, "pooled", False):  # all of one length: only whole batches can be compared
            return {"a batch": found.values[found.mask]} if len(found.values) > 1 else {}
        return _by_utterance(found)

    def hard(self, subject: Subject) -> Iterator[tuple[str, nn.Module, Frames]]:
        module = self.build(subject)
        yield "noise", module, self.given(module)
        rows = [extract(cast(Encoder, module), wave) for wave in (np.zeros(4000, np.float32), np.full(700, 0.9, np.float32))]
        yield "silence and a constant", module, padded(rows)

    def frozen(self, module: nn.Module) -> dict[str, Tensor]:
        return {str(len(wave)): extract(cast(Encoder, module), wave) for wave in waves()}


ENCODERS = Encoders()


def _by_utterance(found: Frames) -> dict[str, Tensor]:
    """The real frames of each; no two utterances here have the same length."""
    every = [values[mask] for values, mask in zip(found.values, found.mask, strict=True)]
    return {f"an utterance of {len(values)} frames": values for values in every}


def extract(encoder: Encoder, wave: Array) -> Tensor:
    """`[T, F]`, with made-up contours: every other value voiced."""
    steps = np.arange(1 + int(len(wave) / 16000 / HOP), dtype=np.float32)
    every = {"f0": 150 + 5 * steps, "periodicity": steps % 2, "rms": 0.1 + 0 * steps, "mfcc2": steps, "centroid": 900 + steps}
    found = encoder.extract(wave.copy(), {name: every[name].astype(np.float32) for name in encoder.contours}, HOP)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32, "extract does not return an array of float32"
    assert found.ndim == 2 and found.shape[1] == encoder.input_dim, f"extract returns {found.shape}, not [T, {encoder.input_dim}]"
    assert len(found) > 0, f"extract returns no frame for {len(wave)} samples"
    assert np.isfinite(found).all(), "extract returns values that are not finite"
    return torch.from_numpy(found.copy())


@ENCODER("encoder.shapes", "build.defaults")
def encoder_shapes(subject: Subject) -> None:
    """Extraction and `forward` return what `input_dim`, `dim`, `rate` and `lengths` say; its fingerprint is JSON and repeats."""
    module = ENCODERS.build(subject)
    encoder = cast(Encoder, module)
    check_members(module, "input_dim dim rate offset contours normalise fingerprint extract lengths __call__")
    assert isinstance(encoder.normalise, bool), "`normalise` is not True or False"
    unknown = set(encoder.contours) - set(CONTOURS)
    assert not unknown, f"it wants the contours {sorted(unknown)}; there are {', '.join(CONTOURS)}"
    assert 0 <= encoder.offset <= 1 / encoder.rate, f"its first frame stands at {encoder.offset} s, {encoder.rate} frames a second"
    rows = [extract(encoder, wave) for wave in waves()]
    found = encoder(padded(rows))
    counts = encoder.lengths(torch.tensor([len(row) for row in rows])).tolist()
    wide = (*found.mask.shape, encoder.dim)
    assert found.mask.dtype == torch.bool, "its mask is not of booleans"
    assert found.values.shape == wide, f"forward returns {tuple(found.values.shape)}, not {wide}"
    assert found.mask.sum(dim=1).tolist() == counts, f"forward returns {found.mask.sum(dim=1).tolist()} frames, `lengths` says {counts}"
    assert min(counts) >= 1, "an utterance has no frame"
    assert (torch.arange(found.mask.shape[1]) < torch.tensor(counts)[:, None]).equal(found.mask), "real frames do not come first"
    assert found.values.requires_grad == bool(trained(module)), "a frozen encoder has no graph, a trained one has"
    pooled = getattr(encoder, "pooled", False)
    assert not pooled or set(counts) == {1}, "it is pooled over time, and returns more than one row"
    for wave, count in zip(waves(), counts, strict=True):
        seconds = len(wave) / 16000
        assert pooled or abs(count - seconds * encoder.rate) <= 1.5, f"{count} frames in {seconds:.2f} s, and its rate is {encoder.rate}"
    prints = [json.dumps(dict(each.fingerprint()), sort_keys=True, allow_nan=False) for each in (encoder, subject.build(seed=2))]
    assert prints[0] == prints[1], "two instances have other fingerprints"


add_frame(ENCODER, ENCODERS)

# -- dynamics -----------------------------------------------------------------------------------------------------------

LENGTHS = (9, 4, 2, 1)
#: what recordings hold beside speech
HARD: dict[str, dict[str, Array]] = {
    "speech": contours(30),
    "a steady tone": flat(1234.567, voiced=1.0),
    "silence": flat(0.0),
    "no voice at all": {**contours(8), "periodicity": np.zeros(8, np.float32), "f0": np.full(8, np.nan, np.float32)},
    "one voiced frame": flat(200.0, length=1, voiced=1.0),
    "one unvoiced frame": {**contours(1), "periodicity": np.zeros(1, np.float32)},
}
Pair = tuple[Frames, Frames]


class DynamicFeatures(Kind[Pair]):
    """What dynamics are given: prepared contours and context embeddings, all in float64."""

    name, first = "dynamics", "dynamics.shapes"

    def build(self, subject: Subject, seed: int = 0) -> nn.Module:
        made = completed(subject.build(BuildContext("dynamics", dim=DIM), seed=seed), Dynamics)
        return cast(nn.Module, made).double().eval()

    def given(self, module: nn.Module, *, padding: float = 0.0, extra: int = 1, row: int | None = None, small: bool = False) -> Pair:
        generator, rows = torch.Generator().manual_seed(0), list(range(len(LENGTHS))) if row is None else [row]
        context = [torch.randn(length, DIM, generator=generator, dtype=torch.float64) for length in LENGTHS]
        static = list(self.frozen(module).values())
        inputs, frames = (padded([part[chosen] for chosen in rows], padding, extra) for part in (static, context))
        return inputs, replace(frames, values=frames.values.requires_grad_())

    def results(self, module: nn.Module, given: Pair) -> dict[str, Tensor]:
        return _by_utterance(module(*given))

    def leaves(self, given: Pair) -> Leaves:
        return {"its context": [given[1].values]}

    def hard(self, subject: Subject) -> Iterator[tuple[str, nn.Module, Pair]]:
        module = self.build(subject)
        for name, made in HARD.items():
            static = padded([prepare(cast(Dynamics, module), made)])
            context = torch.ones(1, static.values.shape[1], DIM, dtype=torch.float64, requires_grad=True)
            yield name, module, (static, Frames(context, static.mask, static.rate))

    def frozen(self, module: nn.Module) -> dict[str, Tensor]:
        return {str(length): prepare(cast(Dynamics, module), contours(length, seed)) for seed, length in enumerate(LENGTHS)}


FEATURES = DynamicFeatures()


def prepare(dynamics: Dynamics, given: dict[str, Array]) -> Tensor:
    """`[T, S]`: from the contours that it names, and nothing else."""
    length = len(given["rms"])
    if not dynamics.contours:
        return torch.zeros(length, dynamics.static_dim, dtype=torch.float64)
    rows = dynamics.prepare({name: given[name] for name in dynamics.contours})
    wide = (length, dynamics.static_dim)
    assert isinstance(rows, np.ndarray) and rows.dtype == np.float32, "prepare does not return an array of float32"
    assert rows.shape == wide, f"prepare returns {rows.shape}, not {wide}"
    assert np.isfinite(rows).all(), "prepare returns values that are not finite"
    return torch.from_numpy(rows).double()


@DYNAMICS("dynamics.shapes", "build.defaults")
def dynamics_shapes(subject: Subject) -> None:
    """`prepare` returns `[T, static_dim]` and `forward` `[B, T, dim]` on the mask and rate of the context, zeros in padding."""
    module = FEATURES.build(subject)
    dynamics = cast(Dynamics, module)
    check_members(module, "contours static_dim dim prepare")
    unknown = set(dynamics.contours) - set(CONTOURS)
    assert not unknown, f"it reads the contours {sorted(unknown)}; there are {', '.join(CONTOURS)}"
    static, context = FEATURES.given(module, padding=float("nan"))
    found = dynamics(static, context)
    wide = (*context.mask.shape, dynamics.dim)
    assert found.values.shape == wide, f"forward returns {tuple(found.values.shape)}, not {wide}"
    assert torch.equal(found.mask, context.mask) and found.rate == context.rate, "its frames are not those of the context"
    assert bool((found.values[~found.mask] == 0).all()), "its padded frames are not zero"


add_frame(DYNAMICS, FEATURES)
