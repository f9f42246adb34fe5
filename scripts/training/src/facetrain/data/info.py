"""What a set of faces holds, in numbers."""

from collections import Counter
from typing import Any

import numpy as np

from facetrain.data.face_set import FaceSet

VALUES_MAX = 40
SAMPLE = 256


def describe(faces: FaceSet) -> dict[str, Any]:
    """Counts of pictures, identities and groups, and the black share of a sample; JSON-ready."""
    labels = np.asarray(faces.labels)
    per_identity = np.bincount(labels[labels >= 0]) if (labels >= 0).any() else np.zeros(0, int)
    present = per_identity[per_identity > 0]
    sample = np.unique(np.linspace(0, len(faces) - 1, min(SAMPLE, len(faces))).astype(int))
    black = [float((faces.crop(int(index)).max(axis=2) <= 8).mean()) for index in sample]
    groups = {key: dict(Counter(map(str, column))) for key, column in faces.groups.items()}
    return {
        "pictures": len(faces),
        "unlabelled": int((labels < 0).sum()),
        "identities": len(present),
        "picturesPerIdentity": {
            "min": int(present.min(initial=0) if not len(present) else present.min()),
            "median": float(np.median(present)) if len(present) else 0.0,
            "max": int(present.max(initial=0)),
        },
        "blackShare": round(float(np.mean(black)), 4) if black else 0.0,
        "groups": {key: values for key, values in groups.items() if _are_kinds(values)},
    }


def _are_kinds(values: dict[str, int]) -> bool:
    """Whether a column names kinds worth counting, and not measures or names."""
    return len(values) <= VALUES_MAX and not all(_is_fraction(value) for value in values)


def _is_fraction(text: str) -> bool:
    return text.replace(".", "", 1).isdigit() and "." in text


def as_text(description: dict[str, Any]) -> str:
    """The description for a person."""
    per = description["picturesPerIdentity"]
    lines = [
        f"{description['pictures']} pictures, {description['unlabelled']} of them unlabelled",
        f"{description['identities']} identities with {per['min']} to {per['max']} pictures, "
        f"median {per['median']:g}",
        f"{description['blackShare']:.1%} of the pixels are black (borders)",
    ]
    for key, values in description["groups"].items():
        ordered = sorted(values.items(), key=lambda item: -item[1])
        lines.append(f"{key}: " + ", ".join(f"{value or '(none)'} {n}" for value, n in ordered))
    return "\n".join(lines)
