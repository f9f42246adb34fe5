"""Pictures -> aligned crops by the daemon's detector and alignment, and why others gave none."""

# H height, W width, C channels.
import csv
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal, Protocol

import numpy as np
import torch

from facetrain.data.align import align_face
from facetrain.data.detect import Face, central_face, is_plausible, largest_face
from facetrain.data.face_set import CROP_PX, UNLABELLED, PictureError
from facetrain.data.packed import PackedFaces
from facetrain.data.parallel import ordered_map
from facetrain.data.pictures import decode_picture, encode_png
from facetrain.data.sources import Pictures
from facetrain.progress import progress

logger = logging.getLogger(__name__)


class FaceFinder(Protocol):
    """What a `Detector` does."""

    def detect(self, picture_HWC: np.ndarray) -> list[Face]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CropOptions:
    """Which faces of a picture become crops."""

    which: Literal["central", "largest", "all"] = "central"
    """Central: data sets such as LFW centre the named person; largest: as `ostiary inspect`."""
    eye_distance_min_px: float = 0.0
    """Faces with less between their eyes are dropped as "too_small"."""
    by_folder: bool = False
    """The folder that a picture lies in is its identity."""
    workers: int = 1

    def __post_init__(self) -> None:
        if self.which not in ("central", "largest", "all"):
            raise ValueError(f"which is {self.which!r}; allowed are central, largest, all")
        if self.eye_distance_min_px < 0:
            raise ValueError(f"eye_distance_min_px is {self.eye_distance_min_px}; at least 0")
        if self.workers < 0:
            raise ValueError(f"workers is {self.workers}; at least 0")


@dataclass(frozen=True, slots=True)
class Cropped:
    """What came of a set of pictures.

    Attributes:
        faces: The crops; names are the pictures' (with "#1", "#2" for further faces), the group
            "score" is the detector's.
        dropped: Picture -> why: "no_face", "too_small", "outside", "truncated", ...
    """

    faces: PackedFaces
    dropped: dict[str, str] = field(default_factory=dict)


def make_crops(
    pictures: Pictures, detector: FaceFinder, options: CropOptions | None = None
) -> Cropped:
    """Detect and align faces of every picture; what gives no crop is named with its reason.

    Raises:
        ValueError: Not one picture gave a crop.
    """
    given = options or CropOptions()

    def crops_of(index: int) -> list[tuple[np.ndarray, float]] | str:
        return _crops(pictures, index, detector, given)

    crops: list[np.ndarray] = []
    names: list[str] = []
    scores: list[str] = []
    dropped: dict[str, str] = {}
    results = ordered_map(crops_of, range(len(pictures)), given.workers)
    for index, result in enumerate(progress(results, len(pictures), "aligning")):
        name = pictures.names[index]
        if isinstance(result, str):
            dropped[name] = result
            continue
        for n, (crop_HWC, score) in enumerate(result):
            crops.append(crop_HWC)
            names.append(name if n == 0 else f"{name}#{n}")
            scores.append(f"{score:.3f}")
    counts = Counter(dropped.values())
    logger.info("%d crops of %d pictures; dropped: %s", len(crops), len(pictures), dict(counts))
    if not crops:
        raise ValueError(f"{pictures.path}: no picture gave a crop: {dict(counts)}")
    labels, identities = _labels(names) if given.by_folder else (np.full(len(names), UNLABELLED), 0)
    crop_NCHW = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()
    assert crop_NCHW.shape[1:] == (3, CROP_PX, CROP_PX)
    faces = PackedFaces(
        crop_NCHW,
        labels=labels,
        num_identities=identities,
        groups={"score": np.array(scores)},
        names=names,
    )
    return Cropped(faces, dropped)


def write_crops(cropped: Cropped, out: Path) -> None:
    """Write a pixel pack (`out` ends with `.pack`) or a folder of PNGs, and `*dropped.csv` beside.

    PNGs keep the pictures' folders, so that one folder per identity stays one.
    """
    if out.suffix == ".pack":
        cropped.faces.save(out)
        table = out.with_suffix(".dropped.csv")
    else:
        for index, name in enumerate(cropped.faces.names):
            picture, _, further = name.partition("#")
            path = PurePosixPath(picture)
            stem = f"{path.stem}_f{further}" if further else path.stem
            file = out / path.parent / f"{stem}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_png(cropped.faces.crop(index)))
        table = out / "dropped.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("picture", "reason"), *cropped.dropped.items()])


def _crops(
    pictures: Pictures, index: int, detector: FaceFinder, options: CropOptions
) -> list[tuple[np.ndarray, float]] | str:
    try:
        picture_HWC = decode_picture(pictures.read(index), pictures.where(index))
    except PictureError as error:
        logger.warning("%s", error)
        return error.reason
    faces = [face for face in detector.detect(picture_HWC) if is_plausible(face)]
    chosen = _chosen(faces, picture_HWC.shape, options)
    if not chosen:
        return "no_face"
    large = [face for face in chosen if _eye_distance(face) >= options.eye_distance_min_px]
    if not large:
        return "too_small"
    crops = [(align_face(picture_HWC, face.landmark_52), face.score) for face in large]
    aligned = [(crop, score) for crop, score in crops if crop is not None]
    return aligned or "outside"


def _chosen(faces: list[Face], shape: Sequence[int], options: CropOptions) -> list[Face]:
    if options.which == "all":
        return faces
    central = central_face(faces, shape[1], shape[0])
    face = central if options.which == "central" else largest_face(faces)
    return [] if face is None else [face]


def _eye_distance(face: Face) -> float:
    return float(np.hypot(*(face.landmark_52[1] - face.landmark_52[0])))


def _labels(names: Sequence[str]) -> tuple[np.ndarray, int]:
    folders = [str(PurePosixPath(name).parent) for name in names]
    identities, labels = np.unique(folders, return_inverse=True)
    return labels.astype(np.int64), len(identities)
