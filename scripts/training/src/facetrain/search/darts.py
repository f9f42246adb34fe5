"""Gradients of the alphas: DARTS of first and second order (Liu et al., arXiv 1806.09055).

The alphas should minimise the loss on their half of the data for weights that are optimal for them
on the other half. First order takes the weights as they are. Second order takes one step of the
weights first, w' = w - xi (m + dL_train/dw), and differentiates through it:

    dL_val/da (w', a) - xi * d²L_train/(da dw) · dL_val/dw' (w', a)

The product with the mixed Hessian is a central difference of dL_train/da along dL_val/dw'.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import functional_call

from facetrain.engine.distributed import World
from facetrain.search.alphas import Alphas
from facetrain.search.objective import Objective, Sample, SearchModel
from facetrain.search.options import WeightOptions

Weights = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class AlphaStep:
    """Gradients in the order of `alphas.parameters()`, and what was seen on the way."""

    gradients: list[Tensor]
    loss: Tensor
    quality: Tensor


class Bilevel:
    """The two losses as functions of weights and alphas.

    Nothing here changes the model: weights are arguments, and batch statistics that the extra
    passes gather go into a scratch copy.

    Args:
        model: In training mode.
        alphas: The searched parameters.
        objective: The loss.
        penalty: What the alphas pay besides (multiply-adds, indecision); None: nothing.
        world: Gradients are averaged over its processes.
    """

    def __init__(
        self,
        model: SearchModel,
        alphas: Alphas,
        objective: Objective,
        *,
        penalty: Callable[[], Tensor] | None = None,
        world: World | None = None,
    ) -> None:
        self._model = model
        self._alphas = alphas
        self._objective = objective
        self._penalty = penalty
        self._world = world or World()
        self._scratch = {name: buffer.clone() for name, buffer in model.named_buffers()}

    def first_order(self, val: Sample, *, auxiliary: float = 0.0) -> AlphaStep:
        """Gradients for the weights as they are."""
        weights = {name: p.detach() for name, p in self._model.named_parameters()}
        loss, quality = self._losses(weights, val, auxiliary)
        gradients = _grad(self._penalised(loss), list(self._alphas.parameters()))
        return AlphaStep(
            gradients=self._mean(gradients), loss=loss.detach(), quality=quality.detach()
        )

    def second_order(
        self,
        train: Sample,
        val: Sample,
        *,
        xi: float,
        velocity: Mapping[str, Tensor],
        options: WeightOptions,
        eps: float,
        auxiliary: float = 0.0,
    ) -> AlphaStep:
        """Gradients through one step of the weights.

        Args:
            train: Of the weights' half.
            val: Of the alphas' half.
            xi: Length of the step: the current learning rate.
            velocity: SGD's momentum buffers by parameter name; those missing are 0.
            options: Momentum and weight decay of the step.
            eps: Length of the finite difference.
            auxiliary: Weight of DARTS-'s extra skip.
        """
        alphas = list(self._alphas.parameters())
        weights = _leaves(self._model.named_parameters())
        loss, _ = self._losses(weights, train, auxiliary)
        slopes = self._mean(_grad(loss, list(weights.values())))
        ahead = _leaves(
            (name, w - xi * _sgd_direction(w, slope, velocity.get(name), options))
            for (name, w), slope in zip(weights.items(), slopes, strict=True)
        )
        loss, quality = self._losses(ahead, val, auxiliary)
        both = _grad(self._penalised(loss), [*alphas, *ahead.values()])
        direct, along = both[: len(alphas)], self._mean(both[len(alphas) :])
        scale = eps / _norm(along).clamp_min(torch.finfo(torch.float32).tiny)
        plus, minus = (
            self._alpha_slopes(weights, along, sign * scale, train, auxiliary) for sign in (1, -1)
        )
        gradients = [
            d - xi * (p - m) / (2 * scale) for d, p, m in zip(direct, plus, minus, strict=True)
        ]
        return AlphaStep(
            gradients=self._mean(gradients), loss=loss.detach(), quality=quality.detach()
        )

    def _losses(
        self, weights: Mapping[str, Tensor], sample: Sample, auxiliary: float
    ) -> tuple[Tensor, Tensor]:
        mix = self._alphas.weights(auxiliary)
        output = functional_call(self._model, {**weights, **self._scratch}, (sample.x_BCHW, mix))
        loss = self._objective.loss(output, sample.target)
        return loss, self._objective.quality(output, sample.target)

    def _penalised(self, loss: Tensor) -> Tensor:
        return loss if self._penalty is None else loss + self._penalty().to(loss.dtype)

    def _alpha_slopes(
        self,
        weights: Weights,
        along: Sequence[Tensor],
        step: Tensor,
        train: Sample,
        auxiliary: float,
    ) -> list[Tensor]:
        moved = {
            name: w.detach() + step * direction
            for (name, w), direction in zip(weights.items(), along, strict=True)
        }
        loss, _ = self._losses(moved, train, auxiliary)
        return _grad(loss, list(self._alphas.parameters()))

    def _mean(self, tensors: list[Tensor]) -> list[Tensor]:
        return mean_over_processes(tensors, self._world)


def mean_over_processes(tensors: list[Tensor], world: World) -> list[Tensor]:
    """Each tensor's mean over the processes, by one exchange for all of them."""
    if world.size == 1:
        return tensors
    flat = world.mean(torch.cat([tensor.flatten() for tensor in tensors]))
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


def _sgd_direction(
    w: Tensor, slope: Tensor, velocity: Tensor | None, options: WeightOptions
) -> Tensor:
    # What torch.optim.SGD would subtract, times the learning rate.
    direction = slope + options.weight_decay * w
    return direction if velocity is None else direction + options.momentum * velocity


def _leaves(named: Iterable[tuple[str, Tensor]]) -> Weights:
    return {name: w.detach().requires_grad_() for name, w in named}


def _grad(loss: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    return list(torch.autograd.grad(loss, inputs, materialize_grads=True))


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    return torch.stack([tensor.norm() for tensor in tensors]).norm()
