"""Any sets of faces -> one pack file, with the source and groups of every picture."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from facetrain.data.face_set import Concat, FaceSet, Subset
from facetrain.data.packed import PackedFaces, WebpOptions, save_webp
from facetrain.data.sources import open_faces

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class PackOptions:
    """What goes into a pack, and how.

    Attributes:
        sources: Name -> folder, list, `.rec`, `.tar` or `.pack`.
        labels_csv: Source -> label tables (tars).
        part: Source -> only this part of it (tars): "train" keeps FairFace's "val" out.
        form: "pixels" to train from, "webp" to travel.
        skip_broken: Leave out and count what cannot be used, instead of stopping.
        without: Names that are left out, as the pack would spell them ("source/picture").
    """

    sources: Mapping[str, Path]
    labels_csv: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    part: Mapping[str, str] = field(default_factory=dict)
    form: Literal["pixels", "webp"] = "pixels"
    webp: WebpOptions = field(default_factory=WebpOptions)
    by_folder: bool = False
    skip_broken: bool = False
    without: frozenset[str] = frozenset()
    workers: int = 2

    def __post_init__(self) -> None:
        if not self.sources:
            raise ValueError("give at least one source")
        if self.form not in ("pixels", "webp"):
            raise ValueError(f"form is {self.form!r}; allowed are pixels, webp")
        for name in (*self.labels_csv, *self.part):
            if name not in self.sources:
                raise ValueError(f"{name!r} is no source; there are {', '.join(self.sources)}")


def pack(options: PackOptions, out: Path) -> int:
    """Write one pack of all sources; returns how many pictures are in it.

    Raises:
        ValueError: As the readers; or nothing is left.
    """
    sets: dict[str, FaceSet] = {
        name: open_faces(
            path,
            labels_csv=options.labels_csv.get(name, ()),
            part=options.part.get(name),
            by_folder=options.by_folder,
        )
        for name, path in options.sources.items()
    }
    return write_pack(_without(Concat(sets), options.without), out, options)


def write_pack(faces: FaceSet, out: Path, options: PackOptions) -> int:
    """Write any set in the form that the options name."""
    if not len(faces):
        raise ValueError("no picture is left to pack")
    common = {"workers": options.workers, "skip_broken": options.skip_broken}
    if options.form == "webp":
        count = save_webp(faces, out, options.webp, **common)
    else:
        packed = PackedFaces.of(faces, **common)
        packed.save(out)
        count = len(packed)
    logger.info("%s: %d pictures, %.1f MiB", out, count, out.stat().st_size / 2**20)
    return count


def _without(faces: FaceSet, names: frozenset[str]) -> FaceSet:
    if not names:
        return faces
    unknown = names - set(faces.names)
    if unknown:
        logger.warning("%d names to leave out are in no source", len(unknown))
    kept = [index for index, name in enumerate(faces.names) if name not in names]
    logger.info("%d pictures left out by name", len(faces) - len(kept))
    return Subset(faces, np.array(kept, dtype=np.int64))
