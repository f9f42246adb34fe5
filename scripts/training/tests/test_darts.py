"""Gradients of the alphas against numerical ones, in float64."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.func import functional_call

from facetrain.engine.distributed import World
from facetrain.search.alphas import Alphas
from facetrain.search.darts import AlphaStep, Bilevel, mean_over_processes
from facetrain.search.objective import IdentityObjective, Sample, SearchModel
from facetrain.search.options import SupernetOptions, WeightOptions

XI = 0.05
OPTIONS = WeightOptions(momentum=0.9, weight_decay=3e-2)


class Problem:
    """A tiny supernet and two batches, all float64."""

    def __init__(self, *, edges: bool = False) -> None:
        torch.manual_seed(7)
        self.objective = IdentityObjective(3)
        options = SupernetOptions(
            cells=4,
            channels=4 if edges else 2,
            nodes=2,
            stem_multiplier=1,
            embedding_dim=4,
            tail_channels=8,
            tail_groups=8,
            partial_channels=2 if edges else 1,
        )
        self.model = SearchModel(options, self.objective).double()
        self.alphas = Alphas(2, edges=edges).double()
        self.train, self.val = (
            Sample(torch.randn(3, 3, 112, 112, dtype=torch.float64), torch.tensor([0, 1, 2]))
            for _ in range(2)
        )
        self.velocity = {
            name: 0.1 * torch.randn_like(p) for name, p in self.model.named_parameters()
        }

    def loss(self, weights: Mapping[str, Tensor], sample: Sample) -> Tensor:
        output = functional_call(
            self.model, dict(weights), (sample.x_BCHW, self.alphas.weights()), strict=False
        )
        return self.objective.loss(output, sample.target)

    def unrolled_val_loss(self, *, create_graph: bool = False) -> Tensor:
        """What second order differentiates, written down plainly."""
        weights = dict(self.model.named_parameters())
        slopes = torch.autograd.grad(
            self.loss(weights, self.train),
            list(weights.values()),
            create_graph=create_graph,
            materialize_grads=True,
        )
        ahead = {
            name: w - XI * (OPTIONS.momentum * self.velocity[name] + g + OPTIONS.weight_decay * w)
            for (name, w), g in zip(weights.items(), slopes, strict=True)
        }
        return self.loss(ahead, self.val)

    def second_order(self, eps: float = 1e-7) -> AlphaStep:
        # So short that no PReLU or pooling changes its mind on the way: the loss has kinks there,
        # and a difference across one is not the derivative beside it.
        return Bilevel(self.model, self.alphas, self.objective).second_order(
            self.train, self.val, xi=XI, velocity=self.velocity, options=OPTIONS, eps=eps
        )


@pytest.fixture(name="problem")
def _problem() -> Problem:
    return Problem()


def test_second_order_equals_a_numerical_gradient(problem: Problem) -> None:
    step = problem.second_order()
    scale = max(float(g.abs().max()) for g in step.gradients)
    for parameter, gradient in zip(problem.alphas.parameters(), step.gradients, strict=True):
        # The entry of most effect and another one stand for all.
        for flat in (int(gradient.abs().argmax()), 3):
            entry = parameter.detach().view(-1)
            start, h = float(entry[flat]), 1e-6
            entry[flat] = start + h
            above = float(problem.unrolled_val_loss().detach())
            entry[flat] = start - h
            below = float(problem.unrolled_val_loss().detach())
            entry[flat] = start
            numerical = (above - below) / (2 * h)
            assert float(gradient.view(-1)[flat]) == pytest.approx(numerical, abs=1e-5 * scale)


@pytest.mark.parametrize("edges", [False, True])
def test_second_order_equals_differentiating_twice(edges: bool) -> None:
    problem = Problem(edges=edges)
    loss = problem.unrolled_val_loss(create_graph=True)
    exact = torch.autograd.grad(loss, list(problem.alphas.parameters()))
    step = problem.second_order()
    assert float(step.loss) == pytest.approx(float(loss.detach()), rel=1e-9)
    for expected, actual in zip(exact, step.gradients, strict=True):
        torch.testing.assert_close(
            actual, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max())
        )


def test_the_mixed_hessian_is_part_of_it(problem: Problem) -> None:
    """Leaving it out must not pass the tests above."""
    step = problem.second_order()
    ahead = problem.unrolled_val_loss()
    direct = torch.autograd.grad(ahead, list(problem.alphas.parameters()))
    # `unrolled_val_loss` without a graph holds the weights' step constant.
    difference = max(
        float((a - b).abs().max()) for a, b in zip(direct, step.gradients, strict=True)
    )
    scale = max(float(g.abs().max()) for g in step.gradients)
    assert difference > 1e-2 * scale


def test_first_order_is_the_plain_gradient(problem: Problem) -> None:
    loss = problem.loss(dict(problem.model.named_parameters()), problem.val)
    expected = torch.autograd.grad(loss, list(problem.alphas.parameters()))
    step = Bilevel(problem.model, problem.alphas, problem.objective).first_order(problem.val)
    torch.testing.assert_close(step.gradients, list(expected))


def test_a_penalty_adds_its_own_gradient(problem: Problem) -> None:
    plain = Bilevel(problem.model, problem.alphas, problem.objective).first_order(problem.val)
    penalised = Bilevel(
        problem.model,
        problem.alphas,
        problem.objective,
        penalty=lambda: 3.0 * problem.alphas.normal_EP.sum(),
    ).first_order(problem.val)
    torch.testing.assert_close(penalised.gradients[0], plain.gradients[0] + 3.0)
    torch.testing.assert_close(penalised.gradients[1], plain.gradients[1])
    assert float(penalised.loss) == pytest.approx(float(plain.loss))


def test_gradients_leave_weights_and_statistics_alone(problem: Problem) -> None:
    before = {name: value.clone() for name, value in problem.model.state_dict().items()}
    problem.second_order()
    Bilevel(problem.model, problem.alphas, problem.objective).first_order(problem.val)
    assert all(
        torch.equal(value, before[name]) for name, value in problem.model.state_dict().items()
    )
    assert all(p.grad is None for p in problem.model.parameters())
    assert all(p.grad is None for p in problem.alphas.parameters())


class OneOfTwo(World):
    """A process whose peer has the same numbers, but all negative."""

    def mean(self, values: Tensor) -> Tensor:
        return (values - values.abs()) / 2


def test_gradients_are_averaged_tensor_by_tensor() -> None:
    tensors = [torch.tensor([[1.0, -2.0]]), torch.tensor(3.0), torch.tensor([-4.0])]
    averaged = mean_over_processes(tensors, OneOfTwo(rank=0, size=2))
    expected = [torch.tensor([[0.0, -2.0]]), torch.tensor(0.0), torch.tensor([-4.0])]
    torch.testing.assert_close(averaged, expected)
    assert mean_over_processes(tensors, World()) is tensors
