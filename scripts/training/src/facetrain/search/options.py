"""Options of a search. The defaults are PocketNet's published recipe.

Boutros et al., arXiv 2108.10710: second-order DARTS (Liu et al., arXiv 1806.09055) over 8 cells for
50 epochs on two halves of CASIA-WebFace, which took six GPUs 16 days. The other options are what
made such searches cheaper or steadier since: first order and alpha warm-up, PC-DARTS
(arXiv 1907.05737), DARTS- (arXiv 2009.01027), FairDARTS (arXiv 1911.12126), DARTS+
(arXiv 1909.06035).
"""

from dataclasses import dataclass, field
from typing import Literal

from facetrain.checks import at_least, between, one_of
from facetrain.models.ops import Activation

Relaxation = Literal["softmax", "sigmoid"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SupernetOptions:
    """The network that holds all operations at once."""

    cells: int = 8
    channels: int = 16
    """C of the first cell's nodes."""
    nodes: int = 4
    stem_multiplier: int = 3
    embedding_dim: int = 128
    """Without labels the teacher's number of dimensions is taken instead."""
    tail_channels: int = 512
    tail_groups: int = 128
    """Groups of the tail's 7x7 convolution: 128 as published, `tail_channels` for depthwise."""
    activation: Activation = "prelu"
    relaxation: Relaxation = "softmax"
    """How alphas become weights: an edge's operations compete, or each stands alone (FairDARTS)."""
    partial_channels: int = 1
    """K: 1/K of the channels go through the operations, the rest by them (PC-DARTS: 4). Above 1,
    edges get learned weights too."""
    auxiliary_skip: bool = False
    """A skip beside every edge that fades out over the epochs, so that the searched skip need not
    serve the training of the weights (DARTS-)."""

    def __post_init__(self) -> None:
        # With three cells all would be reductions, and no normal cell be searched.
        at_least("supernet.cells", self.cells, 4)
        at_least("supernet.nodes", self.nodes, 1)
        at_least("supernet.stem_multiplier", self.stem_multiplier, 1)
        at_least("supernet.embedding_dim", self.embedding_dim, 1)
        at_least("supernet.partial_channels", self.partial_channels, 1)
        one_of("supernet.activation", self.activation, ("prelu", "relu"))
        one_of("supernet.relaxation", self.relaxation, ("softmax", "sigmoid"))
        # Factorised reductions halve what goes through the operations.
        if self.channels < 2 or self.channels % (2 * self.partial_channels):
            raise ValueError(
                f"supernet.channels is {self.channels}; "
                f"it must be a multiple of 2 x partial_channels ({2 * self.partial_channels})"
            )
        if self.tail_groups < 1 or self.tail_channels % self.tail_groups:
            raise ValueError(
                f"supernet.tail_groups is {self.tail_groups}; "
                f"it must divide tail_channels ({self.tail_channels})"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightOptions:
    """SGD on the weights; the learning rate follows a cosine by epoch."""

    lr: float = 0.1
    lr_min: float = 0.004
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip_norm: float = 5.0

    def __post_init__(self) -> None:
        between("weights.lr_min", self.lr_min, 0.0, self.lr)
        between("weights.momentum", self.momentum, 0.0, 1.0)
        at_least("weights.weight_decay", self.weight_decay, 0)
        if self.lr <= 0 or self.clip_norm <= 0:
            raise ValueError("weights.lr and weights.clip_norm must be greater than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlphaOptions:
    """Adam on the alphas, and the terms that only they feel."""

    order: int = 2
    """2: through one unrolled step of the weights; 1: as if the weights did not depend on the
    alphas, at under a third of the cost."""
    lr: float = 1.2e-3
    betas: tuple[float, float] = (0.5, 0.999)
    weight_decay: float = 1e-3
    warmup_epochs: int = 0
    """Epochs in which only the weights learn."""
    hessian_eps: float = 0.01
    """Length of the step along which the second order is a finite difference."""
    zero_one_weight: float = 0.0
    """Pull of sigmoid weights towards 0 or 1 (FairDARTS: 10)."""
    mac_weight: float = 0.0
    """Weight of the expected multiply-adds of the final network, as a share of `mac_target`."""
    mac_target: float = 283.5e6
    """Multiply-adds that cost `mac_weight`; PocketNetS-128's."""

    def __post_init__(self) -> None:
        one_of("alphas.order", self.order, (1, 2))
        at_least("alphas.weight_decay", self.weight_decay, 0)
        at_least("alphas.warmup_epochs", self.warmup_epochs, 0)
        at_least("alphas.zero_one_weight", self.zero_one_weight, 0)
        at_least("alphas.mac_weight", self.mac_weight, 0)
        if self.lr <= 0 or self.hessian_eps <= 0 or self.mac_target <= 0:
            raise ValueError(
                "alphas.lr, alphas.hessian_eps and alphas.mac_target must be greater than 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class StopOptions:
    """When to end before the last epoch (DARTS+); None: never."""

    skips: int | None = None
    """So many skip connections in the normal cell (DARTS+: 2)."""
    stable_epochs: int | None = None
    """So many epochs in which the order of every edge's convolutions stayed (DARTS+: 10)."""

    def __post_init__(self) -> None:
        for name in ("skips", "stable_epochs"):
            if (value := getattr(self, name)) is not None:
                at_least(f"stop.{name}", value, 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetOptions:
    """The network that the genotype is for: what it will cost is logged and may be penalised."""

    backbone: str = "pocketnet_s"
    embedding_dim: int = 128


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchOptions:
    """A whole search."""

    supernet: SupernetOptions = field(default_factory=SupernetOptions)
    weights: WeightOptions = field(default_factory=WeightOptions)
    alphas: AlphaOptions = field(default_factory=AlphaOptions)
    stop: StopOptions = field(default_factory=StopOptions)
    target: TargetOptions = field(default_factory=TargetOptions)
    epochs: int = 50
    batch_size: int = 128
    """Crops of each half per step; over all processes it is this times their number."""
    seed: int = 2
    evaluate_steps: int | None = None
    """Batches of the alphas' half that the supernet is evaluated on after an epoch; None: all."""
    log_steps: int = 20
    checkpoint_steps: int = 200
    draw_epochs: int | None = 1
    """Epochs between pictures of curves, genotype and alphas; None: none."""

    def __post_init__(self) -> None:
        at_least("epochs", self.epochs, 1)
        at_least("batch_size", self.batch_size, 2)
        at_least("log_steps", self.log_steps, 1)
        at_least("checkpoint_steps", self.checkpoint_steps, 1)
        if self.draw_epochs is not None:
            at_least("draw_epochs", self.draw_epochs, 1)
        if self.evaluate_steps is not None:
            at_least("evaluate_steps", self.evaluate_steps, 0)
        if self.alphas.zero_one_weight and self.supernet.relaxation != "sigmoid":
            raise ValueError('alphas.zero_one_weight needs supernet.relaxation "sigmoid"')


def toy_options(**changes: object) -> SearchOptions:
    """A search for a CPU: 4 cells of 4 channels, first order, batches of 8."""
    options: dict[str, object] = {
        "supernet": SupernetOptions(
            cells=4, channels=4, embedding_dim=32, tail_channels=64, tail_groups=64
        ),
        "alphas": AlphaOptions(order=1, lr=6e-3),
        "weights": WeightOptions(lr=0.05),
        "target": TargetOptions(backbone="pocketnet_toy", embedding_dim=32),
        "epochs": 3,
        "batch_size": 8,
        "evaluate_steps": 4,
        "log_steps": 5,
        **changes,
    }
    return SearchOptions(**options)  # pyright: ignore[reportArgumentType]
