"""A run, complete: frozen options nested by concern, with defaults only here.

A recipe returns a ``Run``; variations are made with ``dataclasses.replace``. The resolved run is
written into every checkpoint and beside it as ``run.json`` (``facetrain.config_json``). Importing
this module loads no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from facetrain.checks import at_least, between, one_of

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class DataOptions:
    """Aligned crops to train on; kinds and paths as ``facetrain.data`` reads them."""

    path: str = ""
    """A pack, folder, list file, ``.rec`` or tar."""
    labels: Literal["identity", "instance", "none"] = "identity"
    """"instance": every picture is a class of its own, its augmented views are the members."""
    identities: tuple[float, float] = (0.0, 1.0)
    """The share of the identities, in their deterministic order, that is trained on."""
    split_seed: int = 0
    weights: JsonObject = field(default_factory=dict)
    """Share of an epoch by source, where the set has a group column "source"."""
    in_memory: bool = True
    """Decode everything once and keep it on the device; else decode batch by batch."""
    workers: int = 2
    sizes: tuple[tuple[float, int], ...] = ()
    """Side of the student's views in pixels until a share of the run is done, ((share, px), …), the
    last to share 1; empty for whole crops. Smaller views cost less, the teacher's stay whole."""
    augment: JsonObject = field(default_factory=lambda: {"preset": "flip"})
    """"preset": "none", "flip", "light", "full" or "label_free", then fields of
    ``facetrain.data.augment.AugmentOptions`` that differ."""

    def __post_init__(self) -> None:
        one_of("data.labels", self.labels, ("identity", "instance", "none"))
        low, high = self.identities
        if not 0 <= low < high <= 1:
            raise ValueError(
                f"data.identities is {self.identities}; 0 <= from < to <= 1 is allowed"
            )
        at_least("data.workers", self.workers, 0)
        ends = [share for share, _ in self.sizes]
        if ends and (ends != sorted(set(ends)) or ends[0] <= 0 or ends[-1] != 1.0):
            raise ValueError(f"data.sizes is {self.sizes}; shares must rise from above 0 to 1")
        for _, side_px in self.sizes:
            between("data.sizes", side_px, 32, 112)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelOptions:
    """The backbone, as ``facetrain.models.create.create_backbone`` takes it."""

    name: str = "pocketnet_s"
    embedding_dim: int = 128
    options: JsonObject = field(default_factory=dict)
    init_from: str = ""
    """A checkpoint whose backbone weights the run starts from (recursive distillation)."""

    def __post_init__(self) -> None:
        at_least("model.embedding_dim", self.embedding_dim, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadOptions:
    """Margin softmax over the identities; "none" for label-free distillation."""

    kind: Literal["arcface", "cosface", "combined", "none"] = "arcface"
    scale: float = 64.0
    m1: float = 1.0
    m2: float = 0.5
    m3: float = 0.4
    """ArcFace uses m2 (radians), CosFace m3, combined all three: cos(m1·θ + m2) − m3."""
    sample_rate: float = 1.0
    """Below 1: partial FC, this share of the classes per step."""
    sharded: bool = False
    """Each process keeps its share of the classes (partial FC) instead of a copy of all."""

    def __post_init__(self) -> None:
        one_of("head.kind", self.kind, ("arcface", "cosface", "combined", "none"))
        between("head.sample_rate", self.sample_rate, 0.0, 1.0, open_low=True)
        between("head.scale", self.scale, 0.0, 1000.0, open_low=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherOptions:
    """Where targets come from."""

    kind: Literal["none", "checkpoint", "schedule", "onnx", "graph", "precomputed"] = "none"
    """"schedule": a folder of checkpoints, one per student epoch (multi-step); "onnx": run by ONNX
    Runtime; "graph": the same file run by torch's operations, on any device."""
    path: str = ""
    epochs: tuple[int, ...] = ()
    """For "schedule": the teacher epoch for each student epoch, the last one repeated; empty for
    the same epoch."""
    preprocessing: JsonObject = field(default_factory=dict)
    """For "onnx" and "graph": fields of ``Preprocessing``."""
    precision: Literal["fp32", "bf16"] = "fp32"

    def __post_init__(self) -> None:
        kinds = ("none", "checkpoint", "schedule", "onnx", "graph", "precomputed")
        one_of("teacher.kind", self.kind, kinds)
        one_of("teacher.precision", self.precision, ("fp32", "bf16"))


@dataclass(frozen=True, kw_only=True, slots=True)
class TermOptions:
    """One distillation term of the loss."""

    kind: Literal["template", "cosine", "similarity", "adaptive"] = "template"
    weight: float = 100.0
    per_dim: bool = True
    """For "template": the squared distance is averaged over the D dimensions, as published
    (weight 100: (200/D)(1 − cos)); False sums them (weight 7: VarGFaceNet's 14(1 − cos))."""
    margin: float = 0.45
    scale: float = 64.0
    """For "adaptive": ArcFace against centres that follow the teacher (AdaDistill)."""

    def __post_init__(self) -> None:
        one_of("term.kind", self.kind, ("template", "cosine", "similarity", "adaptive"))
        at_least("term.weight", self.weight, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class HintOptions:
    """A feature map of the teacher that one of the student's is led to."""

    map: int = 0
    """Of the student's: 0 to 3 are 56, 28, 14 and 7 pixels wide, 4 is a PocketNet's widened one."""
    tensor: str = ""
    """Of the teacher's ONNX file, by name."""
    weight: float = 1.0
    last_weight: float = 1.0
    """At the run's end, straight from ``weight``: the embedding is what counts then."""

    def __post_init__(self) -> None:
        at_least("hints.map", self.map, 0)
        at_least("hints.weight", self.weight, 0)
        at_least("hints.last_weight", self.last_weight, 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimOptions:
    """SGD, AdamW, or Muon for convolutions that mix channels with AdamW for the rest."""

    name: Literal["sgd", "adamw", "muon"] = "sgd"
    lr: float = 0.1
    matrix_lr: float = 0.02
    """For "muon": the rate of what Muon steps; ``lr`` is AdamW's."""
    momentum: float = 0.9
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 5e-4
    decay_1d: bool = True
    """Weight decay also on BN affine, PReLU slopes and biases, as PocketNet has it."""
    clip_norm: float | None = 5.0
    clip_modules: tuple[str, ...] = ()
    """Modules whose gradients are clipped, jointly; empty for all that every process shares."""

    def __post_init__(self) -> None:
        one_of("optim.name", self.name, ("sgd", "adamw", "muon"))
        at_least("optim.weight_decay", self.weight_decay, 0)
        for name in ("lr", "matrix_lr"):
            if getattr(self, name) <= 0:
                raise ValueError(f"optim.{name} is {getattr(self, name)}; it must be above 0")
        if self.clip_norm is not None and self.clip_norm <= 0:
            raise ValueError(f"optim.clip_norm is {self.clip_norm}; a number above 0, or null")


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleOptions:
    """Learning rate over the run; see ``facetrain.engine.schedule``."""

    kind: Literal["constant", "cosine", "multi_step", "polynomial"] = "cosine"
    warmup_epochs: float = 0.0
    milestones: tuple[float, ...] = ()
    """Epochs done at which the rate drops by ``gamma``."""
    gamma: float = 0.1
    floor: float = 0.0
    """Share of the base rate at the end of "cosine" and "polynomial"."""
    power: float = 2.0

    def __post_init__(self) -> None:
        one_of("schedule.kind", self.kind, ("constant", "cosine", "multi_step", "polynomial"))
        at_least("schedule.warmup_epochs", self.warmup_epochs, 0)
        between("schedule.floor", self.floor, 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopOptions:
    """How long, how precisely, and what is kept."""

    epochs: int = 26
    batch_size: int = 128
    """Pictures per step and process."""
    max_steps: int | None = None
    minutes: float | None = None
    """The run ends after this time, over all its parts, instead of after its steps: rate and sizes
    follow the time, and ``epochs`` only say of what ``schedule`` counts shares."""
    max_minutes: float | None = None
    """Checkpoint and stop cleanly after this time; the same command continues."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    channels_last: bool = False
    compile: Literal["off", "default", "reduce-overhead", "cudagraphs"] = "off"
    """torch.compile of the primary module, with CUDA graphs for "reduce-overhead"; "cudagraphs"
    compiles nothing and replays the module's own kernels."""
    ema_decay: float | None = None
    log_every: int = 50
    save_every: int | None = None
    """Steps between checkpoints, besides the one at the end of each epoch."""
    keep_epochs: bool = False
    """Keep the weights of every epoch: the teachers of multi-step distillation."""

    def __post_init__(self) -> None:
        at_least("loop.epochs", self.epochs, 1)
        at_least("loop.batch_size", self.batch_size, 1)
        at_least("loop.log_every", self.log_every, 1)
        one_of("loop.precision", self.precision, ("fp32", "tf32", "bf16"))
        one_of("loop.compile", self.compile, ("off", "default", "reduce-overhead", "cudagraphs"))
        if self.save_every is not None:
            at_least("loop.save_every", self.save_every, 1)
        if self.minutes is not None:
            # Without an end the rate would never fall.
            between("loop.minutes", self.minutes, 0.0, 525_600.0, open_low=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutOptions:
    """What is measured on pictures that are not trained on while training goes on.

    "verification": of other identities of the same set. "cosine": the mean to the run's teacher on
    another set; identities are then not needed.
    """

    kind: Literal["verification", "cosine"] = "verification"
    every: int = 0
    """Epochs between evaluations; 0 for none."""
    every_steps: int = 0
    """Steps between evaluations, besides; 0 for none."""
    identities: tuple[float, float] = (0.75, 1.0)
    """Their share, beside ``data.identities`` in the same order."""
    path: str = ""
    """For "cosine": the other set; its crops are not augmented."""
    pictures: int = 1000
    """For "cosine": how many are looked at, evenly over the set."""

    def __post_init__(self) -> None:
        one_of("held_out.kind", self.kind, ("verification", "cosine"))
        at_least("held_out.every", self.every, 0)
        at_least("held_out.every_steps", self.every_steps, 0)
        at_least("held_out.pictures", self.pictures, 1)

    @property
    def wanted(self) -> bool:
        return self.every > 0 or self.every_steps > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Everything that a training run is."""

    name: str
    seed: int = 1
    data: DataOptions = field(default_factory=DataOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    head: HeadOptions = field(default_factory=HeadOptions)
    teacher: TeacherOptions = field(default_factory=TeacherOptions)
    terms: tuple[TermOptions, ...] = ()
    hints: tuple[HintOptions, ...] = ()
    optim: OptimOptions = field(default_factory=OptimOptions)
    schedule: ScheduleOptions = field(default_factory=ScheduleOptions)
    loop: LoopOptions = field(default_factory=LoopOptions)
    held_out: HeldOutOptions = field(default_factory=HeldOutOptions)

    def __post_init__(self) -> None:
        low, high = self.held_out.identities
        compares = self.held_out.kind == "cosine"
        if compares and self.teacher.kind in ("none", "precomputed"):
            raise ValueError("held_out.kind cosine needs a teacher that can look at other pictures")
        verifies = self.held_out.wanted and not compares
        if verifies and low < self.data.identities[1] and high > self.data.identities[0]:
            raise ValueError(
                f"held_out.identities {self.held_out.identities} are trained on: "
                f"data.identities is {self.data.identities}"
            )
        if self.terms and self.teacher.kind == "none":
            raise ValueError("terms distil from a teacher; set teacher.kind and teacher.path")
        if self.schedule.warmup_epochs >= self.loop.epochs:
            raise ValueError(
                f"schedule.warmup_epochs is {self.schedule.warmup_epochs:g} of loop.epochs "
                f"{self.loop.epochs}: the rate would only rise; it must lie in "
                f"[0, {self.loop.epochs})"
            )
        if self.hints and self.teacher.kind not in ("onnx", "graph"):
            raise ValueError("hints need the feature maps of a teacher of kind onnx or graph")
        if (self.hints or self.data.sizes) and self.loop.compile != "off":
            raise ValueError("hints and data.sizes run the network as it is: set loop.compile off")
        kinds = [term.kind for term in self.terms]
        if len(set(kinds)) < len(kinds):
            raise ValueError(f"terms are {kinds}; each kind may stand once")
        if self.head.kind == "none" and not self.terms:
            raise ValueError("without a head and without terms there is no loss")
        supervised = self.head.kind != "none" or any(t.kind == "adaptive" for t in self.terms)
        if supervised and self.data.labels == "none":
            raise ValueError(
                "data.labels is none, but a head or adaptive centres need classes; "
                'take "identity" or "instance", or head.kind none'
            )
