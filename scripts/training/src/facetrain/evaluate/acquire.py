"""From names in a list to aligned crops: pictures of a folder, a tar or a packed set.

Pictures are either ready crops (112×112) or whole; whole ones are detected and aligned as the
daemon does it: of several faces the one nearest to the picture's centre. What gives no crop is a
failure to acquire: counted by reason, never left out of the figures.
"""

# N pictures, H height, W width, C channels.
import logging
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from facetrain.data.align import align_face
from facetrain.data.detect import Detector, central_face, is_plausible
from facetrain.data.face_set import FaceSet, PictureError
from facetrain.data.pictures import checked_crop, decode_picture, is_picture_name

logger = logging.getLogger(__name__)


class Pictures(Protocol):
    """Encoded pictures by name."""

    def read(self, name: str) -> bytes:
        """Bytes of a picture.

        Raises:
            PictureError: There is none of that name.
        """
        ...


class FolderPictures:
    """Pictures under a folder; names are relative to it."""

    def __init__(self, root: Path) -> None:
        if not root.is_dir():
            raise ValueError(f"{root} is no folder; give the one that holds the pictures")
        self._root = root.resolve()

    def names(self) -> list[str]:
        """Every picture, sorted."""
        files = (file for file in self._root.rglob("*") if is_picture_name(file.name))
        return sorted(file.relative_to(self._root).as_posix() for file in files)

    def read(self, name: str) -> bytes:
        file = (self._root / name).resolve()
        if not file.is_relative_to(self._root):
            raise PictureError("outside", f"{name} lies outside of {self._root}; mend the list")
        if not file.is_file():
            raise PictureError("missing", f"{file}: no such file")
        return file.read_bytes()


class TarPictures:
    """Pictures in an uncompressed tar; folders around the whole set need not be named."""

    def __init__(self, file: Path) -> None:
        """Index the tar.

        Raises:
            ValueError: It is no tar.
        """
        self._file = file
        try:
            with tarfile.open(file, "r:") as tar:
                members = {m.name.removeprefix("./"): m for m in tar if m.isreg()}
        except (OSError, tarfile.TarError) as fault:
            raise ValueError(f"{file} is no uncompressed tar: {fault}") from fault
        self._names = sorted(name for name in members if is_picture_name(name))
        self._places = {name: (m.offset_data, m.size) for name, m in members.items()}
        # "images/A/1.jpg" is found as "A/1.jpg" where that is unique.
        shorter = Counter(name.partition("/")[2] for name in members)
        for name in list(self._places):
            rest = name.partition("/")[2]
            if shorter[rest] == 1:
                self._places.setdefault(rest, self._places[name])

    def names(self) -> list[str]:
        """Every picture, sorted."""
        return self._names

    def read(self, name: str) -> bytes:
        if name not in self._places:
            raise PictureError("missing", f"{self._file} holds no {name}")
        offset, size = self._places[name]
        with self._file.open("rb") as tar:
            tar.seek(offset)
            return tar.read(size)


class MappedPictures:
    """Encoded pictures that are in memory already, as a packed set gives them."""

    def __init__(self, encoded: Mapping[str, bytes]) -> None:
        self._encoded = encoded

    def read(self, name: str) -> bytes:
        if name not in self._encoded:
            raise PictureError("missing", f"the set holds no {name}")
        return self._encoded[name]


class ReadyCrops:
    """Pictures that are aligned crops already."""

    description = "ready crops"

    def crop(self, picture_HWC: np.ndarray, name: str) -> np.ndarray:
        return checked_crop(picture_HWC, name)


class DetectedCrops:
    """Detects and aligns the central face."""

    def __init__(self, detector: Detector, description: str = "detected and aligned") -> None:
        self._detector = detector
        self.description = description

    def crop(self, picture_HWC: np.ndarray, name: str) -> np.ndarray:
        """The crop (112, 112, 3), uint8 RGB.

        Raises:
            PictureError: `no_face`, or `not_aligned` where the face leaves the picture.
        """
        faces = [face for face in self._detector.detect(picture_HWC) if is_plausible(face)]
        height, width = picture_HWC.shape[:2]
        face = central_face(faces, width, height)
        if face is None:
            raise PictureError("no_face", f"{name}: no face found")
        crop_HWC = align_face(picture_HWC, face.landmark_52)
        if crop_HWC is None:
            raise PictureError("not_aligned", f"{name}: the face lies outside of the picture")
        return crop_HWC


Cropper = ReadyCrops | DetectedCrops


@dataclass(slots=True)
class Acquisition:
    """Counts of what gave no crop: reason → how many pictures."""

    pictures: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


def crops_of(
    pictures: Pictures, names: Sequence[str], cropper: Cropper, acquisition: Acquisition
) -> Iterator[np.ndarray | None]:
    """Crops (112, 112, 3), uint8 RGB, in the order of the names; None where there is none."""
    for name in names:
        acquisition.pictures += 1
        try:
            yield cropper.crop(decode_picture(pictures.read(name), name), name)
        except PictureError as fault:
            acquisition.failures[fault.reason] += 1
            logger.debug("%s", fault)
            yield None


def crops_of_set(faces: FaceSet, acquisition: Acquisition) -> Iterator[np.ndarray | None]:
    """As `crops_of`, of a set of aligned faces."""
    for index in range(len(faces)):
        acquisition.pictures += 1
        try:
            yield faces.crop(index)
        except PictureError as fault:
            acquisition.failures[fault.reason] += 1
            yield None
