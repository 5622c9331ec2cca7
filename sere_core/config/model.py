"""The shape of a config: what each section may hold.  Parameters of components are checked against their own specs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sere_registry.training import Schedule

Identifier = str
Id = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
AtLeastOne = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
AtLeastTwo = Annotated[int, Field(ge=2)]


class Section(BaseModel):
    """Base of every section: unknown keys are errors."""

    # deferred: else every section's validator would be built by itself and again within the whole
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)


class Block(Section):
    """A component: which one, and its parameters."""

    use: str = Field(description="the component's name, short or full")
    params: dict[str, Any] = Field(default={}, description="its parameters")


class Ramp(Section):
    """A weight that grows or falls in a straight line."""

    start: float = Field(default=0.0, description="the weight at the first step")
    end: float = Field(default=1.0, description="the weight from `until` on")
    until: float = Field(default=1.0, gt=0, le=1, description="the share of the stage at which `end` is reached")


class LossBlock(Block):
    """A loss with its weight."""

    weight: float | Ramp = Field(default=1.0, description="a number, or {start, end, until}")


class Dirichlet(Section):
    """Shares drawn from a symmetric Dirichlet distribution."""

    dirichlet: float = Field(ge=0.1, description="its concentration: 1 makes all shares equally likely, a large one makes them equal")


class Task(Section):
    """From which corpus to which, and under which protocol."""

    source: Identifier = Field(description="the id of the labelled corpus; several corpora: one manifest that lists them")
    target: Identifier = Field(description="the id of the corpus without labels; the source's id for an upper bound")
    target_labels: Identifier | None = Field(
        default=None, description="the id of a corpus of a few labelled utterances of the target, which are trained on and not scored"
    )
    classes: Literal["shared"] | list[str] = Field(default="shared", description="the shared classes of the pair, or a list of emotions")
    shots: AtLeastOne | Literal["all"] = Field(default=5, description="labelled utterances per class of the source, or `all`")
    shots_from: Literal["any", "speakers"] = Field(
        default="any", description="the shots: of all utterances of a class at random, or of the same speakers for every class"
    )
    validation: int = Field(
        default=0, ge=0, description="labelled utterances per class of the source that are held out, for selectors that read such"
    )
    setting: Literal["inductive", "transductive"] = Field(default="inductive", description="are the scored utterances those adapted to?")
    folds: AtLeastTwo | Literal["speakers"] = Field(
        default=5, description="how many folds of the target, or `speakers`: leave one speaker out"
    )
    disjoint: Literal["speaker", "none"] = Field(default="speaker", description="no speaker in two folds, or folds stratified at random")
    target_shares: Dirichlet | list[Positive] | None = Field(
        default=None,
        description="T_u and T_e are thinned out to these shares of the classes: drawn for every fold, e.g. {dirichlet: 2}, or listed",
    )
    normalise: Literal["none", "corpus", "speaker"] = Field(default="speaker", description="whose statistics standardise the features")
    shrinkage: float = Field(
        default=0.0, ge=0, description="of `normalise: speaker`: the corpus's statistics weigh as much as this many utterances of a speaker"
    )
    by_text: bool | None = Field(
        default=None,
        description="lexical normalisation: the mean of utterances that say the same sentence is subtracted, where speakers repeat "
        "sentences; the last of several layers side by side finds them, and is then set to 0; default: as the method asks (`sere_plus`, "
        "`student`)",
    )
    skip: Literal["damaged"] | None = Field(
        default=None, description="`damaged`: go on without utterances whose audio cannot be used; the record names them"
    )


class Features(Section):
    """How audio becomes waveforms and contours."""

    pitch: Literal["crepe_tiny", "crepe_full", "swift"] = Field(
        default="crepe_tiny", description="what finds f0: CREPE, small or large, or SwiftF0 (extra `swift`)"
    )
    hop: float = Field(default=0.02, gt=0, le=0.1, description="seconds between two values of a contour")
    max_seconds: float = Field(default=20.0, gt=0, description="longer utterances are cut; how many is counted")
    trim: bool = Field(default=True, description="cut leading and trailing digital silence")
    channel: Literal["mix", "left", "right"] = Field(default="mix", description="of files with two: both mixed, or one of them")
    precision: Literal["float32", "float16"] = Field(
        default="float32", description="of the frames that are stored: float16 takes half the room, ends at 65504, and has three digits"
    )
    cache: str | None = Field(default=None, description="the folder of extracted features; default: SERE_CACHE or ~/.cache/sere")


class Network(Section):
    """The engine's own part of the network."""

    dim: int = Field(default=256, ge=1, description="d, the width to which every path is projected")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="dropout after the projection")


class Optimizer(Section):
    """A class of torch.optim and its arguments."""

    use: str = Field(default="adam", description="the name of a class of torch.optim, upper or lower case")
    params: dict[str, Any] = Field(default_factory=lambda: {"lr": 1.0e-3}, description="its arguments")


class Batch(Section):
    """How many utterances of each stream make a step."""

    labelled: AtLeastOne | Literal["all"] = Field(default="all", description="labelled source utterances; `all`: the whole labelled set")
    source: int = Field(default=16, ge=1, description="unlabelled source utterances")
    target: int = Field(default=16, ge=1, description="unlabelled target utterances")


class Train(Section):
    """How long and how to train."""

    epochs: int = Field(default=20, ge=1, description="passes over the target stream (or `steps_per_epoch` steps each)")
    steps_per_epoch: int | None = Field(default=None, ge=1, description="steps that make an epoch; default: one pass over T_u")
    optimizer: Optimizer = Field(default_factory=Optimizer)
    encoder_rate: float = Field(
        default=1.0, gt=0, description="learning rate of the encoders' parameters as a multiple of the optimizer's, e.g. 0.1"
    )
    schedule: Schedule = Field(default_factory=Schedule, description="of the learning rate, for groups that bring none of their own")
    batch: Batch = Field(default_factory=Batch)
    clip: float | None = Field(default=None, gt=0, description="the largest norm of a gradient")
    device: str = Field(default="auto", pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "float32", "bfloat16"] = Field(default="auto", description="auto: bfloat16 where the GPU has it")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; default: all where an encoder is trained, else 1")
    checkpoint_every: int = Field(default=1, ge=1, description="epochs between two checkpoints")


class ViewSets(Section):
    """The alterations that make the weak and the strong view."""

    weak: list[Block] = Field(default=[], description="light alterations, in order")
    strong: list[Block] = Field(default=[], description="heavy alterations, in order")


class Paths(Section):
    """Which encoder takes which stream."""

    labelled: Identifier = Field(description="the encoder of S_l")
    unlabelled: Identifier | dict[str, Identifier] = Field(description="the encoder of S_u, T_u and T_e: one id, or one by language")
    supervise: Literal["all", "labelled"] = Field(
        default="all", description="the encoders that S_l is classified through: all that the paths use, or that of `labelled` alone"
    )
    field_path: Literal["cross", "own"] = Field(
        default="cross",
        description="whose frames a resonance field compares: each utterance's by its stream's encoder, or both by the reader's own",
    )
    predict: Literal["own", "mean"] = Field(
        default="own",
        description="the prediction of T_e: through its own encoder, or the mean of the posteriors through every one that the paths use "
        "(methods that work on vectors know the target's alone)",
    )


class Metric(Section):
    """A classification metric of torchmetrics, computed beside the engine's own scores."""

    use: str = Field(description="its class, one that has a form for several classes, e.g. CohenKappa")
    params: dict[str, Any] = Field(default={}, description="its arguments, without task and num_classes")


class Output(Section):
    """Where the record goes."""

    dir: str = Field(default="runs/${name}", pattern=r"\S", description="the folder; each job makes one of its own below it")


class Plugins(Section):
    """Which distributions must be there, and which must not be used."""

    require: list[str] = Field(default=[], description="requirements, e.g. 'sere-plugin-xyz>=0.2,<0.3'")
    disable: list[str] = Field(default=[], description="names of distributions")


class RunConfig(Section):
    """A whole run."""

    sere: int = Field(description="the grammar version")
    name: str = Field(pattern=r"^\w[\w.+ -]*$", description="the run's name: letters, digits and . _ + -")
    seed: int = Field(default=0, ge=0, lt=2**32, description="of everything random; a whole number below 2**32")
    plugins: Plugins = Field(default_factory=Plugins)
    corpora: dict[Id, Block] = Field(description="id -> corpus")
    task: Task = Field(description="from which corpus to which, and under which protocol")
    features: Features = Field(default_factory=Features)
    encoders: dict[Id, Block] = Field(description="id -> encoder")
    paths: Paths = Field(description="which encoder takes which stream: {labelled: ID, unlabelled: ID}")
    network: Network = Field(default_factory=Network)
    # defaults by full name: a short one could become ambiguous with a plugin that the run does not name
    dynamics: Block = Field(default=Block(use="sere.none"), description="the dynamic features that are joined to the context embedding")
    resonance: Block | None = Field(default=None, description="the resonance field, for losses that read one")
    method: Block = Field(default=Block(use="sere.joint"), description="the training recipe")
    losses: dict[Id, LossBlock] = Field(default={}, description="id -> loss and its weight")
    train: Train = Field(default_factory=Train)
    views: ViewSets = Field(default_factory=ViewSets)
    select: Block = Field(default=Block(use="sere.last"), description="which epoch is kept, chosen without target labels")
    metrics: dict[Id, Metric] = Field(default={}, description="id -> what torchmetrics computes besides")
    hooks: dict[Id, Block] = Field(default={}, description="id -> what listens to the run")
    output: Output = Field(default_factory=Output)
