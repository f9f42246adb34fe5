"""The supernet, its alphas, and genotypes derived and extracted from it."""

import pytest
import torch
from torch import nn

from facetrain.models.genotype import load_genotype
from facetrain.models.ops import PRIMITIVES
from facetrain.search.alphas import Alphas, CellPair, MixWeights, num_edges
from facetrain.search.derive import derive, derive_cell
from facetrain.search.extract import extract, one_hot
from facetrain.search.options import SupernetOptions
from facetrain.search.supernet import MixedOp, Supernet

TINY = SupernetOptions(cells=4, channels=4, embedding_dim=8, tail_channels=16, tail_groups=4)
NODES = {"n1": 2, "n2": 3, "n3": 4, "n4": 5}
SHORT = {"dw": "dw_conv_{0}x{0}", "skip": "skip_connect", "max": "max_pool_3x3"}
# Softmax weights of the kept edges at the end of PocketNet's published search.
PUBLISHED = {
    "normal": (
        "n1: dw3<0 .539, dw1<1 .260; n2: dw3<n1 .734, dw5<0 .294; "
        "n3: dw3<n2 .691, dw3<0 .599; n4: dw3<n3 .754, skip<0 .451"
    ),
    "reduce": (
        "n1: dw3<1 .332, dw7<0 .082; n2: dw5<1 .334, skip<n1 .276; "
        "n3: skip<n1 .323, max<0 .298; n4: max<0 .875, max<1 .424"
    ),
}


def published_scores(cell: str) -> torch.Tensor:
    """The published weights; on other edges and operations less, but much "none"."""
    scores_EP = torch.full((14, 8), 0.01)
    scores_EP[:, PRIMITIVES.index("none")] = 0.9
    first = 0
    for node, line in enumerate(PUBLISHED[cell].split("; ")):
        for edge in line.partition(": ")[2].split(", "):
            name, _, rest = edge.partition("<")
            source, weight = rest.split()
            op = SHORT[name.rstrip("1357")].format(name[-1])
            row = first + NODES.get(source, int(source[-1]))
            scores_EP[row, PRIMITIVES.index(op)] = float(weight)
        first += 2 + node
    return scores_EP


def test_published_weights_give_the_published_genotype() -> None:
    derived = derive(published_scores("normal"), published_scores("reduce"))
    expected = load_genotype("casia")
    # The publication orders a node's two edges by raw alphas; their sum is the same.
    assert [set(node) for node in derived.normal] == [set(node) for node in expected.normal]
    assert [set(node) for node in derived.reduce] == [set(node) for node in expected.reduce]


def test_derive_takes_the_best_operation_and_the_two_best_edges() -> None:
    scores_EP = torch.zeros(5, 8)
    scores_EP[0, 3], scores_EP[1, 2] = 0.2, 0.4
    # Node 2 sees three states: the first edge has the best second choice, and loses all the same.
    scores_EP[2, 0], scores_EP[2, 4] = 0.3, 0.29
    scores_EP[3, 5], scores_EP[4, 6] = 0.31, 0.5
    scores_EP[2:, 7] = 0.9
    assert derive_cell(scores_EP) == (
        (("skip_connect", 1), ("dw_conv_3x3", 0)),
        (("dw_conv_1x1", 2), ("dw_conv_7x7", 1)),
    )


@pytest.mark.parametrize("shape", [(13, 8), (14, 7), (0, 8)])
def test_derive_refuses_other_shapes(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="14 for four nodes"):
        derive_cell(torch.zeros(shape))


def test_there_are_224_alphas() -> None:
    alphas = Alphas()
    assert sum(p.numel() for p in alphas.parameters()) == 224
    assert num_edges(4) == 14
    torch.testing.assert_close(alphas.weights().normal.op_EP.sum(dim=1), torch.ones(14))


def test_edge_weights_compete_within_a_node() -> None:
    alphas = Alphas(edges=True)
    edge_E = alphas.weights().reduce.edge_E
    assert edge_E is not None
    sums = [float(part.sum().detach()) for part in edge_E.split([2, 3, 4, 5])]
    assert sums == pytest.approx([1, 1, 1, 1])
    assert alphas.scores()[0].shape == (14, 8)


def test_sigmoids_stand_alone_and_are_pulled_to_a_decision() -> None:
    alphas = Alphas(relaxation="sigmoid")
    nn.init.constant_(alphas.normal_EP, 2.0)
    assert float(alphas.weights().normal.op_EP.sum(dim=1)[0].detach()) == pytest.approx(
        8 * 0.8808, 1e-3
    )
    undecided = float(Alphas(relaxation="sigmoid").zero_one_loss().detach())
    assert float(alphas.zero_one_loss().detach()) < undecided == pytest.approx(0.0, abs=1e-5)


def test_the_published_supernet_has_the_known_size() -> None:
    with torch.device("meta"):
        supernet = Supernet(SupernetOptions())
    # Known to three digits.
    assert round(sum(p.numel() for p in supernet.parameters()) / 1e6, 2) == 2.79
    seventh = supernet.tail[4]
    assert isinstance(seventh, nn.Conv2d)
    assert seventh.groups == 128


def test_normalisations_inside_cells_have_no_scale() -> None:
    supernet = Supernet(TINY)
    inside = [m for cell in supernet.cells for m in cell.modules() if isinstance(m, nn.BatchNorm2d)]
    assert inside
    assert not any(norm.affine for norm in inside)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", ["casia", "cifar10"])
def test_an_extracted_network_gives_what_the_supernet_gives(name: str, training: bool) -> None:
    torch.manual_seed(3)
    supernet = Supernet(TINY)
    x_BCHW = torch.randn(4, 3, 112, 112)
    genotype = load_genotype(name)
    for _ in range(2):
        # Statistics of its own, so that evaluation mode tells right from wrong layers.
        supernet(x_BCHW, Alphas().weights())
    supernet.train(training)
    network = extract(supernet, genotype)
    assert network.training == training
    with torch.no_grad():
        expected_BD = supernet(x_BCHW, one_hot(genotype))
        torch.testing.assert_close(network(x_BCHW), expected_BD, rtol=1e-4, atol=1e-4)


def test_another_genotype_gives_something_else() -> None:
    supernet = Supernet(TINY).eval()
    x_BCHW = torch.randn(1, 3, 112, 112)
    with torch.no_grad():
        a, b = (supernet(x_BCHW, one_hot(load_genotype(name))) for name in ("casia", "cifar10"))
    assert not torch.allclose(a, b)


@pytest.mark.parametrize("stride", [1, 2])
def test_partial_channels_mix_a_part_and_shuffle(stride: int) -> None:
    mixed = MixedOp(8, stride, partial=4)
    x_BCHW = torch.randn(2, 8, 8, 8)
    nothing = tuple(torch.zeros(8))
    y_BCHW = mixed(x_BCHW, nothing, 0.0)
    assert y_BCHW.shape == (2, 8, 8 // stride, 8 // stride)
    # Channels 0 and 1 went through the operations; the others came along and were interleaved.
    rest_BCHW = x_BCHW if stride == 1 else nn.functional.max_pool2d(x_BCHW, 2)
    assert not y_BCHW[:, 0].any()
    assert torch.equal(y_BCHW[:, 1], rest_BCHW[:, 2])
    assert torch.equal(y_BCHW[:, 5], rest_BCHW[:, 3])
    with pytest.raises(ValueError, match="partial-channel"):
        extract(
            Supernet(SupernetOptions(cells=4, channels=8, partial_channels=4)),
            load_genotype("casia"),
        )


def test_the_auxiliary_skip_adds_and_fades() -> None:
    mixed = MixedOp(4, 1, auxiliary_skip=True)
    x_BCHW = torch.randn(1, 4, 4, 4)
    nothing = tuple(torch.zeros(8))
    assert not mixed(x_BCHW, nothing, 0.0).any()
    torch.testing.assert_close(mixed(x_BCHW, nothing, 0.5), 0.5 * x_BCHW)


def test_none_takes_weight_from_the_others_and_adds_nothing() -> None:
    mixed = MixedOp(4, 1).eval()
    x_BCHW = torch.randn(1, 4, 4, 4)
    weights = torch.zeros(8)
    weights[PRIMITIVES.index("none")] = 1.0
    assert not mixed(x_BCHW, tuple(weights), 0.0).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 4, "partial_channels": 4}, "multiple of 2 x partial_channels"),
        ({"tail_groups": 100}, "must divide tail_channels"),
        ({"relaxation": "gumbel"}, "softmax, sigmoid"),
        ({"cells": 3}, "must be 4 or more"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SupernetOptions(**options)  # pyright: ignore[reportArgumentType]


def test_a_cell_with_fewer_nodes() -> None:
    options = SupernetOptions(
        cells=4, channels=4, nodes=2, embedding_dim=8, tail_channels=16, tail_groups=16
    )
    alphas = Alphas(2)
    supernet = Supernet(options).eval()
    genotype = derive(*alphas.scores())
    weights = one_hot(genotype)
    assert isinstance(weights, CellPair)
    assert isinstance(weights.normal, MixWeights)
    x_BCHW = torch.randn(1, 3, 112, 112)
    with torch.no_grad():
        torch.testing.assert_close(
            extract(supernet, genotype)(x_BCHW), supernet(x_BCHW, weights), rtol=1e-4, atol=1e-4
        )
