"""Encoded pictures: whole or cut off, decoded to RGB; the base of all readers of encoded crops."""

# N pictures, H height, W width, C channels.
import logging
import struct
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence

import cv2
import numpy as np

from facetrain.data.face_set import CROP_PX, PictureError
from facetrain.data.parallel import ordered_map
from facetrain.progress import progress

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".pgm", ".ppm", ".tif", ".tiff"})
PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def is_picture_name(name: str) -> bool:
    """Whether the file name says that it is a picture. Hidden files are none."""
    base = name.rsplit("/", 1)[-1]
    dot = base.rfind(".")
    return dot > 0 and not base.startswith(".") and base[dot:].lower() in SUFFIXES


def decode_picture(data: bytes, what: str) -> np.ndarray:
    """Decode JPEG, PNG, WebP, ... of any size, EXIF orientation applied, as the daemon does.

    Args:
        what: Names the picture in errors: file, and record where there is one.

    Returns:
        (H, W, 3), uint8 RGB, contiguous.

    Raises:
        PictureError: Empty, cut off, damaged, or no picture. OpenCV by itself fills the rest of a
            truncated JPEG with grey and says nothing, hence the look at the end.
    """
    if not data:
        raise PictureError("empty", f"{what}: empty; remove it or copy it again")
    if _is_cut_off(data):
        raise PictureError("truncated", f"{what}: cut off after {len(data)} bytes; copy it again")
    picture = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise PictureError(
            "not_a_picture",
            f"{what}: no picture that OpenCV can decode; remove it or convert it to PNG",
        )
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def decode_crop(data: bytes, what: str) -> np.ndarray:
    """As `decode_picture`, and the picture must be an aligned crop: (112, 112, 3)."""
    picture = decode_picture(data, what)
    return checked_crop(picture, what)


def checked_crop(picture_HWC: np.ndarray, what: str) -> np.ndarray:
    """`picture_HWC` itself where it has a crop's size; else PictureError "wrong_size"."""
    if picture_HWC.shape != (CROP_PX, CROP_PX, 3):
        height, width = picture_HWC.shape[:2]
        raise PictureError(
            "wrong_size",
            f"{what}: {width}x{height} pixels, aligned crops are {CROP_PX}x{CROP_PX}; "
            "make them with `data crops`",
        )
    return picture_HWC


def encode_webp(crop_HWC: np.ndarray, quality: int) -> bytes:
    """Encode RGB as WebP; `quality` in [1, 100] is lossy, 101 lossless."""
    return _encoded(".webp", crop_HWC, [cv2.IMWRITE_WEBP_QUALITY, quality])


def encode_png(picture_HWC: np.ndarray) -> bytes:
    """Encode RGB as PNG."""
    return _encoded(".png", picture_HWC, [cv2.IMWRITE_PNG_COMPRESSION, 3])


def encode_jpeg(picture_HWC: np.ndarray, quality: int = 95) -> bytes:
    """Encode RGB as JPEG, `quality` in [0, 100]."""
    return _encoded(".jpg", picture_HWC, [cv2.IMWRITE_JPEG_QUALITY, quality])


def _encoded(suffix: str, picture_HWC: np.ndarray, options: list[int]) -> bytes:
    done, data = cv2.imencode(suffix, cv2.cvtColor(picture_HWC, cv2.COLOR_RGB2BGR), options)
    assert done, f"OpenCV cannot write {suffix}"
    return data.tobytes()


def _is_cut_off(data: bytes) -> bool:
    """Whether a JPEG, PNG or WebP lacks its end. Padding behind the end is harmless."""
    if data.startswith(b"\xff\xd8\xff"):
        return b"\xff\xd9" not in data[2:]
    if data.startswith(PNG_MAGIC):
        return b"IEND" not in data[8:]
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return len(data) < struct.unpack_from("<I", data, 4)[0] + 8
    return False


class EncodedFaces(ABC):
    """Base of the readers: encoded crops by index, with labels, groups and names.

    A reader fills `names`, `labels`, `num_identities` and `groups`, implements `read` and `where`,
    and ends its constructor with `drop_broken` when the user asked for that.

    Attributes:
        skipped: Reason -> how many pictures `drop_broken` (or the reader's own index) left out.
    """

    names: Sequence[str]
    labels: np.ndarray
    num_identities: int
    groups: dict[str, np.ndarray]
    skipped: Counter[str]

    def __init__(self) -> None:
        self.skipped = Counter()
        self.groups = {}
        self._kept: np.ndarray | None = None

    @abstractmethod
    def read(self, entry: int) -> bytes:
        """Encoded bytes of an entry of the reader's own index. Thread-safe."""

    @abstractmethod
    def where(self, entry: int) -> str:
        """File and record of an entry, for errors."""

    def __len__(self) -> int:
        return len(self.labels)

    def entry_of(self, index: int) -> int:
        """Entry of the reader's own index behind picture `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        return index if self._kept is None else int(self._kept[index])

    def encoded(self, index: int) -> bytes:
        """The picture's bytes as they are stored."""
        return self.read(self.entry_of(index))

    def crop(self, index: int) -> np.ndarray:
        entry = self.entry_of(index)
        return decode_crop(self.read(entry), self.where(entry))

    def drop_broken(self, workers: int = 2) -> None:
        """Decode everything once; leave out, count and log what cannot be used."""
        kept: list[int] = []
        reasons = ordered_map(self._reason_against, range(len(self)), workers)
        for index, reason in enumerate(progress(reasons, len(self), "checking pictures")):
            if reason is None:
                kept.append(index)
            else:
                self.skipped[reason] += 1
        if len(kept) < len(self):
            logger.warning("%d pictures left out: %s", len(self) - len(kept), dict(self.skipped))
        chosen = np.asarray(kept, dtype=np.int64)
        self._kept = chosen if self._kept is None else self._kept[chosen]
        self.labels = self.labels[chosen]
        self.groups = {key: column[chosen] for key, column in self.groups.items()}
        self.names = [self.names[index] for index in kept]

    def _reason_against(self, index: int) -> str | None:
        try:
            self.crop(index)
        except PictureError as error:
            logger.warning("%s", error)
            return error.reason
        return None
