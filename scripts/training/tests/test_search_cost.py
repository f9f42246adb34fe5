"""What a genotype costs."""

import pytest
import torch

from facetrain.models import count_cost, create_backbone
from facetrain.models.genotype import PUBLISHED, load_genotype
from facetrain.search.alphas import Alphas
from facetrain.search.cost import genotype_cost, mac_table, measure_latency
from facetrain.search.extract import one_hot


def test_a_genotype_costs_what_its_network_costs() -> None:
    cost = genotype_cost(load_genotype("casia"))
    assert cost == count_cost(create_backbone("pocketnet_s", embedding_dim=128))


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("backbone", ["pocketnet_s", "pocketnet_m", "pocketnet_toy"])
def test_the_table_is_exact_for_a_decided_mixture(name: str, backbone: str) -> None:
    genotype = load_genotype(name)
    expected = mac_table(backbone=backbone).expected(one_hot(genotype))
    assert int(expected) == genotype_cost(genotype, backbone).macs


def test_the_table_draws_alphas_to_what_is_cheap() -> None:
    alphas = Alphas()
    mac_table(backbone="pocketnet_toy").expected(alphas.weights()).backward()
    slope_EP = alphas.normal_EP.grad
    assert slope_EP is not None
    # Among an edge's operations 7x7 is the dearest; pooling, skip and none cost nothing.
    assert torch.equal(slope_EP.argmax(dim=1), torch.full((14,), 5))
    assert (slope_EP[:, [0, 1, 2, 7]] < 0).all()


def test_edge_weights_count() -> None:
    alphas = Alphas(edges=True)
    table = mac_table(backbone="pocketnet_toy")
    plain = table.expected(Alphas().weights()).detach()
    assert float(table.expected(alphas.weights()).detach()) < float(plain)


def test_only_networks_of_cells_have_a_table() -> None:
    with pytest.raises(ValueError, match="unknown option genotype"):
        mac_table(backbone="iresnet18")


@pytest.mark.parametrize("runtime", ["torch", "onnxruntime"])
def test_latency_is_measured(runtime: str) -> None:
    toy = create_backbone("pocketnet_toy", embedding_dim=8)
    threads = torch.get_num_threads()
    latency = measure_latency(toy, runtime, runs=3, warmup=1)  # pyright: ignore[reportArgumentType]
    assert 0 < latency.lower_ms <= latency.median_ms <= latency.upper_ms
    assert (latency.runtime, latency.runs) == (runtime, 3)
    assert torch.get_num_threads() == threads


def test_an_unknown_runtime_is_refused() -> None:
    toy = create_backbone("pocketnet_toy", embedding_dim=8)
    with pytest.raises(ValueError, match="torch, onnxruntime"):
        measure_latency(toy, "tvm")  # pyright: ignore[reportArgumentType]
