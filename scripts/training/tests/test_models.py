"""Backbones: exact sizes, feature maps, gradients, names and options."""

import json

import pytest
import torch
from torch import nn

from facetrain.models import backbone_names, count_cost, create_backbone
from facetrain.models.cell import Cell
from facetrain.models.genotype import load_genotype
from facetrain.models.ops import PRIMITIVES, create_op
from facetrain.models.pocketnet import PocketNet, reduction_cells

POCKETNETS = [
    ("pocketnet_s", 128, 925_632, 283_541_120, 587.11),
    ("pocketnet_s", 256, 991_424, 283_606_656, 587.24),
    ("pocketnet_m", 128, 1_686_656, 538_215_680, 1099.02),
    # Published as 1099.15 (cut off, not rounded).
    ("pocketnet_m", 256, 1_752_448, 538_281_216, 1099.16),
]


@pytest.mark.parametrize(("name", "dim", "params", "macs", "mflops"), POCKETNETS)
def test_pocketnet_costs_what_is_published(
    name: str, dim: int, params: int, macs: int, mflops: float
) -> None:
    cost = count_cost(create_backbone(name, embedding_dim=dim))
    assert (cost.params, cost.macs) == (params, macs)
    assert round(cost.pocketnet_flops / 1e6, 2) == mflops


@pytest.mark.parametrize(
    ("name", "params", "macs", "mflops"),
    [("pocketnet_s", 885_184, 295.2, 620.9), ("pocketnet_m", 1_495_168, 523.6, 1080.6)],
)
def test_the_cifar_genotype_costs_what_is_derived(
    name: str, params: int, macs: float, mflops: float
) -> None:
    cost = count_cost(create_backbone(name, embedding_dim=128, genotype="cifar10"))
    assert cost.params == params
    assert round(cost.macs / 1e6, 1) == macs
    assert round(cost.pocketnet_flops / 1e6, 1) == mflops


@pytest.mark.parametrize(
    ("name", "dim", "params", "mmacs"),
    [
        ("mobilefacenet", 128, 1_003_136, 220.97),
        ("mobilefacenet", 512, 1_200_512, 221.16),
        ("mbf", 512, 2_059_520, 437.52),
        ("mbf_large", 512, 6_314_880, 1816.48),
        ("iresnet18", 512, 24_025_600, 2609.95),
        ("iresnet34", 512, 34_139_328, 4459.64),
        ("iresnet50", 512, 43_590_848, 6309.33),
        ("iresnet100", 512, 65_156_160, 12089.61),
    ],
)
def test_other_backbones_cost_what_is_known(name: str, dim: int, params: int, mmacs: float) -> None:
    # Weights do not matter for counting; without them even R100 is made at once.
    with torch.device("meta"):
        cost = count_cost(create_backbone(name, embedding_dim=dim))
    assert cost.params == params
    assert round(cost.macs / 1e6, 2) == mmacs


def test_embedding_of_512_has_a_wider_tail() -> None:
    backbone = create_backbone("pocketnet_s", embedding_dim=512)
    assert isinstance(backbone, PocketNet)
    depthwise = backbone.tail[4]
    assert isinstance(depthwise, nn.Conv2d)
    assert depthwise.groups == 1024


@pytest.mark.parametrize("name", backbone_names())
def test_feature_maps_and_embedding(name: str) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name, embedding_dim=24).eval()
        x_BCHW = torch.zeros(2, 3, 112, 112)
    stages = backbone.stages(x_BCHW)
    assert [tuple(stage.shape[2:]) for stage in stages] == [(px, px) for px in (56, 28, 14, 7)]
    assert backbone(x_BCHW).shape == (2, 24)
    assert backbone.preprocessing.width_px == 112


@pytest.mark.parametrize("name", ["pocketnet_s", "pocketnet_toy", "mobilefacenet", "iresnet18"])
def test_gradients_reach_every_parameter(name: str) -> None:
    torch.manual_seed(1)
    # In evaluation mode: a batch's own statistics cancel the shifts before the last normalisations.
    backbone = create_backbone(name, embedding_dim=16).eval()
    backbone(torch.randn(2, 3, 112, 112)).square().sum().backward()
    # iResNet's last scale stays 1.
    learned = {key: p for key, p in backbone.named_parameters() if p.requires_grad}
    without = [key for key, p in learned.items() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", ["pocketnet_toy", "mobilefacenet", "iresnet18"])
def test_channels_last_changes_nothing(name: str) -> None:
    torch.manual_seed(2)
    backbone = create_backbone(name, embedding_dim=8).eval()
    x_BCHW = torch.randn(2, 3, 112, 112)
    expected_BD = backbone(x_BCHW)
    # torch's stubs know no `to` with only a memory format.
    backbone.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    actual_BD = backbone(x_BCHW.to(memory_format=torch.channels_last))
    # Fresh networks give embeddings of any length.
    length = expected_BD.norm()
    torch.testing.assert_close(actual_BD / length, expected_BD / length, rtol=0, atol=1e-4)


def test_relu_has_no_slopes_and_the_same_multiply_adds() -> None:
    relu = create_backbone("pocketnet_s", embedding_dim=128, activation="relu")
    cost = count_cost(relu)
    assert not any(isinstance(layer, nn.PReLU) for layer in relu.modules())
    assert cost.params == 925_632 - 10_080
    assert cost.macs == 283_541_120


def test_a_shared_relu_changes_nothing() -> None:
    options = {"activation": "relu", "cells": 9, "channels": 4}
    backbone = create_backbone("pocketnet_s", embedding_dim=8, **options)
    x_BCHW = torch.randn(2, 3, 112, 112)
    results = []
    for shares in (True, False):
        for cell in backbone.modules():
            if isinstance(cell, Cell):
                cell.shares_activation = shares
        backbone.zero_grad()
        e_BD = backbone(x_BCHW)
        e_BD.square().sum().backward()
        gradients = [parameter.grad for parameter in backbone.parameters()]
        results.append((count_cost(backbone).pocketnet_flops, e_BD.detach(), gradients))
    (shared_flops, shared_BD, shared), (own_flops, own_BD, own) = results
    assert shared_flops < own_flops
    assert torch.equal(shared_BD, own_BD)
    torch.testing.assert_close(shared, own)


def test_relu_and_prelu_have_the_same_names_but_for_slopes() -> None:
    relu, prelu = (
        create_backbone("pocketnet_toy", embedding_dim=8, activation=activation)
        for activation in ("relu", "prelu")
    )
    slopes = {
        f"{name}.weight" for name, layer in prelu.named_modules() if isinstance(layer, nn.PReLU)
    }
    assert relu.state_dict().keys() == prelu.state_dict().keys() - slopes


@pytest.mark.parametrize("cells", range(3, 19))
def test_three_reductions_at_any_depth(cells: int) -> None:
    reductions = reduction_cells(cells)
    assert len(set(reductions)) == 3
    assert reductions[-1] == cells - 1


@pytest.mark.parametrize(
    ("cells", "reductions"), [(18, (6, 12, 17)), (9, (3, 6, 8)), (8, (2, 5, 7))]
)
def test_published_reductions(cells: int, reductions: tuple[int, ...]) -> None:
    assert reduction_cells(cells) == reductions


@pytest.mark.parametrize("cells", [3, 4, 6])
def test_toy_size_is_configurable(cells: int) -> None:
    toy = create_backbone("pocketnet_toy", embedding_dim=32, cells=cells, genotype="cifar10").eval()
    assert isinstance(toy, PocketNet)
    assert len(toy.cells) == cells
    assert toy(torch.zeros(1, 3, 112, 112)).shape == (1, 32)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pocketnet_toy", {"genotype": "cifar10", "activation": "relu"}),
        ("mbf", {"blocks": (1, 1, 1, 1)}),
        ("iresnet18", {"dropout": 0.4}),
    ],
)
def test_spec_makes_the_same_network_again(name: str, options: dict[str, object]) -> None:
    backbone = create_backbone(name, embedding_dim=8, **options)
    spec = json.loads(json.dumps(backbone.spec))
    again = create_backbone(spec["name"], embedding_dim=spec["embedding_dim"], **spec["options"])
    again.load_state_dict(backbone.state_dict())
    assert again.spec == spec
    if isinstance(again, PocketNet):
        assert again.genotype == load_genotype("cifar10")


@pytest.mark.parametrize("name", PRIMITIVES)
@pytest.mark.parametrize("stride", [1, 2])
def test_primitives_keep_channels_and_apply_their_stride(name: str, stride: int) -> None:
    op = create_op(name, 6, stride)
    y_BCHW = op(torch.randn(2, 6, 8, 8))
    assert y_BCHW.shape == (2, 6, 8 // stride, 8 // stride)
    assert (y_BCHW.abs().sum() == 0) == (name == "none")


@pytest.mark.parametrize("affine", [True, False])
def test_affine_switches_every_normalisation(affine: bool) -> None:
    for name in PRIMITIVES:
        for layer in create_op(name, 4, 2, affine=affine).modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.affine == affine


def test_factorised_reduction_sees_every_second_pixel_twice() -> None:
    reduce = create_op("skip_connect", 2, 2).eval()
    x_BCHW = torch.zeros(1, 2, 4, 4)
    at_rest_BCHW = reduce(x_BCHW)
    for row in range(4):
        for column in range(4):
            probe_BCHW = x_BCHW.clone()
            probe_BCHW[..., row, column] = 1.0
            seen = not torch.equal(reduce(probe_BCHW), at_rest_BCHW)
            # One branch sees even pixels, the other odd ones.
            assert seen == (row % 2 == column % 2)


def test_counting_leaves_the_module_alone() -> None:
    toy = create_backbone("pocketnet_toy", embedding_dim=8)
    assert isinstance(toy, PocketNet)
    state = {key: value.clone() for key, value in toy.state_dict().items()}
    toy.cells[0].eval()
    count_cost(toy)
    assert toy.training
    assert not toy.cells[0].training
    assert all(torch.equal(value, state[key]) for key, value in toy.state_dict().items())
    assert not any(layer._forward_hooks for layer in toy.modules())


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="resnet9") as refusal:
        create_backbone("resnet9", embedding_dim=8)
    assert all(name in str(refusal.value) for name in backbone_names())


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pocketnet_s", {"depth": 3}, "unknown option depth; known: genotype, cells"),
        ("pocketnet_s", {"cells": 2}, "at least 3"),
        ("pocketnet_s", {"channels": 3}, "must be even"),
        ("pocketnet_s", {"activation": "gelu"}, "one of: prelu, relu"),
        ("pocketnet_s", {"tail_groups": 100}, "must divide"),
        ("mobilefacenet", {"blocks": (1, 2)}, "four numbers"),
        ("iresnet18", {"dropout": 1.0}, r"in \[0, 1\)"),
        ("iresnet18", {"genotype": "casia"}, "unknown option genotype; known: dropout"),
    ],
)
def test_bad_options_say_what_is_allowed(
    name: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        create_backbone(name, embedding_dim=8, **options)


def test_a_depthwise_1x1_scales_weights_while_training_and_is_the_same_function() -> None:
    torch.manual_seed(0)
    for stride in (1, 2):
        op = create_op("dw_conv_1x1", 4, stride).train()
        x_BCHW = torch.randn(3, 4, 6, 6)
        trained = op(x_BCHW)
        reference = x_BCHW
        assert isinstance(op, torch.nn.Sequential)
        for layer in op:
            reference = layer(reference)
        assert torch.allclose(trained, reference, atol=1e-5)
