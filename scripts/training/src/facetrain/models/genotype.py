"""What a search decides: for each node of a cell, which operations on which states.

States are numbered as in DARTS: 0 is the output of the cell before the previous one, 1 the
previous cell's, 2 and up are the cell's own nodes. As JSON, with one list of [operation, source]
pairs per node: `{"schema": 1, "normal": [[["dw_conv_3x3", 0], …], …], "reduce": …}`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple, Self

from facetrain.models.ops import PRIMITIVES

PUBLISHED = ("casia", "cifar10")
"""Genotypes that come with the package: the one all PocketNets use, searched on CASIA-WebFace,
and the ablation searched on CIFAR-10 (Boutros et al., arXiv 2108.10710)."""

NUM_INPUTS = 2
"""A cell sees the outputs of the two cells before it."""


class Edge(NamedTuple):
    """An operation applied to one state of the cell."""

    op: str
    source: int


CellGenotype = tuple[tuple[Edge, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Genotype:
    """A normal cell and a reduction cell; each node is the sum of its edges.

    Raises:
        ValueError: When an operation is unknown or a source is not an earlier state.
    """

    normal: CellGenotype
    reduce: CellGenotype

    def __post_init__(self) -> None:
        _check_cell("normal", self.normal)
        _check_cell("reduce", self.reduce)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and strings, as written to a file and kept in checkpoints."""
        return {"schema": 1, "normal": _plain(self.normal), "reduce": _plain(self.reduce)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From what `to_json` gives.

        Raises:
            ValueError: When it is something else.
        """
        if value.get("schema") != 1 or "normal" not in value or "reduce" not in value:
            raise ValueError('a genotype is {"schema": 1, "normal": […], "reduce": […]}')
        return cls(
            normal=_edges("normal", value["normal"]), reduce=_edges("reduce", value["reduce"])
        )

    def save(self, path: Path) -> None:
        """Write as JSON, a node per line."""
        cells = (
            f'  "{name}": [\n'
            + ",\n".join(f"    {json.dumps(node)}" for node in _plain(cell))
            + "\n  ]"
            for name, cell in (("normal", self.normal), ("reduce", self.reduce))
        )
        path.write_text('{\n  "schema": 1,\n' + ",\n".join(cells) + "\n}\n", encoding="utf-8")


def load_genotype(source: str | Path | Mapping[str, Any] | Genotype) -> Genotype:
    """A genotype from a published one's name, a file, its JSON value, or itself.

    Raises:
        ValueError: When it is neither a published name nor a file, or the JSON is not a genotype.
    """
    if isinstance(source, Genotype):
        return source
    if isinstance(source, Mapping):
        return Genotype.from_json(source)
    if source in PUBLISHED:
        text = (files("facetrain") / "genotypes" / f"{source}.json").read_text(encoding="utf-8")
        return Genotype.from_json(json.loads(text))
    path = Path(source)
    if not path.is_file():
        raise ValueError(
            f'genotype "{source}" is neither a file nor published ({", ".join(PUBLISHED)})'
        )
    try:
        return Genotype.from_json(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_cell(name: str, cell: CellGenotype) -> None:
    if not cell:
        raise ValueError(f"the {name} cell has no node")
    for number, node in enumerate(cell):
        if not node:
            raise ValueError(f"{name} node {number + 1} has no edge")
        for op, source in node:
            if op not in PRIMITIVES:
                known = ", ".join(PRIMITIVES)
                raise ValueError(f'{name} node {number + 1}: unknown operation "{op}"; {known}')
            if not 0 <= source < NUM_INPUTS + number:
                raise ValueError(
                    f"{name} node {number + 1}: source {source} is not an earlier state; "
                    f"it must be 0 to {NUM_INPUTS + number - 1}"
                )


def _plain(cell: CellGenotype) -> list[list[list[str | int]]]:
    return [[[edge.op, edge.source] for edge in node] for node in cell]


def _edges(name: str, nodes: Sequence[Sequence[Sequence[Any]]]) -> CellGenotype:
    try:
        return tuple(tuple(Edge(str(op), int(source)) for op, source in node) for node in nodes)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the {name} cell is not lists of [operation, source] pairs") from error
