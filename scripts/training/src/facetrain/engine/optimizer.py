"""SGD, AdamW and Muon over a task's modules, with the weight decay where it belongs."""

from collections.abc import Iterable

import torch
from torch import nn
from torch.optim import SGD, AdamW, Optimizer

from facetrain.config import OptimOptions
from facetrain.engine.muon import Muon
from facetrain.engine.task import local_modules, primary_name


def build_optimizer(modules: nn.ModuleDict, options: OptimOptions) -> Optimizer:
    """One optimiser over all parameters that want a gradient.

    Two groups, each with a key ``base_lr`` that the schedule multiplies: parameters with weight
    decay and, unless ``options.decay_1d``, parameters of one dimension (BN affine, PReLU slopes,
    biases) without. With "muon" a group before them has what Muon steps.
    """
    if options.name == "muon":
        return _muon(modules, options)
    decayed, plain = split_by_dimension(modules.parameters(), decay_1d=options.decay_1d)
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    groups = [{**group, "base_lr": options.lr} for group in groups if group["params"]]
    if not groups:
        raise ValueError("the task has no parameter that wants a gradient; nothing can be trained")
    if options.name == "sgd":
        return SGD(groups, lr=options.lr, momentum=options.momentum, nesterov=options.nesterov)
    return AdamW(groups, lr=options.lr, betas=options.betas)


def _muon(modules: nn.ModuleDict, options: OptimOptions) -> Muon:
    mixing = mixing_weights(modules[primary_name(modules)])
    known = set(map(id, mixing))
    others = [parameter for parameter in modules.parameters() if id(parameter) not in known]
    decayed, plain = split_by_dimension(others, decay_1d=options.decay_1d)
    decay, lr = options.weight_decay, options.lr
    groups = [
        {"params": mixing, "base_lr": options.matrix_lr, "weight_decay": decay, "orthogonal": True},
        {"params": decayed, "base_lr": lr, "weight_decay": decay},
        {"params": plain, "base_lr": lr, "weight_decay": 0.0},
    ]
    return Muon([g for g in groups if g["params"]], lr, momentum=options.momentum,
                betas=options.betas)  # fmt: skip


def mixing_weights(module: nn.Module) -> list[nn.Parameter]:
    """Weights of convolutions over all channels, but for those that read the picture itself."""
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d) and m.groups == 1]
    weights = [layer.weight for layer in layers if layer.in_channels > 3]
    return [w for w in weights if isinstance(w, nn.Parameter) and w.requires_grad]


def split_by_dimension(
    parameters: Iterable[nn.Parameter], *, decay_1d: bool
) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Trainable parameters with and without weight decay."""
    trained = [p for p in parameters if p.requires_grad]
    return (
        [p for p in trained if decay_1d or p.ndim > 1],
        [p for p in trained if not decay_1d and p.ndim <= 1],
    )


def set_lr(optimizer: Optimizer, factor: float) -> None:
    """Set every group's rate to ``factor`` times its base rate."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def clip_gradients(parameters: list[nn.Parameter], norm: float | None) -> torch.Tensor | None:
    """Scale the gradients to a joint norm of at most ``norm``; their norm before, on the device."""
    if norm is None:
        return None
    return nn.utils.clip_grad_norm_(parameters, norm)


def clipped_parameters(modules: nn.ModuleDict, options: OptimOptions) -> list[nn.Parameter]:
    """The parameters whose joint gradient norm is bounded; shares of a sharded head are not."""
    unknown = set(options.clip_modules) - set(modules)
    if unknown:
        raise ValueError(f"optim.clip_modules: no module {sorted(unknown)[0]!r}; {list(modules)}")
    names = options.clip_modules or [n for n in modules if n not in local_modules(modules)]
    return [p for name in names for p in modules[name].parameters() if p.requires_grad]
