import pytest
import torch
from torch import Tensor, cat, nn

from facetrain.export.fold import checked_fold, fold
from facetrain.models.count import count_cost
from facetrain.models.create import create_backbone
from facetrain.preprocessing import POCKETNET


def trained(network: nn.Module, *size: int) -> nn.Module:
    """With running statistics, scales and slopes that are not those of a fresh network."""
    torch.manual_seed(1)
    with torch.no_grad():
        for layer in network.modules():
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d) and layer.affine:
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.5, 0.5)
            if isinstance(layer, nn.PReLU):
                layer.weight.uniform_(-0.5, 0.5)
        network.train()
        for _ in range(5):
            network(torch.randn(8, *size))
    return network.eval()


def assert_same(network: nn.Module, *size: int, norms_left: int) -> nn.Module:
    trained(network, *size)
    folded = fold(network)
    x_BCHW = torch.randn(2, *size)
    with torch.inference_mode():
        torch.testing.assert_close(folded(x_BCHW), network(x_BCHW), rtol=1e-5, atol=1e-5)
    norms = [layer for layer in folded.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(norms) == norms_left
    return folded


def test_depthwise_1x1_pointwise_and_norm_become_one_layer() -> None:
    network = nn.Sequential(
        nn.Conv2d(6, 6, 1, 2, groups=6, bias=False), nn.Conv2d(6, 8, 1), nn.BatchNorm2d(8)
    )
    folded = assert_same(network, 6, 9, 9, norms_left=0)
    (layer,) = (layer for layer in folded.modules() if isinstance(layer, nn.Conv2d))
    assert (layer.stride, tuple(layer.weight.shape)) == ((2, 2), (8, 6, 1, 1))


def test_pointwise_chains_become_one_where_that_is_cheaper() -> None:
    wide = nn.Sequential(nn.Conv2d(4, 32, 1), nn.Conv2d(32, 4, 1))
    narrow = nn.Sequential(nn.Conv2d(32, 2, 1), nn.Conv2d(2, 32, 1))
    layers = [
        sum(isinstance(layer, nn.Conv2d) for layer in fold(net).modules()) for net in (wide, narrow)
    ]
    assert layers == [1, 2]


def test_a_norm_before_a_pointwise_goes_in_and_one_before_padding_stays() -> None:
    assert_same(nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 5, 1)), 4, 6, 6, norms_left=0)
    padded = nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 5, 3, padding=1))
    assert_same(padded, 4, 6, 6, norms_left=1)


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 3, 1)
        self.norm = nn.BatchNorm2d(5)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.norm(cat([self.left(x_BCHW), self.right(x_BCHW[:, :, :, :])], dim=1))


class TwoReaders(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        x_BCHW = self.conv(x_BCHW)
        return x_BCHW + self.norm(x_BCHW)


class SharedLayer(TwoReaders):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.conv(self.norm(self.conv(x_BCHW)).relu())


def test_a_norm_over_branches_side_by_side_goes_into_each() -> None:
    assert_same(Branches(), 4, 5, 5, norms_left=0)


def test_what_two_read_stays_as_it_is() -> None:
    assert_same(TwoReaders(), 4, 5, 5, norms_left=1)


def test_a_layer_that_is_used_twice_keeps_its_weights_for_the_other_use() -> None:
    assert_same(SharedLayer(), 4, 5, 5, norms_left=0)


@pytest.mark.parametrize("name", ["pocketnet_toy", "mobilefacenet"])
def test_a_backbone_folds_to_the_same_embeddings(name: str) -> None:
    backbone = trained(create_backbone(name, embedding_dim=32), 3, 112, 112)
    folded, report = checked_fold(backbone, POCKETNET)
    assert report.difference <= 1e-5
    assert report.layers_after < report.layers_before * 0.61
    if name == "mobilefacenet":
        assert not any(isinstance(layer, nn.BatchNorm1d) for layer in folded.modules())


def test_pocketnet_s_saves_the_published_multiply_adds() -> None:
    """pocketnet.md §1.4: 4.99 M of 283.54 M; counted on the folded network."""
    backbone = create_backbone("pocketnet_s", embedding_dim=128)
    assert count_cost(backbone).macs == 283_541_120
    assert count_cost(fold(backbone)).macs == 278_548_608


class Branching(nn.Module):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return x_BCHW if x_BCHW.sum() > 0 else -x_BCHW


def test_says_which_networks_cannot_be_folded() -> None:
    with pytest.raises(ValueError, match="Branching has no fixed graph"):
        fold(Branching())


def test_a_network_that_folding_would_change_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 112), nn.BatchNorm2d(4, eps=0.0), nn.Flatten())
    with torch.no_grad():
        norm = network[1]
        assert isinstance(norm, nn.BatchNorm2d)
        assert norm.running_var is not None
        norm.running_var.fill_(0.0)
    with pytest.raises(ValueError, match="badly conditioned"):
        checked_fold(network, POCKETNET)
