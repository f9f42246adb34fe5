"""Pictures of a search: its curves, its alphas, and the cells it found.

matplotlib is imported when something is drawn, without a display and without its global state.
"""

# E edges of a cell, P primitives

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from facetrain.models.genotype import NUM_INPUTS, CellGenotype, Genotype
from facetrain.models.ops import PRIMITIVES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
COLOURS = {
    "max_pool_3x3": "#c77700",
    "avg_pool_3x3": "#e0a030",
    "skip_connect": "#777777",
    "dw_conv_3x3": "#1f6fb4",
    "dw_conv_5x5": "#2a9d8f",
    "dw_conv_7x7": "#7a4fb5",
    "dw_conv_1x1": "#c2417c",
    "none": "#cccccc",
}


def draw_curves(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Losses, quality and the derived network's multiply-adds over the steps of `metrics.jsonl`."""
    panels = {
        "loss": [name for name in _numbers(rows) if name.endswith("loss")],
        "quality": [name for name in _numbers(rows) if name.endswith(("top1", "cosine"))],
        "derived network, M multiply-adds": ["macs"],
    }
    figure = _figure(12, 3.6)
    for place, (title, names) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), place)
        for name in names:
            points = [(row["step"], row[name]) for row in rows if name in row]
            scale = 1e6 if name == "macs" else 1.0
            # Figures of an epoch are few and get marks.
            marker = "o" if name == "macs" or name.startswith("val_") else ""
            axes.plot(
                [step for step, _ in points],
                [value / scale for _, value in points],
                marker=marker,
                label=name,
                linewidth=1.2,
                markersize=3,
            )
        axes.set_title(title)
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        if len(names) > 1:
            axes.legend(fontsize=8)
    _save(figure, path)


def draw_alphas(normal_EP: Tensor, reduce_EP: Tensor, path: Path) -> None:
    """Weights of all operations on all edges, one map per kind of cell."""
    figure = _figure(11, 5.2)
    for place, (name, scores_EP) in enumerate((("normal", normal_EP), ("reduce", reduce_EP)), 1):
        axes = figure.add_subplot(1, 2, place)
        image = axes.imshow(scores_EP.detach().cpu().numpy(), aspect="auto", cmap="viridis")
        axes.set_title(f"{name} cell")
        axes.set_xticks(range(len(PRIMITIVES)), PRIMITIVES, rotation=60, ha="right", fontsize=7)
        labels = _edge_labels(scores_EP.shape[0])
        axes.set_yticks(range(len(labels)), labels, fontsize=7)
        figure.colorbar(image, ax=axes)
    _save(figure, path)


def draw_genotype(genotype: Genotype, path: Path) -> None:
    """Both cells as graphs: states left to right, an arc per edge in its operation's colour."""
    figure = _figure(11, 8)
    for place, (name, cell) in enumerate(
        (("normal", genotype.normal), ("reduce", genotype.reduce)), start=1
    ):
        axes = figure.add_subplot(2, 1, place)
        axes.set_title(f"{name} cell")
        _draw_cell(axes, cell)
    _save(figure, path)


def _draw_cell(axes: "Axes", cell: CellGenotype) -> None:
    nodes = len(cell)
    # Inputs one above the other on the left, nodes on a line, the output on the right.
    places = [(0.0, 0.6), (0.0, -0.6), *((1.6 + 1.6 * node, 0.0) for node in range(nodes))]
    names = ["C(k-2)", "C(k-1)", *(f"n{node + 1}" for node in range(nodes))]
    output = (1.6 + 1.6 * nodes, 0.0)
    for node, edges in enumerate(cell):
        end = places[NUM_INPUTS + node]
        for number, edge in enumerate(edges):
            bend = _bend(node, edge.source, upwards=number == 0)
            _arrow(axes, places[edge.source], end, COLOURS[edge.op], bend, edge.op)
    for node in range(nodes):
        _arrow(axes, places[NUM_INPUTS + node], output, "#bbbbbb", -0.35 + 0.05 * node, None)
    for (x, y), name in zip([*places, output], [*names, "concat"], strict=True):
        box = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": "#333333"}
        axes.text(x, y, name, ha="center", va="center", fontsize=9, bbox=box, zorder=3)
    axes.set_xlim(-0.6, output[0] + 0.6)
    axes.set_ylim(-1.6, 1.6)
    axes.axis("off")


def _bend(node: int, source: int, *, upwards: bool) -> float:
    # Around the nodes between: the upper input's edges pass above, the lower one's below. Negative
    # is upwards.
    if source < NUM_INPUTS:
        return (0.1 + 0.09 * node) * (-1 if source == 0 else 1)
    between = node + NUM_INPUTS - source - 1
    return (0.12 + 0.08 * between) * (-1 if upwards else 1)


def _arrow(
    axes: "Axes",
    start: tuple[float, float],
    end: tuple[float, float],
    colour: str,
    bend: float,
    label: str | None,
) -> None:
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        zorder=1,
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": 1.6 if label else 0.8,
            "connectionstyle": f"arc3,rad={bend}",
            "shrinkA": 14,
            "shrinkB": 14,
        },
    )
    if label is None:
        return
    # The middle of a quadratic arc lies half of its bend away from the chord.
    dx, dy = end[0] - start[0], end[1] - start[1]
    x, y = (start[0] + end[0]) / 2 + bend * dy / 2, (start[1] + end[1]) / 2 - bend * dx / 2
    box = {"boxstyle": "square,pad=0.1", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
    axes.text(x, y, label, color=colour, fontsize=7, ha="center", va="center", bbox=box, zorder=2)


def _numbers(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    names = {key: None for row in rows for key, value in row.items() if isinstance(value, float)}
    return list(names)


def _edge_labels(edges: int) -> list[str]:
    labels: list[str] = []
    node = 0
    while len(labels) < edges:
        names = ["C(k-2)", "C(k-1)", *(f"n{before + 1}" for before in range(node))]
        labels += [f"n{node + 1} ← {name}" for name in names]
        node += 1
    return labels


def _figure(width_in: float, height_in: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
