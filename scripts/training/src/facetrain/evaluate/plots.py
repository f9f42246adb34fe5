"""DET curves and score distributions as PNG, drawn without a display."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from facetrain.evaluate.roc import det_curve
from facetrain.evaluate.verification import FAILED_SCORE, RULE_OF

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_det(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], file: Path, title: str) -> None:
    """FNMR over FMR, both logarithmic; dotted below the smallest FMR that the pairs support.

    Args:
        curves: Label → genuine and impostor scores.
    """
    figure = _figure()
    axes = figure.add_subplot()
    has_errors = False
    for label, (genuine_G, impostor_I) in curves.items():
        det = det_curve(genuine_G, impostor_I)
        supported = det.fmr_T * len(impostor_I) >= RULE_OF
        (line,) = axes.plot(det.fmr_T[supported], det.fnmr_T[supported], label=label)
        rest = ~supported & (det.fmr_T > 0)
        # Nothing to show on a logarithmic axis where no error is made.
        has_errors |= bool(((det.fmr_T > 0) & (det.fnmr_T > 0)).any())
        axes.plot(det.fmr_T[rest], det.fnmr_T[rest], ":", color=line.get_color())
    axes.set(xlabel="false match rate", ylabel="false non-match rate")
    if has_errors:
        axes.set(xscale="log", yscale="log")
    axes.set_title(title)
    axes.grid(which="both", alpha=0.3)
    axes.legend(title=f"dotted: fewer than {RULE_OF} false matches")
    _save(figure, file)


def plot_scores(
    genuine_G: np.ndarray,
    impostor_I: np.ndarray,
    file: Path,
    title: str,
    thresholds: Mapping[str, float] | None = None,
) -> None:
    """Histograms of both kinds of scores (share per bin, logarithmic), with thresholds."""
    figure = _figure()
    axes = figure.add_subplot()
    edges = np.linspace(-1, 1, 101).tolist()
    for label, scores in (("different people", impostor_I), ("same person", genuine_G)):
        shown = scores[scores > FAILED_SCORE]
        weights = np.full(len(shown), 1 / max(1, len(shown)))
        axes.hist(shown, edges, weights=weights, alpha=0.6, label=f"{label} ({len(shown)})")
    for number, (label, threshold) in enumerate((thresholds or {}).items()):
        axes.axvline(threshold, color=f"C{number + 2}", linestyle="--", label=label)
    axes.set(yscale="log", xlabel="cosine", ylabel="share of pairs", xlim=(-1, 1))
    axes.set_title(title)
    axes.legend()
    _save(figure, file)


def _figure() -> "Figure":
    # Without pyplot there is no global state and no display to look for.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 5), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: "Figure", file: Path) -> None:
    # The version of matplotlib is left out, so that the same scores give the same file.
    figure.savefig(file, dpi=110, metadata={"Software": None})
