"""Second looks to train on: views of the faces of labelled canvases, as the daemon will see them.

A view is made as `facetrain.detector.look` makes it, from a box that is a little off, mirrored or
not. Its faces keep the word that the teacher gave on the canvas, where they are larger and it sees
them better; the scores are what the teacher sees in the view.

Turned faces are few and hard, and their landmarks the furthest off: they are drawn several times.
"""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import torch

from facetrain.detector.decode import SAME_FACE_IOU, Faces, decode_boxes, overlap
from facetrain.detector.distil import Detector, LabelOptions, Target, unmirrored
from facetrain.detector.look import FACE_PX, SIDE_PX, View, view_of
from facetrain.detector.net import BOX, cells
from facetrain.detector.shards import (
    JPEG_QUALITY,
    SHARD_FILE,
    TEACHER_FILE,
    Shard,
    ShardOptions,
    decode_jpeg,
    load_shard,
    save_shard,
)
from facetrain.detector.teacher import YuNetTeacher
from facetrain.progress import progress

SCORE_MIN = 0.6
"""Least score of a face on its canvas."""
SIDE_MIN = 60
"""Least longer side of a face's box on its canvas, pixels."""
SHIFT = 0.03
"""Standard deviation of the box's place, in its longer side."""
ZOOM = 0.08
"""Standard deviation of the logarithm of the face's size in the view."""
OFTEN = ((0.25, 4), (0.3, 3))
"""Below this eye distance, in longer sides of the box: how many views."""


def make_views(sources: Sequence[Path], out: Path, shared: Path, *, workers: int = 1) -> int:
    """Make a shard of views of each shard of canvases, where `out` lacks it.

    Args:
        sources: Shards of canvases.
        out: Folder; its shards are numbered as the sources come.
        shared: The folder that `OSTIARY_SHARED` names, for the teacher.
        workers: Processes; one thread each.

    Returns:
        How many shards were made.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = [out / SHARD_FILE.format(number) for number in range(len(sources))]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    make = functools.partial(_make_one, sources, files, shared)
    if workers <= 1:
        for number in progress(missing, len(missing), "views"):
            make(number)
        return len(missing)
    with ProcessPoolExecutor(workers) as pool:
        for _ in progress(pool.map(make, missing), len(missing), "views"):
            pass
    return len(missing)


@functools.cache
def _teacher(shared: Path) -> YuNetTeacher:
    """Once per process."""
    cv2.setNumThreads(1)
    return YuNetTeacher(shared / TEACHER_FILE)


def _make_one(sources: Sequence[Path], files: Sequence[Path], shared: Path, number: int) -> None:
    rng = np.random.default_rng([6, number])
    views = list(views_of(load_shard(sources[number]), _teacher(shared), rng))
    if not views:
        raise ValueError(f"{sources[number]} has no face of {SIDE_MIN} px to make a view of")
    options = ShardOptions(canvases=len(views), sides_px=(SIDE_PX,))
    save_shard(files[number], Shard([jpeg for jpeg, _ in views], [t for _, t in views]), options)


def views_of(
    shard: Shard, teacher: Detector, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, Target]]:
    """Views of all faces of a shard that are large and sure enough: JPEG and the word on it."""
    for at, target in enumerate(shard.targets):
        picture = shard.picture(at)
        for face in range(len(target.faces)):
            for _ in range(_count(target.faces, face)):
                size = float(max(target.faces.box_F4[face, 2:]))
                box = target.faces.box_F4[face].astype(float)
                box[:2] += rng.normal(0, SHIFT * size, 2)
                view = view_of(picture, box, face_px=FACE_PX * float(np.exp(rng.normal(0, ZOOM))))
                if view is not None:
                    yield _labelled(view, target.faces, face, rng.random() < 0.5, teacher)


def _count(faces: Faces, face: int) -> int:
    """How many views of it."""
    size = float(max(faces.box_F4[face, 2:]))
    if faces.score_F[face] < SCORE_MIN or size < SIDE_MIN:
        return 0
    right, left = faces.landmark_F52[face, :2]
    eyes = float(np.linalg.norm(right - left)) / size
    return next((count for below, count in OFTEN if eyes < below), 1)


def _labelled(
    view: View, faces: Faces, face: int, turn_back: bool, teacher: Detector
) -> tuple[np.ndarray, Target]:
    picture, seen = view.picture_HWC, _in_view(view, faces)
    if turn_back:
        picture = picture.copy()
        picture[:, : view.width] = view.picture_HWC[:, : view.width][:, ::-1]
        seen = unmirrored(seen, view.width)
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    dense = teacher.dense(decode_jpeg(jpeg)[None])[0]
    return jpeg, Target(dense[:, :2], _owner(dense, seen, face), seen)


def _in_view(view: View, faces: Faces) -> Faces:
    """Faces of the picture in the view's pixels, mirrored as it is."""
    corner = (faces.box_F4[:, :2] - view.corner_2 + 0.5) / view.step_2 - 0.5
    box = np.concatenate([corner, faces.box_F4[:, 2:] / view.step_2], axis=1)
    landmark = (faces.landmark_F52 - view.corner_2 + 0.5) / view.step_2 - 0.5
    plain = Faces(box.astype(np.float32), landmark.astype(np.float32), faces.score_F)
    return unmirrored(plain, view.width)


def _owner(dense_N16: np.ndarray, seen: Faces, face: int) -> np.ndarray:
    """Cells that answer for the view's own face; others that it shows in part are told nothing."""
    score = np.sqrt(np.clip(dense_N16[:, 0], 0, 1) * np.clip(dense_N16[:, 1], 0, 1))
    owner = np.full(len(dense_N16), -1, np.int16)
    chosen = np.flatnonzero(score >= LabelOptions().score_min)
    if len(chosen):
        cell = cells(SIDE_PX, SIDE_PX)[torch.from_numpy(chosen)]
        box = decode_boxes(torch.from_numpy(dense_N16[chosen][:, BOX]), cell).numpy()
        iou = overlap(box, seen.box_F4)
        mine = (iou.argmax(axis=1) == face) & (iou.max(axis=1) >= SAME_FACE_IOU)
        owner[chosen] = np.where(mine, face, -1)
    return owner
