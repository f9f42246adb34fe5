"""From scores to a genotype: per edge the best operation, per node the two best edges.

"none" only takes part in the competition that the softmax is; it is never chosen (as in DARTS).
"""

# E edges of a cell, P primitives

from torch import Tensor

from facetrain.models.genotype import NUM_INPUTS, CellGenotype, Edge, Genotype
from facetrain.models.ops import PRIMITIVES
from facetrain.search.alphas import first_edge

EDGES_PER_NODE = 2


def derive(normal_EP: Tensor, reduce_EP: Tensor) -> Genotype:
    """The genotype of two cells' scores (softmax weights or raw alphas), strongest edge first."""
    return Genotype(normal=derive_cell(normal_EP), reduce=derive_cell(reduce_EP))


def derive_cell(scores_EP: Tensor) -> CellGenotype:
    """One cell's nodes.

    Raises:
        ValueError: When there are no scores for whole nodes and all primitives.
    """
    rows, columns = scores_EP.shape
    nodes = next((n for n in range(1, rows + 1) if first_edge(n) >= rows), 0)
    if columns != len(PRIMITIVES) or nodes == 0 or first_edge(nodes) != rows:
        raise ValueError(
            f"scores are {rows} x {columns}; there must be {len(PRIMITIVES)} columns "
            "and 2 + 3 + ... rows (14 for four nodes)"
        )
    # "none" is the last column.
    best = scores_EP[:, :-1].max(dim=1)
    score_E, op_E = best.values.tolist(), best.indices.tolist()
    cell = []
    for node in range(nodes):
        start = first_edge(node)
        # Stable: of equal edges the earlier source stays first.
        sources = sorted(range(NUM_INPUTS + node), key=lambda source: -score_E[start + source])
        cell.append(
            tuple(
                Edge(PRIMITIVES[op_E[start + source]], source)
                for source in sources[:EDGES_PER_NODE]
            )
        )
    return tuple(cell)
