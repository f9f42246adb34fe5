"""Labels by a teacher, shards and batches of them, and the task that learns from them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detector_toy import OPTIONS, SIDE, BrightSpot, drawn_materials, spot

from facetrain.config import LoopOptions, OptimOptions
from facetrain.detector.batches import CanvasBatches, collate_canvases
from facetrain.detector.canvas import Materials
from facetrain.detector.decode import Faces
from facetrain.detector.distil import (
    LabelOptions,
    consensus,
    label,
    shifted,
    unmirrored,
    unshifted,
)
from facetrain.detector.net import STRIDES, DetectorNet, NetOptions, cells
from facetrain.detector.recipe import distil, load_detector, toy
from facetrain.detector.shards import (
    SHARD_FILE,
    Shard,
    ShardOptions,
    load_shard,
    make_shard,
    save_shard,
    shard_files,
)
from facetrain.detector.task import DistilTask, LossOptions
from facetrain.engine.small import keep
from facetrain.engine.task import Task


@pytest.fixture(scope="module")
def materials() -> Materials:
    return drawn_materials()


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory, materials: Materials) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(2):
        shard = make_shard(number, materials, BrightSpot(), OPTIONS)
        save_shard(folder / SHARD_FILE.format(number), shard, OPTIONS)
    return folder


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
    terms = DistilTask(Copy(NetOptions(width=0.125, depth=(0, 0, 0, 0)))).loss(batch, 0)
    assert terms["loss"] == pytest.approx(0, abs=1e-3)


def test_the_best_cell_of_a_face_counts_most(materials: Materials) -> None:
    shard = make_shard(0, materials, BrightSpot(), OPTIONS)
    batch = collate_canvases([(shard, 0)])
    best, other = torch.arange(len(batch.cell_P)).chunk(2)
    weight_P = batch.weight_P.index_fill(0, best, 0.9).index_fill(0, other, 0.3)
    # The network says nothing of use: its landmarks are off everywhere, most of all at weak cells.
    landmark_P52 = batch.landmark_P52.index_add(0, other, torch.full((len(other), 5, 2), 900.0))
    worse = replace(batch, weight_P=weight_P, landmark_P52=landmark_P52)
    torch.manual_seed(0)
    net = DetectorNet(NetOptions(width=0.125, depth=(0, 0, 0, 0)))
    even, focused = (
        DistilTask(net, LossOptions(focus=focus)).loss(worse, 0)["landmark"] for focus in (0, 6)
    )
    assert focused < 0.1 * even


def test_close_ups_are_small(tmp_path: Path, materials: Materials) -> None:
    options = replace(ShardOptions.close_ups(), canvases=2)
    for number in (0, 3):
        shard = make_shard(number, materials, BrightSpot(), options)
        save_shard(tmp_path / SHARD_FILE.format(number), shard, options)
    sides = [load_shard(file).picture(0).shape[0] for file in shard_files([tmp_path])]
    assert sides == [160, 256]


def test_shards_may_lie_in_several_folders(shards: Path, tmp_path: Path) -> None:
    assert len(shard_files([shards, shards])) == 4
    with pytest.raises(ValueError, match=f"{tmp_path.name} holds no shards"):
        shard_files([shards, tmp_path])


def test_a_toy_learns_one_canvas_by_heart(materials: Materials) -> None:
    torch.manual_seed(0)
    shard = make_shard(0, materials, BrightSpot(), OPTIONS)
    batch = collate_canvases([(shard, 0)] * 2)
    task = DistilTask(DetectorNet(NetOptions(width=0.25, depth=(0, 0, 0, 0))))
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
    distil(run, [shards], tmp_path / "whole", device="cpu")
    stopped = replace(run, loop=replace(run.loop, max_minutes=0.0))
    for _ in range(3):
        assert not distil(stopped, [shards], tmp_path / "cut", device="cpu").complete
    finish = distil(run, [shards], tmp_path / "cut", device="cpu")
    assert finish.complete
    whole, resumed = (load_detector(tmp_path / name / "last.pt") for name in ("whole", "cut"))
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_new_run_begins_with_kept_weights(shards: Path, tmp_path: Path) -> None:
    loop = LoopOptions(epochs=1, batch_size=2, ema_decay=0.9)
    run = replace(toy(), workers=0, loop=loop)
    distil(run, [shards], tmp_path / "first", device="cpu")
    kept = tmp_path / "kept.pt"
    assert keep(tmp_path / "first/last.pt", kept) < (tmp_path / "first/last.pt").stat().st_size / 4
    whole, small = load_detector(tmp_path / "first/last.pt"), load_detector(kept)
    for name, value in small.named_parameters():
        torch.testing.assert_close(value, whole.get_parameter(name), rtol=1e-3, atol=1e-3)
    still = replace(run, optim=replace(run.optim, lr=1e-12))
    distil(still, [shards], tmp_path / "second", start=kept, device="cpu")
    again = load_detector(tmp_path / "second/last.pt", ema=False)
    torch.testing.assert_close(
        list(again.stem.parameters()), list(small.stem.parameters()), rtol=0, atol=1e-6
    )
    with pytest.raises(ValueError, match="the run asks for"):
        distil(replace(run, net=NetOptions()), [shards], tmp_path / "third", start=kept)
