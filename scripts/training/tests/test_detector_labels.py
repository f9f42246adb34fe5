"""Decoding, assignment, losses and the label format, on cases worked out by hand."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facetrain.detector.assign import assign
from facetrain.detector.decode import (
    Faces,
    blended,
    decode_boxes,
    decode_landmarks,
    encode_boxes,
    faces_of,
    overlap,
    stack_outputs,
    suppress,
)
from facetrain.detector.losses import eiou_loss, eye_size, landmark_loss, score_loss
from facetrain.detector.net import OUTPUT_NAMES, cells
from facetrain.detector.wider import Labels, read_wider, write_wider

SHARED = Path(os.environ.get("OSTIARY_SHARED", Path(__file__).parents[4] / "shared"))
YUNET = SHARED / "data/models/face_detection_yunet_2023mar.onnx"
PORTRAIT = SHARED / "data/liveness_samples/image_T1.jpg"


def empty_cells(height: int, width: int) -> np.ndarray:
    return np.zeros((len(cells(height, width)), 16), np.float32)


def test_decodes_a_cell_in_strides() -> None:
    dense = empty_cells(64, 64)
    dense[9] = [0.81, 1, 0.5, 0.25, np.log(2), np.log(3), *[0.5, -0.5] * 5]  # column 1, row 1
    faces = faces_of(dense, 64, 64)
    np.testing.assert_allclose(faces.score_F, [0.9], rtol=1e-6)
    np.testing.assert_allclose(faces.box_F4, [[12 - 8, 10 - 12, 16, 24]], rtol=1e-5)
    np.testing.assert_allclose(faces.landmark_F52[0], [[12, 4]] * 5, rtol=1e-5)


def test_a_broken_cell_is_no_face() -> None:
    dense = empty_cells(64, 64)
    dense[0, 0] = np.nan
    dense[1] = [1, 1, 0, 0, np.inf, 0, *[0] * 10]
    assert len(faces_of(dense, 64, 64)) == 0


def test_scores_beyond_one_are_cut() -> None:
    dense = empty_cells(64, 64)
    dense[0, :2] = [2, 0.36]
    assert faces_of(dense, 64, 64, score_min=0.5).score_F == pytest.approx([0.6])


def test_encoding_boxes_undoes_decoding() -> None:
    cell = cells(64, 64)
    raw = torch.randn(len(cell), 4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(encode_boxes(decode_boxes(raw, cell), cell), raw)


def test_decodes_landmarks_of_a_batch() -> None:
    point = decode_landmarks(torch.ones(2, 84, 10), cells(64, 64))
    assert point.shape == (2, 84, 5, 2)
    assert point[1, 83, 4].tolist() == [64, 64]  # column 1, row 1, stride 32, offset 1


def test_a_face_is_blended_from_its_cells() -> None:
    # As in test/face/blend.test.ts.
    box = np.array([[x, 0, 10, 10] for x in (0, 1, 0, 50)], np.float32)
    point = np.repeat(np.array([10, 20, 1000, 7], np.float32), 10).reshape(4, 5, 2)
    cells = Faces(box, point, np.array([1, 1, 0.5, 0.9], np.float32))
    kept = blended(cells.take(np.array([0])), cells)
    expected = (10 + 20 + 1000 / 256) / (2 + 1 / 256)
    np.testing.assert_allclose(kept.landmark_F52, np.full((1, 5, 2), expected), rtol=1e-6)
    assert (kept.box_F4 == box[:1]).all()
    assert len(blended(Faces.none(), cells)) == 0


def test_suppression_keeps_the_better_of_two_that_overlap() -> None:
    box = np.array([[0, 0, 10, 10], [1, 0, 10, 10], [20, 0, 10, 10]], np.float32)
    faces = Faces(box, np.zeros((3, 5, 2), np.float32), np.array([0.8, 0.9, 0.7], np.float32))
    assert suppress(faces, 0.3, 10).score_F.tolist() == pytest.approx([0.9, 0.7])
    assert suppress(faces, 0.9, 10).score_F.tolist() == pytest.approx([0.9, 0.8, 0.7])
    assert suppress(faces, 0.9, 1).score_F.tolist() == pytest.approx([0.9])


def test_overlap_of_known_boxes() -> None:
    a = np.array([[0, 0, 2, 2]], float)
    b = np.array([[1, 0, 2, 2], [5, 5, 1, 1], [0, 0, 2, 2]], float)
    np.testing.assert_allclose(overlap(a, b), [[1 / 3, 0, 1]])


def test_decodes_a_real_picture_as_opencv_does() -> None:
    if not (YUNET.exists() and PORTRAIT.exists()):
        pytest.skip(f"SKIPPED: no {YUNET} or {PORTRAIT}; set OSTIARY_SHARED")
    from facetrain.detector.teacher import YuNetTeacher

    picture = cv2.imread(str(PORTRAIT))
    assert picture is not None
    picture = cv2.resize(picture, (480, 640))
    _, theirs = cv2.FaceDetectorYN.create(str(YUNET), "", (480, 640), 0.6, 0.3, 5000).detect(
        picture
    )
    ours = faces_of(YuNetTeacher(YUNET).dense(picture[None])[0], 640, 480, score_min=0.6)
    assert len(ours) == len(theirs) == 1
    np.testing.assert_allclose(ours.score_F, theirs[:, 14], atol=1e-4)
    np.testing.assert_allclose(ours.box_F4, theirs[:, :4], atol=0.05)
    np.testing.assert_allclose(ours.landmark_F52.reshape(-1, 10), theirs[:, 4:14], atol=0.05)


def test_outputs_are_stacked_in_the_order_of_cells() -> None:
    sizes = {"cls": 1, "obj": 1, "bbox": 4, "kps": 10}
    outputs = {
        name: np.full((1, (64 // int(name.split("_")[1])) ** 2, sizes[name.split("_")[0]]), at)
        for at, name in enumerate(OUTPUT_NAMES)
    }
    dense = stack_outputs(outputs)
    assert dense.shape == (1, 84, 16)
    assert dense[0, 0, [0, 1, 2, 6]].tolist() == [0, 3, 6, 9]
    assert dense[0, 83, [0, 1, 2, 6]].tolist() == [2, 5, 8, 11]


def test_each_face_takes_its_cheapest_cells_and_at_least_one() -> None:
    cell = cells(64, 64)
    face = torch.tensor([[12.0, 12, 16, 16], [44, 40, 14, 14]])
    box = decode_boxes(torch.zeros(len(cell), 4), cell)
    at = 2 * 8 + 2  # column 2, row 2, stride 8: the middle of the first face
    box[at] = face[0]
    owner, iou = assign(torch.full((len(cell),), 0.5), box, cell, face)
    assert owner[at] == 0
    assert iou[at] == pytest.approx(1, abs=1e-5)
    assert int((owner == 1).sum()) >= 1
    centre = (cell[owner == 1, :2] + 0.5) * cell[owner == 1, 2:]
    stride = cell[owner == 1, 2:]
    assert ((centre - torch.tensor([51.0, 47])).abs() < torch.maximum(2.5 * stride, stride)).all()


def test_a_cell_that_two_faces_want_goes_to_the_cheaper() -> None:
    cell = cells(32, 32)
    box = decode_boxes(torch.zeros(len(cell), 4), cell)
    box[5] = torch.tensor([4.0, 4, 16, 16])
    face = torch.tensor([[4.0, 4, 16, 16], [4, 4, 24, 24]])
    owner, _ = assign(torch.ones(len(cell)), box, cell, face)
    assert owner[5] == 0


def test_without_faces_every_cell_is_background() -> None:
    cell = cells(32, 32)
    owner, iou = assign(torch.ones(len(cell)), torch.ones(len(cell), 4), cell, torch.zeros(0, 4))
    assert (owner == -1).all()
    assert (iou == 0).all()


def test_score_loss_is_zero_at_its_own_soft_target() -> None:
    target = torch.tensor([0.0, 0.3, 0.9])
    logit = torch.tensor([-30.0, float(np.log(0.3 / 0.7)), float(np.log(9))])
    assert score_loss(logit, target) == pytest.approx(0, abs=1e-5)
    # One cell, p = 0.5 against 1: ln 2.
    assert score_loss(torch.zeros(1), torch.ones(1)) == pytest.approx(np.log(2))
    assert score_loss(torch.zeros(1), torch.ones(1), torch.tensor([3.0])) == pytest.approx(
        3 * np.log(2)
    )


def test_eiou_of_known_boxes() -> None:
    box = torch.tensor([[0.0, 0, 2, 2]])
    assert eiou_loss(box, box) == pytest.approx(0, abs=1e-5)
    # IoU 1/3, centres 1 apart in a hull of 3x2, sides equal.
    shifted = torch.tensor([[1.0, 0, 2, 2]])
    assert eiou_loss(box, shifted) == pytest.approx(1 - 1 / 3 + 1 / 13, abs=1e-5)
    # IoU 1/2, widths differ by 2 in a hull 4 wide; centres 1 apart.
    wide = torch.tensor([[0.0, 0, 4, 2]])
    assert eiou_loss(box, wide) == pytest.approx(1 - 1 / 2 + 1 / 20 + 4 / 16, abs=1e-5)


def test_landmark_loss_is_relative_to_the_face_and_ignores_what_is_unlabelled() -> None:
    target = torch.zeros(1, 5, 2)
    off = torch.zeros(1, 5, 2)
    off[0, 0, 0] = 10.0
    # 10 px of 100: (0.1 - beta / 2) over ten numbers.
    assert landmark_loss(off, target, torch.tensor([100.0])) == pytest.approx(0.009, abs=1e-6)
    target[0, 0] = torch.nan
    loss = landmark_loss(off.requires_grad_(), target, torch.tensor([100.0]))
    assert loss.tolist() == [0]
    loss.sum().backward()
    assert off.grad is not None
    assert torch.isfinite(off.grad).all()


def test_a_face_is_as_large_as_its_eyes_are_apart_but_not_arbitrarily_small() -> None:
    box = torch.tensor([[0.0, 0, 100, 100]] * 3)
    point = torch.zeros(3, 5, 2)
    point[:, 1, 0] = torch.tensor([45.0, 27, 1])
    assert eye_size(box, point).tolist() == pytest.approx([100, 60, 50])


def test_wider_labels_survive_a_round_trip(tmp_path: Path) -> None:
    points = np.arange(10, dtype=np.float32).reshape(1, 5, 2) + 0.25
    missing = np.full((1, 5, 2), np.nan, np.float32)
    pictures = [
        Labels(
            "a/1.jpg",
            np.array([[1, 2, 30, 40], [5, 6, 7, 8]], np.float32),
            np.concatenate([points, missing]),
        ),
        Labels("a/2.jpg", np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32)),
    ]
    file = tmp_path / "label.txt"
    write_wider(pictures, file)
    for found, given in zip(read_wider(file), pictures, strict=True):
        assert found.name == given.name
        np.testing.assert_allclose(found.box_G4, given.box_G4)
        np.testing.assert_allclose(found.landmark_G52, given.landmark_G52)


def test_reads_the_published_form_of_wider_labels(tmp_path: Path) -> None:
    file = tmp_path / "label.txt"
    file.write_text(
        "# 0--Parade/x.jpg\n"
        "449 330 122 149 488.906 373.643 0.0 542.089 376.442 0.0 515.031 412.83 0.0 "
        "485.174 425.893 0.0 538.357 431.491 0.0 0.82\n"
        "10 10 0 5\n"
        "1 2 3 4 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 -1 0.1\n"
    )
    (found,) = read_wider(file)
    assert found.box_G4.tolist() == [[449, 330, 122, 149], [1, 2, 3, 4]]
    assert found.landmark_G52[0, 2].tolist() == pytest.approx([515.031, 412.83])
    assert np.isnan(found.landmark_G52[1]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3 4\n", "1: a face before"),
        ("# a.jpg\n1 2 3\n", "2: 3 numbers; a face has 4, 19 or 20"),
        ("# a.jpg\n1 2 three 4\n", "2: not a number"),
        ("# a.jpg\n1 2 nan 4\n", "2: numbers must be finite"),
        ("#\n1 2 3 4\n", "1: no picture's name"),
    ],
)
def test_corrupt_labels_name_the_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "label.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_wider(file)
