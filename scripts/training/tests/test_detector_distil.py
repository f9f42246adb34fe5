"""Canvases, the teacher's labels on them, and the tasks that learn from them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facetrain.config import LoopOptions, OptimOptions
from facetrain.detector.backgrounds import free_pictures, generated
from facetrain.detector.batches import (
    CanvasBatches,
    LabelBatches,
    collate_canvases,
    random_square,
)
from facetrain.detector.canvas import CanvasOptions, Materials, make_canvas
from facetrain.detector.decode import Faces, encode_boxes
from facetrain.detector.distil import (
    LabelOptions,
    consensus,
    label,
    shifted,
    unmirrored,
    unshifted,
)
from facetrain.detector.faces import FacePool, border_of, soft_mask
from facetrain.detector.net import STRIDES, DetectorNet, NetOptions, cells
from facetrain.detector.recipe import distil, load_detector, toy, train_from_labels
from facetrain.detector.shards import (
    SHARD_FILE,
    Shard,
    ShardOptions,
    load_shard,
    make_shard,
    save_shard,
)
from facetrain.detector.task import DistilTask, LabelTask
from facetrain.detector.wider import Labels, write_wider
from facetrain.engine.task import Task

SIDE = 64
OPTIONS = ShardOptions(
    canvases=6, sides_px=(SIDE, 96), canvas=CanvasOptions(side_px=SIDE, face_px=(12, 60))
)


class DrawnFaces:
    """A set of crops with dark eyes and mouth on bright ovals."""

    labels = np.full(5, -1)
    num_identities = 0
    groups: dict[str, np.ndarray] = {}  # noqa: RUF012
    names = tuple("abcde")

    def __len__(self) -> int:
        return 5

    def crop(self, index: int) -> np.ndarray:
        crop = np.full((112, 112, 3), 60 + 10 * index, np.uint8)
        cv2.ellipse(crop, (56, 60), (38, 48), 0, 0, 360, (200, 180, 170), -1)
        for x in (38, 74):
            cv2.circle(crop, (x, 52), 6, (20, 20, 20), -1)
        cv2.line(crop, (42, 92), (71, 92), (120, 20, 20), 4)
        return crop


POINTS = torch.tensor([[-4.0, -4], [4, -4], [0, 0], [-4, 4], [4, 4]])


class BrightSpot:
    """A detector that finds the brightest pixel's 16 px face, and jitters with its column."""

    def dense(self, picture_BHWC: np.ndarray) -> np.ndarray:
        batch, height, width = picture_BHWC.shape[:3]
        cell = cells(height, width)
        dense = np.zeros((batch, len(cell), 16), np.float32)
        dense[..., 0] = 0.6
        for at, picture in enumerate(picture_BHWC):
            row, col = np.unravel_index(picture.max(axis=2).argmax(), (height, width))
            at_N2, spot_2 = (cell[:, :2] + 0.5) * 8, torch.tensor([float(col), float(row)])
            near = (cell[:, 2] == 8) & ((at_N2 - spot_2).abs() < 8).all(dim=1)
            jitter = 1.0 if col % 2 else -1.0
            box = torch.tensor([[col - 8.0, row - 8.0, 16, 16]]).expand(len(cell), 4)
            dense[at, :, 2:6] = encode_boxes(box, cell).numpy()
            point = spot_2 + POINTS + torch.tensor([jitter, 0.0])
            dense[at, :, 6:] = (point[None] / cell[:, None, 2:] - cell[:, None, :2]).flatten(1)
            dense[at, near.numpy(), :2] = 0.9
        return dense


@pytest.fixture(scope="module")
def materials() -> Materials:
    return Materials(FacePool([DrawnFaces()], np.ones(1)), pictures=[], scenes=[])


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, materials: Materials) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(2):
        shard = make_shard(number, materials, BrightSpot(), OPTIONS)
        save_shard(folder / SHARD_FILE.format(number), shard, OPTIONS)
    return folder


def spot(col: int, row: int) -> np.ndarray:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[row, col] = 255
    return picture


def test_a_canvas_depends_on_its_seed_alone(materials: Materials) -> None:
    options = OPTIONS.canvas
    first = make_canvas([1, 2], materials, options)
    assert first.shape == (SIDE, SIDE, 3)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, make_canvas([1, 2], materials, options))
    assert (first != make_canvas([1, 3], materials, options)).any()


def test_canvases_show_faces_and_some_show_none(materials: Materials) -> None:
    clean = {"side_px": 96, "degrade_amount": 0.0, "spoilt_share": 0.0}
    changed = []
    for empty_share in (0.0, 1.0):
        options = CanvasOptions(empty_share=empty_share, **clean)
        canvases = [make_canvas([7, i], materials, options) for i in range(12)]
        without = [
            make_canvas([7, i], materials, CanvasOptions(empty_share=1.0, **clean))
            for i in range(12)
        ]
        changed.append(sum(bool((a != b).any()) for a, b in zip(canvases, without, strict=True)))
    assert changed == [12, 0]


def test_refuses_sides_that_do_not_fit_the_strides() -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        CanvasOptions(side_px=100)


@pytest.mark.parametrize("seed", range(8))
def test_generated_backgrounds_are_pictures(seed: int) -> None:
    picture = generated(np.random.default_rng(seed), 64)
    assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)


def test_free_pictures_are_colour_pictures() -> None:
    pictures = free_pictures()
    if not pictures:
        pytest.skip("SKIPPED: scikit-image is not installed; canvases do without its pictures")
    assert all(p.ndim == 3 and p.shape[2] == 3 and p.std() > 1 for p in pictures)


def test_black_borders_are_not_pasted() -> None:
    crop = np.full((112, 112, 3), 120, np.uint8)
    crop[:30] = 0
    crop[70:80, 50:60] = 0  # an open mouth, not border
    assert border_of(crop)[:30].all()
    assert not border_of(crop)[30:].any()
    for seed in range(5):
        mask = soft_mask(np.random.default_rng(seed), crop)
        assert mask[:29].max() < 0.15
        assert mask[75, 55] == pytest.approx(1, abs=0.01)
        assert max(mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.15


def test_shifting_and_mirroring_faces_follow_the_picture() -> None:
    row, col, dx, dy = 20, 30, 5, -3
    moved = shifted(spot(col, row), dx, dy)
    assert moved[row + dy, col + dx].tolist() == [255] * 3
    points = np.tile(np.array([[col + dx, row + dy]], np.float32), (1, 5, 1))
    faces = Faces(np.array([[col + dx, row + dy, 4, 6]], np.float32), points, np.ones(1))
    assert unshifted(faces, dx, dy).box_F4[0].tolist() == [col, row, 4, 6]
    assert unshifted(faces, dx, dy).landmark_F52[0, 0].tolist() == [col, row]
    order = np.stack([np.arange(5), np.zeros(5)], axis=1)[None].astype(np.float32)
    back = unmirrored(Faces(np.array([[10, 0, 4, 6]], np.float32), order, np.ones(1)), 96)
    assert back.box_F4[0].tolist() == [95 - 14, 0, 4, 6]
    assert (95 - back.landmark_F52[0, :, 0]).tolist() == [1, 0, 2, 4, 3]


def test_landmarks_are_averaged_over_looks() -> None:
    picture = spot(40, 24)
    options = LabelOptions(shifts=40, mirrored=40)
    target = label(BrightSpot(), picture, np.random.default_rng(1), options)
    assert len(target.faces) == 1
    # One look is off by 1 px, to either side depending on the column; the mean is not.
    np.testing.assert_allclose(target.faces.landmark_F52[0, 2], [40, 24], atol=0.5)
    one = label(BrightSpot(), picture, np.random.default_rng(1), LabelOptions(shifts=0, mirrored=0))
    np.testing.assert_allclose(one.faces.landmark_F52[0, 2], [39, 24], atol=1e-3)
    np.testing.assert_allclose(target.faces.box_F4[0], [32, 16, 16, 16], atol=0.1)


def test_only_sure_cells_are_told_a_face() -> None:
    target = label(BrightSpot(), spot(40, 24), np.random.default_rng(1), LabelOptions())
    told = np.flatnonzero(target.owner_N == 0)
    assert len(told) == 4
    assert (target.score_N2[told] == np.float32(0.9)).all()
    assert (np.delete(target.owner_N, told) == -1).all()


def test_without_faces_only_the_first_look_is_taken() -> None:
    class Blind:
        looks = 0

        def dense(self, picture_BHWC: np.ndarray) -> np.ndarray:
            self.looks += 1
            return np.zeros((1, 126, 16), np.float32)

    blind = Blind()
    target = label(blind, spot(1, 1), np.random.default_rng(1), LabelOptions())
    assert (blind.looks, len(target.faces)) == (1, 0)
    assert (target.owner_N == -1).all()


def test_a_face_that_other_looks_miss_keeps_its_place() -> None:
    faces = Faces(np.array([[60, 40, 16, 16]], np.float32), np.zeros((1, 5, 2)), np.ones(1))
    kept = consensus(BrightSpot(), spot(8, 8), faces, np.random.default_rng(1), LabelOptions())
    np.testing.assert_array_equal(kept.box_F4, faces.box_F4)


def test_a_shard_survives_the_disk(tmp_path: Path, materials: Materials) -> None:
    shard = make_shard(0, materials, BrightSpot(), OPTIONS)
    file = tmp_path / "shard.npz"
    save_shard(file, shard, OPTIONS)
    found = load_shard(file)
    assert len(found) == len(shard) == OPTIONS.canvases
    for i in range(len(shard)):
        np.testing.assert_array_equal(found.picture(i), shard.picture(i))
        np.testing.assert_array_equal(found.targets[i].owner_N, shard.targets[i].owner_N)
        np.testing.assert_array_equal(found.targets[i].faces.box_F4, shard.targets[i].faces.box_F4)
        np.testing.assert_allclose(found.targets[i].score_N2, shard.targets[i].score_N2, atol=1e-3)
    assert not list(tmp_path.glob("*.partial"))


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    file = tmp_path / "shard_00000.npz"
    file.write_bytes(b"PK\x03\x04 not a shard")
    with pytest.raises(ValueError, match=r"shard_00000\.npz is no shard"):
        load_shard(file)


def test_batches_are_whole_deterministic_and_resumable(shards: Path) -> None:
    files = sorted(shards.glob("*.npz"))
    batches = CanvasBatches(files, batch_size=2, seed=1)
    whole = list(batches.epoch(3))
    assert len(whole) == batches.steps_per_epoch == 6
    sides = {tuple(b.picture_BCHW.shape[1:]) for b in whole}
    assert sides == {(3, 64, 64), (3, 96, 96)}
    again = list(batches.epoch(3, start_step=4))
    for a, b in zip(whole[4:], again, strict=True):
        torch.testing.assert_close(a.picture_BCHW, b.picture_BCHW)
        torch.testing.assert_close(a.cell_P, b.cell_P)
    assert any(
        a.picture_BCHW.shape != b.picture_BCHW.shape or (a.picture_BCHW != b.picture_BCHW).any()
        for a, b in zip(whole, batches.epoch(4), strict=True)
    )


def test_ranks_share_a_step_without_overlap(shards: Path) -> None:
    files = sorted(shards.glob("*.npz"))
    alone = list(CanvasBatches(files, batch_size=4, seed=1).epoch(0))
    ranks = [
        list(CanvasBatches(files, batch_size=2, seed=1, rank=r, world=2).epoch(0)) for r in (0, 1)
    ]
    for one, first, second in zip(alone, *ranks, strict=True):
        together = torch.cat([first.picture_BCHW, second.picture_BCHW])
        torch.testing.assert_close(one.picture_BCHW, together)


def test_told_cells_carry_their_own_face(materials: Materials) -> None:
    shard = make_shard(0, materials, BrightSpot(), OPTIONS)
    batch = collate_canvases([(shard, 1), (shard, 2)])
    cell = cells(SIDE, SIDE)
    where = batch.cell_P // len(cell)
    assert set(where.tolist()) == {0, 1}
    for at, index in enumerate((1, 2)):
        box = torch.from_numpy(shard.targets[index].faces.box_F4)
        torch.testing.assert_close(batch.box_P4[where == at][0], box[0])


def test_distillation_costs_nothing_where_the_student_is_the_teacher() -> None:
    picture = spot(40, 24)[:, :64]
    target = label(
        BrightSpot(), picture, np.random.default_rng(1), LabelOptions(shifts=0, mirrored=0)
    )
    cell = cells(64, 64)

    class Copy(DetectorNet):
        def forward(self, x_BCHW: torch.Tensor) -> list[torch.Tensor]:
            dense = torch.from_numpy(BrightSpot().dense(picture[None]))
            dense[..., :2] = torch.logit(dense[..., :2].clamp(1e-6, 1 - 1e-6))
            return [dense[:, cell[:, 2] == stride] for stride in STRIDES]

    _, jpeg = cv2.imencode(".png", picture)
    batch = collate_canvases([(Shard([jpeg], [target]), 0)])
    terms = DistilTask(Copy(NetOptions(width=0.125, depth=(0, 0, 0)))).loss(batch, 0)
    assert terms["loss"] == pytest.approx(0, abs=1e-3)


def test_a_toy_learns_one_canvas_by_heart(materials: Materials) -> None:
    torch.manual_seed(0)
    shard = make_shard(0, materials, BrightSpot(), OPTIONS)
    batch = collate_canvases([(shard, 0)] * 2)
    task = DistilTask(DetectorNet(NetOptions(width=0.25, depth=(0, 0, 0))))
    assert isinstance(task, Task)
    optimizer = torch.optim.AdamW(task.modules().parameters(), lr=5e-3)
    losses = []
    for step in range(20):
        loss = task.loss(batch, step)["loss"]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]


def test_a_stopped_run_continues_to_the_same_weights(shards: Path, tmp_path: Path) -> None:
    run = replace(
        toy(),
        workers=0,
        optim=OptimOptions(name="adamw", lr=1e-3, decay_1d=False),
        loop=LoopOptions(epochs=2, batch_size=2, ema_decay=0.9, log_every=2, save_every=3),
    )
    distil(run, shards, tmp_path / "whole", device="cpu")
    stopped = replace(run, loop=replace(run.loop, max_minutes=0.0))
    for _ in range(3):
        assert not distil(stopped, shards, tmp_path / "cut", device="cpu").complete
    finish = distil(run, shards, tmp_path / "cut", device="cpu")
    assert finish.complete
    whole, resumed = (load_detector(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def labelled(folder: Path) -> list[Labels]:
    labels = []
    for at in range(4):
        picture = np.full((80, 120, 3), 40, np.uint8)
        crop = cv2.resize(DrawnFaces().crop(at), (40, 40))
        picture[20:60, 30:70] = crop
        cv2.imwrite(str(folder / f"{at}.png"), picture)
        points = np.array([[43, 38], [57, 38], [50, 46], [45, 53], [55, 53]], np.float32)
        box = np.array([[34, 22, 32, 34]], np.float32)
        labels.append(Labels(f"{at}.png", box, points[None]))
    return labels


def test_trains_from_labels(tmp_path: Path) -> None:
    labels = labelled(tmp_path)
    write_wider(labels, tmp_path / "label.txt")
    run = toy()
    run = replace(run, side_px=64, workers=0, loop=replace(run.loop, epochs=2, batch_size=2))
    finish = train_from_labels(
        run, tmp_path / "label.txt", tmp_path, tmp_path / "run", device="cpu"
    )
    assert (finish.step, finish.complete) == (4, True)


def test_label_loss_falls_when_a_face_is_learnt(tmp_path: Path) -> None:
    torch.manual_seed(0)
    batches = LabelBatches(labelled(tmp_path), tmp_path, batch_size=4, side_px=64)
    (batch,) = batches.epoch(0)
    task = LabelTask(DetectorNet(NetOptions(width=0.25, depth=(0, 0, 0))))
    optimizer = torch.optim.AdamW(task.modules().parameters(), lr=5e-3)
    losses = []
    for step in range(20):
        loss = task.loss(batch, step)["loss"]
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.7 * losses[0]


def test_a_missing_picture_is_named(tmp_path: Path) -> None:
    labels = [Labels("gone.png", np.zeros((0, 4)), np.zeros((0, 5, 2)))]
    with pytest.raises(ValueError, match=r"gone\.png is missing"):
        next(LabelBatches(labels, tmp_path, batch_size=1, side_px=64).epoch(0))


def test_a_random_square_carries_its_faces() -> None:
    picture = np.zeros((80, 120, 3), np.uint8)
    picture[30, 50] = 255
    points = np.tile(np.array([50, 30], np.float32), (1, 5, 1))
    faces = Faces(np.array([[45, 25, 10, 10]], np.float32), points, np.ones(1))
    carried = 0
    for seed in range(20):
        view, found = random_square(np.random.default_rng(seed), picture, faces, 160)
        if len(found) and view.max() > 100:
            row, col = np.unravel_index(view.max(axis=2).argmax(), view.shape[:2])
            # A pixel is several wide when enlarged, and pixel centres move by half of it.
            np.testing.assert_allclose(found.landmark_F52[0, 0], [col, row], atol=4)
            carried += 1
    assert carried >= 5
    assert (
        len(random_square(np.random.default_rng(1), picture, faces.take(np.zeros(0, int)), 64)[1])
        == 0
    )
