"""Muon beside AdamW in one optimiser."""

from copy import deepcopy

import torch
from torch import nn

from facetrain.config import OptimOptions
from facetrain.engine.muon import Muon, orthogonalised
from facetrain.engine.optimizer import build_optimizer, mixing_weights
from facetrain.models.create import create_backbone


def test_singular_values_become_alike() -> None:
    torch.manual_seed(0)
    for shape in ((2, 8, 24), (1, 24, 8), (1, 256, 300)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(*shape)))
        assert values.min() > 0.3
        assert values.max() < 1.3


def test_what_it_turns_and_what_adamw_steps() -> None:
    backbone = create_backbone("pocketnet_toy", embedding_dim=8)
    modules = nn.ModuleDict({"backbone": backbone, "hints": nn.Conv2d(4, 4, 1)})
    options = OptimOptions(name="muon", lr=1e-3, matrix_lr=0.02, decay_1d=False)
    optimizer = build_optimizer(modules, options)
    mixing, decayed, plain = optimizer.param_groups
    assert mixing["base_lr"] == 0.02
    assert decayed["base_lr"] == 1e-3
    assert {weight.shape[2:] for weight in mixing["params"]} == {(1, 1)}
    assert all(weight.ndim == 1 for weight in plain["params"])
    assert backbone.get_parameter("stem.0.weight") not in set(mixing_weights(backbone))
    counts = [len(group["params"]) for group in optimizer.param_groups]
    assert sum(counts) == len(list(modules.parameters()))


def test_the_others_step_as_by_adamw_and_a_loaded_state_goes_on() -> None:
    def layers() -> tuple[nn.Parameter, nn.Parameter]:
        torch.manual_seed(5)
        return nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(3))

    def groups(matrix: nn.Parameter, vector: nn.Parameter) -> list[dict]:
        return [
            {"params": [matrix], "orthogonal": True, "weight_decay": 0.1},
            {"params": [vector], "weight_decay": 0.1},
        ]

    def step(optimizer: torch.optim.Optimizer, *weights: nn.Parameter) -> None:
        sum((weight.cos().sum() for weight in weights), torch.zeros(())).backward()
        optimizer.step()
        optimizer.zero_grad()

    matrix, vector = layers()
    optimizer = Muon(groups(matrix, vector), 0.01)
    _, alone = layers()
    adamw = torch.optim.AdamW([alone], lr=0.01, weight_decay=0.1)
    step(optimizer, matrix, vector)
    step(adamw, alone)
    assert torch.equal(vector, alone)
    assert matrix.grad is None

    again, other = (nn.Parameter(weight.detach().clone()) for weight in (matrix, vector))
    continued = Muon(groups(again, other), 0.01)
    continued.load_state_dict(deepcopy(optimizer.state_dict()))
    step(optimizer, matrix, vector)
    step(continued, again, other)
    assert torch.equal(matrix, again)
    assert torch.equal(vector, other)
