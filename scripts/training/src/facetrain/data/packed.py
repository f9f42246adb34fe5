"""All crops of a set in one tensor, and in one file: as pixels to train from, as WebP to travel.

The pixel form is memory-mapped and can be moved to a GPU whole (42,000 crops are 1.6 GB), where a
batch is one `index_select`. The WebP form is about forty times smaller and is decoded once.
"""

# N pictures, C channels, H height, W width.
import io
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from facetrain.data.container import read_container, write_container
from facetrain.data.face_set import CROP_PX, Concat, FaceSet, PictureError, Subset
from facetrain.data.parallel import ordered_map
from facetrain.data.pictures import EncodedFaces, decode_crop, encode_webp
from facetrain.progress import progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class WebpOptions:
    """How crops are compressed for travel."""

    quality: int = 76
    """1 to 100."""
    keep_webp: bool = False
    """Copy pictures that are WebP already as they are, instead of compressing them again."""

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise ValueError(f"WebP quality is {self.quality}; allowed are 1 to 100")


class PackedFaces:
    """A set of crops held in one tensor. Also a `FaceSet`.

    Attributes:
        crop_NCHW: (N, 3, 112, 112), uint8 RGB, on `device`.
    """

    def __init__(
        self,
        crop_NCHW: Tensor,
        *,
        labels: np.ndarray,
        num_identities: int,
        groups: Mapping[str, np.ndarray] | None = None,
        names: Sequence[str] | None = None,
    ) -> None:
        count = len(crop_NCHW)
        if crop_NCHW.dtype != torch.uint8 or crop_NCHW.shape[1:] != (3, CROP_PX, CROP_PX):
            raise ValueError(
                f"crops are {crop_NCHW.dtype} of shape {tuple(crop_NCHW.shape)}; "
                f"a pack holds uint8 of shape (N, 3, {CROP_PX}, {CROP_PX})"
            )
        self.crop_NCHW = crop_NCHW
        self.labels = np.asarray(labels, dtype=np.int64)
        self.num_identities = num_identities
        self.groups = {key: np.asarray(column) for key, column in (groups or {}).items()}
        self.names = [str(n) for n in range(count)] if names is None else names
        columns = {"labels": self.labels, "names": self.names, **self.groups}
        for key, column in columns.items():
            if len(column) != count:
                raise ValueError(f"{key} has {len(column)} entries for {count} crops")

    @property
    def device(self) -> torch.device:
        return self.crop_NCHW.device

    def __len__(self) -> int:
        return len(self.crop_NCHW)

    def crop(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        return self.crop_NCHW[index].permute(1, 2, 0).contiguous().cpu().numpy().copy()

    def to(self, device: torch.device | str) -> "PackedFaces":
        """The same set with its crops in the memory of `device`."""
        return self._with(self.crop_NCHW.to(device))

    def subset(self, indices: np.ndarray, *, relabel: bool = False) -> "PackedFaces":
        """A copy of the crops at `indices` (M,); see `Subset` for `relabel`."""
        view = Subset(self, indices, relabel=relabel)
        return PackedFaces(
            self.crop_NCHW[torch.from_numpy(view.indices).to(self.device)],
            labels=view.labels,
            num_identities=view.num_identities,
            groups=view.groups,
            names=view.names,
        )

    def _with(self, crop_NCHW: Tensor) -> "PackedFaces":
        return PackedFaces(
            crop_NCHW,
            labels=self.labels,
            num_identities=self.num_identities,
            groups=self.groups,
            names=self.names,
        )

    @classmethod
    def of(cls, faces: FaceSet, *, workers: int = 2, skip_broken: bool = False) -> "PackedFaces":
        """Decode a whole set into memory.

        Args:
            skip_broken: Leave out what cannot be used and log how many, instead of raising.
        """
        pixels = np.empty((len(faces), 3, CROP_PX, CROP_PX), dtype=np.uint8)
        crops = ordered_map(_trial(faces, skip_broken), range(len(faces)), workers)
        kept: list[int] = []
        for index, crop_HWC in enumerate(progress(crops, len(faces), "decoding")):
            if crop_HWC is not None:
                pixels[len(kept)] = crop_HWC.transpose(2, 0, 1)
                kept.append(index)
        chosen = Subset(faces, np.asarray(kept, dtype=np.int64))
        _log_skipped(len(faces), len(kept))
        return cls(
            torch.from_numpy(pixels[: len(kept)]),
            labels=chosen.labels,
            num_identities=chosen.num_identities,
            groups=chosen.groups,
            names=chosen.names,
        )

    def save(self, path: Path) -> None:
        """Write the pixel form, memory-mapped by `load`."""
        pixels = self.crop_NCHW.cpu().numpy()
        write_container(path, _about(self, "pixels"), {"crops": pixels, "labels": self.labels})

    @classmethod
    def load(cls, path: Path | str, *, workers: int = 2) -> "PackedFaces":
        """Open either form: pixels are mapped, WebP is decoded into memory.

        Raises:
            ValueError: Another format, or cut off.
        """
        about, arrays = read_container(Path(path))
        if about["form"] == "webp":
            return cls.of(WebpFaces(Path(path)), workers=workers)
        return cls(torch.from_numpy(np.asarray(arrays["crops"])), **_columns(about, arrays))


class WebpFaces:
    """A travelling pack, decoded picture by picture. A `FaceSet`."""

    def __init__(self, path: Path) -> None:
        """Open `path`. Raises ValueError when it is another format or cut off."""
        about, arrays = read_container(path)
        if about["form"] != "webp":
            raise ValueError(f"{path}: holds pixels; open it with PackedFaces.load")
        self._path = path
        self._bytes, self._ends = arrays["bytes"], arrays["ends"]
        columns = _columns(about, arrays)
        self.labels: np.ndarray = columns["labels"]
        self.num_identities: int = columns["num_identities"]
        self.groups: dict[str, np.ndarray] = columns["groups"]
        self.names: Sequence[str] = columns["names"]

    def __len__(self) -> int:
        return len(self._ends)

    def encoded(self, index: int) -> bytes:
        """WebP bytes of picture `index`."""
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        begin = int(self._ends[index - 1]) if index else 0
        return self._bytes[begin : int(self._ends[index])].tobytes()

    def crop(self, index: int) -> np.ndarray:
        return decode_crop(self.encoded(index), f"{self._path}: {self.names[index]}")


def save_webp(
    faces: FaceSet,
    path: Path,
    options: WebpOptions | None = None,
    *,
    workers: int = 2,
    skip_broken: bool = False,
) -> int:
    """Write the travelling form of any set.

    Args:
        skip_broken: As in `PackedFaces.of`.

    Returns:
        How many pictures are in it.
    """
    encode = _webp_of(faces, options or WebpOptions(), skip_broken)
    encoded = ordered_map(encode, range(len(faces)), workers)
    stream, ends, kept = io.BytesIO(), [], []
    for index, data in enumerate(progress(encoded, len(faces), "packing")):
        if data is not None:
            stream.write(data)
            ends.append(stream.tell())
            kept.append(index)
    chosen = Subset(faces, np.asarray(kept, dtype=np.int64))
    _log_skipped(len(faces), len(kept))
    arrays = {
        "bytes": np.frombuffer(stream.getbuffer(), dtype=np.uint8),
        "ends": np.asarray(ends, dtype=np.int64),
        "labels": chosen.labels,
    }
    write_container(path, _about(chosen, "webp"), arrays)
    return len(kept)


def _webp_of(faces: FaceSet, options: WebpOptions, skip_broken: bool):
    crop_of = _trial(faces, skip_broken)

    def encode(index: int) -> bytes | None:
        crop_HWC = crop_of(index)
        if crop_HWC is None:
            return None
        stored = _stored(faces, index) if options.keep_webp else b""
        is_webp = stored[:4] == b"RIFF" and stored[8:12] == b"WEBP"
        return stored if is_webp else encode_webp(crop_HWC, options.quality)

    return encode


def _stored(faces: FaceSet, index: int) -> bytes:
    """The picture's bytes where it is stored encoded, seen through views; else none."""
    while isinstance(faces, Subset | Concat):
        faces, index = faces.origin(index)
    return faces.encoded(index) if isinstance(faces, EncodedFaces | WebpFaces) else b""


def _trial(faces: FaceSet, skip_broken: bool):
    def crop(index: int) -> np.ndarray | None:
        try:
            return faces.crop(index)
        except PictureError as error:
            if not skip_broken:
                raise
            logger.warning("%s", error)
            return None

    return crop


def _log_skipped(total: int, kept: int) -> None:
    if kept < total:
        logger.warning("%d of %d pictures left out", total - kept, total)


def _about(faces: FaceSet, form: str) -> dict[str, Any]:
    columns = {}
    for key, column in faces.groups.items():
        values, codes = np.unique(np.asarray(column, dtype=str), return_inverse=True)
        columns[key] = {"values": values.tolist(), "codes": codes.tolist()}
    return {
        "form": form,
        "num_identities": faces.num_identities,
        "names": list(faces.names),
        "groups": columns,
    }


def _columns(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    def column(entry: Mapping[str, Iterable[Any]]) -> np.ndarray:
        return np.asarray(entry["values"], dtype=str)[np.asarray(entry["codes"], dtype=np.int64)]

    return {
        "labels": np.array(arrays["labels"]),
        "num_identities": about["num_identities"],
        "groups": {key: column(entry) for key, entry in about["groups"].items()},
        "names": about["names"],
    }
