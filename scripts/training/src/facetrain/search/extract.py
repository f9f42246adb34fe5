"""A genotype's network with the supernet's own weights."""

import torch
from torch import Tensor

from facetrain.models.genotype import CellGenotype, Edge, Genotype
from facetrain.models.ops import PRIMITIVES
from facetrain.models.pocketnet import PocketNet, PocketNetOptions
from facetrain.search.alphas import CellPair, MixWeights, first_edge, num_edges
from facetrain.search.supernet import Supernet


def extract(supernet: Supernet, genotype: Genotype) -> PocketNet:
    """The network that gives what the supernet gives for `one_hot(genotype)`.

    Raises:
        ValueError: When only a part of the channels went through the supernet's operations, or the
            genotype has another number of nodes.
    """
    options = supernet.options
    if options.partial_channels > 1:
        raise ValueError("operations of a partial-channel search do not fit the whole width")
    if not len(genotype.normal) == len(genotype.reduce) == options.nodes:
        raise ValueError(f"the supernet's cells have {options.nodes} nodes, the genotype's others")
    network = PocketNet(
        genotype,
        options.embedding_dim,
        PocketNetOptions(
            cells=options.cells,
            channels=options.channels,
            stem_multiplier=options.stem_multiplier,
            tail_channels=options.tail_channels,
            tail_groups=options.tail_groups,
            affine=False,
            activation=options.activation,
        ),
    )
    source = supernet.state_dict()
    state = {
        name: source[_supernet_name(name, genotype, supernet.reductions)]
        for name in network.state_dict()
    }
    network.load_state_dict(state)
    return network.train(supernet.training)


def one_hot(genotype: Genotype) -> CellPair:
    """Weights of 1 for the genotype's operations and of 0 for all others."""
    return CellPair(
        MixWeights(_one_hot_cell(genotype.normal)), MixWeights(_one_hot_cell(genotype.reduce))
    )


def _one_hot_cell(cell: CellGenotype) -> Tensor:
    weights_EP = torch.zeros(num_edges(len(cell)), len(PRIMITIVES))
    for node, edges in enumerate(cell):
        for edge in edges:
            weights_EP[_row(node, edge), PRIMITIVES.index(edge.op)] = 1.0
    return weights_EP


def _supernet_name(name: str, genotype: Genotype, reductions: tuple[int, ...]) -> str:
    # cells.{cell}.nodes.{node}.{edge}.{rest} → cells.{cell}.edges.{row}.ops.{operation}.{rest}
    words = name.split(".")
    if words[0] != "cells" or words[2] != "nodes":
        return name
    cell, node, edge_index = int(words[1]), int(words[3]), int(words[4])
    nodes = genotype.reduce if cell in reductions else genotype.normal
    edge = nodes[node][edge_index]
    place = [words[0], words[1], "edges", str(_row(node, edge)), "ops"]
    return ".".join([*place, str(PRIMITIVES.index(edge.op)), *words[5:]])


def _row(node: int, edge: Edge) -> int:
    return first_edge(node) + edge.source
