from pathlib import Path

import cv2
import numpy as np

from facetrain.evaluate.plots import plot_det, plot_scores


def test_pictures_are_drawn_without_a_display_and_alike_each_time(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    genuine, impostor = random.normal(0.6, 0.1, 300), random.normal(0, 0.1, 3000)
    for name in ("a", "b"):
        plot_det({"toy": (genuine, impostor)}, tmp_path / f"det-{name}.png", "DET")
        plot_scores(genuine, impostor, tmp_path / f"scores-{name}.png", "Scores", {"here": 0.3})
    for kind in ("det", "scores"):
        first, again = (tmp_path / f"{kind}-{name}.png" for name in ("a", "b"))
        assert first.read_bytes() == again.read_bytes()
        picture = cv2.imread(str(first))
        assert picture is not None
        assert picture.shape == (550, 770, 3)
        assert picture.std() > 10
