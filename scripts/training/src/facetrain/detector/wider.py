"""WIDER FACE labels with five landmarks, in RetinaFace's text format.

    # 0--Parade/0_Parade_marchingband_1_849.jpg
    449 330 122 149 488.9 373.6 0 542.1 376.4 0 515.0 412.8 0 485.2 425.9 0 538.4 431.5 0 0.82

A line that starts with `#` names a picture; each line after it is one face: x, y, width, height,
then per landmark x, y and a flag, then a blur score. Landmarks may be absent (4 numbers) or -1
(not labelled). Their order is YuNet's: eyes, nose, corners of the mouth, the picture's left first.

Axes: G faces of one picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FIELDS_BOX = 4
FIELDS_FULL = FIELDS_BOX + 15


@dataclass(frozen=True, slots=True)
class Labels:
    """Faces of one picture, in its pixels.

    Attributes:
        name: Path of the picture under the data set's root.
        box_G4: x, y, width, height, float32.
        landmark_G52: float32; NaN where there is no label.
    """

    name: str
    box_G4: np.ndarray
    landmark_G52: np.ndarray


def read_wider(file: Path) -> list[Labels]:
    """Pictures of a label file in order. Boxes without area, which WIDER FACE has, are left out.

    Raises:
        ValueError: A line is not in the format; names the file and the line.
    """
    pictures: list[Labels] = []
    name: str | None = None
    faces: list[tuple[list[float], np.ndarray]] = []

    def finish() -> None:
        if name is not None:
            boxes = np.array([box for box, _ in faces], np.float32).reshape(-1, 4)
            points = np.array([p for _, p in faces], np.float32).reshape(-1, 5, 2)
            pictures.append(Labels(name, boxes, points))

    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        where = f"{file}:{number}"
        text = line.strip()
        if text.startswith("#"):
            finish()
            name, faces = text[1:].strip(), []
            if not name:
                raise ValueError(f"{where}: no picture's name after '#'")
        elif text:
            if name is None:
                raise ValueError(f"{where}: a face before the first '# picture' line")
            box, points = _face(text, where)
            if box[2] > 0 and box[3] > 0:
                faces.append((box, points))
    finish()
    return pictures


def _face(text: str, where: str) -> tuple[list[float], np.ndarray]:
    try:
        values = [float(word) for word in text.split()]
    except ValueError as cause:
        raise ValueError(f"{where}: not a number: {cause}") from cause
    if len(values) != FIELDS_BOX and len(values) not in (FIELDS_FULL, FIELDS_FULL + 1):
        raise ValueError(f"{where}: {len(values)} numbers; a face has 4, 19 or 20")
    if not np.isfinite(values).all():
        raise ValueError(f"{where}: numbers must be finite")
    points = np.full((5, 2), np.nan, np.float32)
    if len(values) > FIELDS_BOX:
        points = np.array(values[4:19], np.float32).reshape(5, 3)[:, :2].copy()
        points[(points == -1).all(axis=1)] = np.nan
    return values[:4], points


def write_wider(pictures: Sequence[Labels], file: Path) -> None:
    """Writes labels so that `read_wider` gives them back (to 1/1000 px)."""
    lines: list[str] = []
    for picture in pictures:
        lines.append(f"# {picture.name}")
        for box, points in zip(picture.box_G4, picture.landmark_G52, strict=True):
            words = [f"{value:.3f}" for value in box]
            for point in points:
                is_known = bool(np.isfinite(point).all())
                words += [f"{v:.3f}" for v in point] + ["0.0"] if is_known else ["-1", "-1", "-1"]
            lines.append(" ".join(words))
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
