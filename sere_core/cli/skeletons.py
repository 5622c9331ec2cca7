"""What is particular to the plugin of each kind that `sere plugins new` writes; the code is in `template/`."""

from __future__ import annotations

from dataclasses import dataclass, field

from sere_registry.kinds import Kind

_CORPUS = "{use: synthetic, params: {language: %s, speakers: 3, per_class: 2, emotions: [anger, sadness], seconds: 0.4}}"
#: the sections of an example, which a kind replaces by its own
EXAMPLE: dict[str, str] = {
    "corpora": f"corpora:\n  xa: {_CORPUS % 'xa'}\n  xb: {_CORPUS % 'xb'}",
    "task": "task: {source: xa, target: xb, shots: 2, folds: 2}",
    "encoders": "encoders: {small: {use: logmel, params: {bands: 16, dim: 8, layers: 1}}}",
    "paths": "paths: {labelled: small, unlabelled: small}",
    "network": "network: {dim: 16}",
    "losses": "losses: {classify: {use: cross_entropy}, adapt: {use: coral}}",
}


@dataclass(frozen=True)
class Skeleton:
    """One kind.

    Args:
        summary: of the component that is written.
        params: the fields of its parameters, as code.
        usage: how a config names it; `$full` stands for its name.
        example: sections of the example that differ; "" leaves a section out.
        note: what its user must know before the example runs.
    """

    summary: str
    params: str
    usage: str
    example: dict[str, str] = field(default_factory=dict)
    note: str = ""


SKELETONS: dict[Kind, Skeleton] = {
    "loss": Skeleton(
        "the mean embeddings of source and target move together",
        'scale: float = param(1.0, "multiplies the squared gap", gt=0, search=("log", 0.01, 100.0))',
        "losses: {adapt: {use: $full}}",
        {"losses": "losses: {classify: {use: cross_entropy}, adapt: {use: $full}}"},
    ),
    "resonance": Skeleton(
        "a Gaussian kernel on the embeddings",
        'temperature: float = param(0.5, "how fast similarity falls with distance", gt=0, search=("log", 0.05, 5.0))',
        "resonance: {use: $full}",
        {"resonance": "resonance: {use: $full}", "losses": "losses: {classify: {use: cross_entropy}, adapt: {use: tric}}"},
    ),
    "encoder": Skeleton(
        "mel bands and one trained layer",
        'bands: int = param(40, "mel bands", ge=1, le=128, search=("int", 20, 80))\n'
        '    dim: int = param(64, "the width of its frames", ge=1, search=("choice", [32, 64, 128]))',
        "encoders: {mine: {use: $full}}",
        {"encoders": "encoders: {small: {use: $full, params: {bands: 16, dim: 8}}}"},
    ),
    "dynamics": Skeleton(
        "the steps of the loudness",
        'floor: float = param(1e-4, "the least amplitude that counts", gt=0)',
        "dynamics: {use: $full}",
        {"dynamics": "dynamics: {use: $full}"},
    ),
    "method": Skeleton(
        "cross-entropy on the source, small entropy on the target",
        'weight: float = param(0.1, "of the entropy", ge=0, search=("log", 0.001, 1.0))',
        "method: {use: $full}",
        {"method": "method: {use: $full}", "losses": ""},
    ),
    "view": Skeleton(
        "scales the features of an utterance",
        'strength: float = param(0.1, "the largest change, as a share", ge=0, lt=1, search=("uniform", 0.0, 0.5))',
        "views: {strong: [{use: $full}]}",
        {
            "losses": "losses: {classify: {use: cross_entropy}, adapt: {use: fixmatch, params: {threshold: 0.5}}}",
            "views": "views: {weak: [], strong: [{use: $full}]}",
        },
    ),
    "selector": Skeleton(
        "the share of confident answers on the target",
        'threshold: float = param(0.9, "confident is what is above it", ge=0, lt=1)',
        "select: {use: $full}",
        {"select": "select: {use: $full}"},
    ),
    "hook": Skeleton(
        "the scores of every fold in a file",
        'file: str = param("scores.txt", "the name of the file in the run\'s folder", pattern=r"[\\w.-]+")',
        "hooks: {mine: {use: $full}}",
        {"hooks": "hooks: {mine: {use: $full}}"},
    ),
    "corpus": Skeleton(
        "recordings in a folder for each speaker",
        'root: str = param(..., "the folder")\n    language: str = param("xx", "ISO 639-1 code of the language", min_length=2)',
        "corpora: {mine: {use: $full, params: {root: PATH}}}",
        {
            "corpora": "corpora:\n  xa: {use: $full, params: {root: data/source, language: de}}\n"
            "  xb: {use: $full, params: {root: data/target, language: it}}"
        },
        "`example.yaml` needs recordings of your own: `data/source/SPEAKER/EMOTION_*.wav`, and `data/target` with two speakers or more.\n"
        "`sere corpora check` says what it sees in a folder; the test makes a small one.",
    ),
}
