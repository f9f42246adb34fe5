"""Labelled canvases on disk: made once by any number of processes, read shard by shard.

A shard holds 256 canvases of one size as JPEG with the teacher's word on them. The teacher looks at
the *decoded* JPEG, so that it and the student see the very same pixels. A shard depends only on
(seed, number, options): one that is missing can be made again, by anybody, in any order.
"""

import functools
import json
import logging
import zipfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import cv2
import numpy as np

from facetrain.detector.canvas import CanvasOptions, Materials, make_canvas, open_materials
from facetrain.detector.decode import Faces
from facetrain.detector.distil import Detector, LabelOptions, Target, label
from facetrain.detector.teacher import YuNetTeacher
from facetrain.progress import progress

log = logging.getLogger(__name__)

SCHEMA = 1
SHARD_FILE = "shard_{:05}.npz"
JPEG_QUALITY = 95
TEACHER_FILE = "data/models/face_detection_yunet_2023mar.onnx"


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardOptions:
    """What shards hold."""

    seed: int = 1
    canvases: int = 256
    """Per shard."""
    sides_px: tuple[int, ...] = (320, 320, 320, 512)
    """Sides of the canvases, shard after shard in turn: mostly small ones, which cost a third."""
    canvas: CanvasOptions = field(default_factory=CanvasOptions)
    label: LabelOptions = field(default_factory=LabelOptions)

    def __post_init__(self) -> None:
        if not 1 <= self.canvases <= 10_000:
            raise ValueError(f"canvases is {self.canvases}; allowed are 1 to 10000 per shard")
        if not self.sides_px:
            raise ValueError("sides_px is empty; name at least one side")

    @staticmethod
    def close_ups() -> "ShardOptions":
        """A near face or two on a small canvas: their landmarks need many different faces, and
        scenes show few for the time that they take."""
        return ShardOptions(
            canvases=512,
            sides_px=(160, 160, 160, 256),
            canvas=CanvasOptions(face_px=(60.0, 240.0), empty_share=0.0, spoilt_share=0.0),
        )


@dataclass(frozen=True, slots=True)
class Shard:
    """Canvases of one size, encoded, and their targets."""

    jpegs: list[np.ndarray]
    targets: list[Target]

    def __len__(self) -> int:
        return len(self.jpegs)

    def picture(self, index: int) -> np.ndarray:
        """(H, W, 3), BGR uint8."""
        return decode_jpeg(self.jpegs[index])


def decode_jpeg(data: np.ndarray) -> np.ndarray:
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if picture is None:
        raise ValueError("a canvas of the shard cannot be decoded; delete the shard, make it again")
    return picture


def make_shard(
    number: int, materials: Materials, teacher: Detector, options: ShardOptions
) -> Shard:
    """Compose and label the canvases of one shard."""
    side = options.sides_px[number % len(options.sides_px)]
    look = CanvasOptions(**{**asdict(options.canvas), "side_px": side})
    jpegs, targets = [], []
    for at in range(options.canvases):
        canvas = make_canvas([options.seed, number, at], materials, look)
        _, jpeg = cv2.imencode(".jpg", canvas, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        rng = np.random.default_rng([options.seed, number, at, 1])
        jpegs.append(jpeg)
        targets.append(label(teacher, decode_jpeg(jpeg), rng, options.label))
    return Shard(jpegs, targets)


def save_shard(file: Path, shard: Shard, options: ShardOptions) -> None:
    """Writes the shard, whole or not at all."""
    faces = [target.faces for target in shard.targets]
    partial = file.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez(
            stream,
            schema=np.array(SCHEMA),
            options=np.array(json.dumps(asdict(options))),
            jpeg=np.concatenate(shard.jpegs),
            jpeg_bytes=np.array([len(jpeg) for jpeg in shard.jpegs]),
            score=np.stack([target.score_N2 for target in shard.targets]).astype(np.float16),
            owner=np.stack([target.owner_N for target in shard.targets]),
            faces=np.array([len(f) for f in faces]),
            box=np.concatenate([f.box_F4 for f in faces]),
            landmark=np.concatenate([f.landmark_F52 for f in faces]),
            face_score=np.concatenate([f.score_F for f in faces]),
        )
    partial.replace(file)


def load_shard(file: Path) -> Shard:
    """Reads a shard.

    Raises:
        ValueError: The file is none, is cut off, or is of another schema.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            if int(stored["schema"]) != SCHEMA:
                raise ValueError(f"schema {stored['schema']}, not {SCHEMA}")
            parts = {key: stored[key] for key in stored.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as cause:
        raise ValueError(f"{file} is no shard of canvases; delete it, make it again") from cause
    jpegs = np.split(parts["jpeg"], np.cumsum(parts["jpeg_bytes"])[:-1])
    ends = np.cumsum(parts["faces"])[:-1]
    faces = [
        Faces(box, landmark, score)
        for box, landmark, score in zip(
            *(np.split(parts[key], ends) for key in ("box", "landmark", "face_score")), strict=True
        )
    ]
    targets = [
        Target(score, owner, found)
        for score, owner, found in zip(
            parts["score"].astype(np.float32), parts["owner"], faces, strict=True
        )
    ]
    return Shard(list(jpegs), targets)


def make_shards(
    folder: Path, numbers: Sequence[int], shared: Path, options: ShardOptions, *, workers: int = 1
) -> int:
    """Make the shards that the folder lacks, under a progress bar.

    Args:
        folder: Where they go.
        numbers: Of the shards.
        shared: The folder that `OSTIARY_SHARED` names: crops, clips, the teacher.
        options: What the shards hold.
        workers: Processes; one thread each.

    Returns:
        How many were made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number in numbers if not (folder / SHARD_FILE.format(number)).exists()]
    log.info("%d of %d shards are there in %s", len(numbers) - len(missing), len(numbers), folder)
    if not missing:
        return 0
    if workers <= 1:
        for number in progress(missing, len(missing), "canvases"):
            _make_one(folder, shared, options, number)
        return len(missing)
    with ProcessPoolExecutor(workers) as pool:
        making = pool.map(functools.partial(_make_one, folder, shared, options), missing)
        for _ in progress(making, len(missing), "canvases"):
            pass
    return len(missing)


@functools.cache
def _tools(shared: Path) -> tuple[Materials, YuNetTeacher]:
    """Once per process."""
    cv2.setNumThreads(1)
    return open_materials(shared), YuNetTeacher(shared / TEACHER_FILE)


def _make_one(folder: Path, shared: Path, options: ShardOptions, number: int) -> None:
    materials, teacher = _tools(shared)
    file = folder / SHARD_FILE.format(number)
    save_shard(file, make_shard(number, materials, teacher, options), options)


def shard_files(folders: Sequence[Path]) -> list[Path]:
    """The folders' shards in order.

    Raises:
        ValueError: There is none in one of them.
    """
    files: list[Path] = []
    for folder in folders:
        found = sorted(folder.glob("shard_*.npz"))
        if not found:
            raise ValueError(f"{folder} holds no shards; make them with `detector canvases`")
        files += found
    return files
