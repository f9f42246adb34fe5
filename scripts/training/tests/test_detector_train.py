"""Training from labelled pictures."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from detector_toy import DrawnFaces

from facetrain.detector.batches import LabelBatches, random_square
from facetrain.detector.decode import Faces
from facetrain.detector.net import DetectorNet, NetOptions
from facetrain.detector.recipe import toy, train_from_labels
from facetrain.detector.task import LabelTask
from facetrain.detector.wider import Labels, write_wider


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
    task = LabelTask(DetectorNet(NetOptions(width=0.25, depth=(0, 0, 0, 0))))
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
