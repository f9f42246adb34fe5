"""What of a trained student can be had in closed form: its statistics and its last layer.

Statistics: the normalisations' means and variances, as they are for the averaged weights and for
crops at their full size; during the run they belonged to other weights and perhaps smaller views.
Last layer: ridge regression from what the last convolution is given to the teacher's embeddings,
the best linear layer for squared error on the pictures; gradient descent had few steps for it.
"""

# N pictures, F features, D embedding

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from facetrain.distill.teacher import Teacher
from facetrain.models.pocketnet import PocketNet

RIDGES = (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
"""Tried one after the other, as shares of the features' mean square."""
HELD_BACK = 8
"""Every so many pictures one is kept to choose the ridge by."""


@torch.no_grad()
def restate(backbone: nn.Module, inputs: Iterable[Tensor]) -> None:
    """Replace all running statistics by their means over batches; evaluation mode afterwards.

    As for averaged weights in general (Izmailov et al., UAI 2018, arXiv 1803.05407, section 3.2).
    """
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    backbone.train()
    for x_BCHW in inputs:
        backbone(x_BCHW)
    backbone.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.no_grad()
def refit(
    backbone: PocketNet, teacher: Teacher, batches: Iterable[tuple[Tensor, Tensor]]
) -> tuple[float, float]:
    """Replace the tail's last convolution and normalisation by the regression's solution.

    Args:
        backbone: In evaluation mode; changed in place, and only if that brings it closer to the
            teacher on the pictures held back.
        batches: Training pictures: crops (B, 3, 112, 112), uint8 RGB, and where they stand in
            the set, (B,).

    Returns:
        Mean cosine to the teacher on the pictures held back, before and after.
    """
    features, targets, embeddings = [], [], []
    layers = list(backbone.tail)[-3:]
    convolution, norm, _ = layers
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    handle = convolution.register_forward_pre_hook(lambda _, x: features.append(x[0].flatten(1)))
    try:
        for crop_BCHW, index_B in batches:
            embeddings.append(F.normalize(backbone(backbone.preprocessing.apply(crop_BCHW))))
            targets.append(teacher.embed(crop_BCHW, index_B))
    finally:
        handle.remove()
    feature_NF, target_ND = torch.cat(features).double(), torch.cat(targets).double()
    held_N = torch.arange(len(feature_NF)) % HELD_BACK == 0

    def closeness(e_ND: Tensor) -> float:
        return float((F.normalize(e_ND) * target_ND[held_N]).sum(dim=1).mean())

    before = closeness(torch.cat(embeddings).double()[held_N])
    fits = [ridge(feature_NF[~held_N], target_ND[~held_N], share) for share in RIDGES]
    scores = [closeness(feature_NF[held_N] @ w_FD + b_D) for w_FD, b_D in fits]
    best = max(range(len(fits)), key=scores.__getitem__)
    if scores[best] <= before:
        return before, before
    w_FD, b_D = ridge(feature_NF, target_ND, RIDGES[best])
    # Half precision, in which weights are kept, is finest near 1; a scale changes no direction.
    scale = 1.0 / w_FD.abs().max()
    convolution.weight.copy_((scale * w_FD.T).float().view_as(convolution.weight))
    offset(norm, feature_NF @ (scale * w_FD), scale * b_D)
    return before, scores[best]


@torch.no_grad()
def offset(norm: nn.BatchNorm2d, output_ND: Tensor, by_D: Tensor) -> None:
    """Make a normalisation add `by_D`, in training mode too: its statistics are its input's own.

    Args:
        norm: Changed in place.
        output_ND: What it is given for many pictures.
        by_D: In the output's units.
    """
    var_D, mean_D = torch.var_mean(output_ND, dim=0, correction=0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean_D)
    norm.running_var.copy_(var_D)
    norm.weight.copy_((var_D + norm.eps).sqrt())
    norm.bias.copy_(mean_D + by_D)


def ridge(feature_NF: Tensor, target_ND: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Weights (F, D) and offsets (D,) of least squared error, with a ridge on the weights.

    Args:
        share: The ridge, relative to the features' mean variance times N.
    """
    mean_F, mean_D = feature_NF.mean(dim=0), target_ND.mean(dim=0)
    x_NF, y_ND = feature_NF - mean_F, target_ND - mean_D
    gram_FF = x_NF.T @ x_NF
    gram_FF.diagonal().add_(share * gram_FF.diagonal().mean())
    w_FD = torch.linalg.solve(gram_FF, x_NF.T @ y_ND)
    return w_FD, mean_D - mean_F @ w_FD
