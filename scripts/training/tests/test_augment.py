from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from facetrain.data import degrade, mix
from facetrain.data.augment import Augment, AugmentOptions
from facetrain.data.draw import Draw, on_subset
from facetrain.data.packed import PackedFaces
from facetrain.data.preview import operations_sheet, single_operations, views_sheet


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(count: int = 6) -> Tensor:
    """Smooth colour fields with an ellipse, nowhere black or symmetric: uint8 (B, 3, 112, 112)."""
    y, x = np.mgrid[0:112, 0:112]
    crops = np.empty((count, 112, 112, 3), np.uint8)
    for n in range(count):
        field = np.stack([60 + x, 200 - y, 90 + (x + 2 * y) // 3 + 5 * n], -1)
        crops[n] = np.clip(field, 20, 255)
        cv2.ellipse(crops[n], (50, 60), (25 + n, 33), 10.0, 0, 360, (200, 150, 120 + 10 * n), -1)
    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()


def image(x_BCHW: Tensor, index: int = 0) -> np.ndarray:
    return x_BCHW[index].permute(1, 2, 0).contiguous().numpy()


def test_the_generator_decides_everything() -> None:
    crops = drawn()
    before = crops.clone()
    augment = Augment(AugmentOptions.label_free())
    first = augment(crops, generator(1))
    assert torch.equal(first, augment(crops, generator(1)))
    assert not torch.equal(first, augment(crops, generator(2)))
    assert first.dtype == torch.uint8
    assert first.shape == crops.shape
    assert torch.equal(crops, before)


def test_nothing_changes_nothing() -> None:
    crops = drawn()
    assert torch.equal(Augment(AugmentOptions.none())(crops, generator()), crops)


def test_flip_alone_is_exact() -> None:
    crops = drawn()
    options = replace(AugmentOptions.none(), flip=1)
    assert torch.equal(Augment(options)(crops, generator()), crops.flip(-1))


@pytest.mark.parametrize("name", sorted(set(single_operations()) - {"as it is", "border"}))
def test_every_operation_changes_the_pictures_and_leaves_them_recognisable(name: str) -> None:
    crops = drawn()
    views = Augment(single_operations()[name])(crops, generator(3))
    difference = (views.float() - crops.float()).abs().mean(dim=(1, 2, 3))
    assert (difference > 0.001).all()
    assert difference.mean() < 110


def test_a_single_picture_can_be_augmented() -> None:
    views = Augment(AugmentOptions.label_free())(drawn(1), generator())
    assert views.shape == (1, 3, 112, 112)


def test_a_share_of_the_batch_is_changed() -> None:
    x = torch.zeros(10, 3, 4, 4)
    changed = on_subset(x, 0.25, Draw(generator(), x.device), lambda part: part + 1)
    assert int(changed[:, 0, 0, 0].sum()) == 3
    assert torch.equal(on_subset(x, 0.0, Draw(generator(), x.device), lambda p: p + 1), x)


def test_geometry_moves_points_where_the_parameters_say() -> None:
    crops = torch.zeros(1, 3, 112, 112, dtype=torch.uint8)
    crops[:, :, 20:24, 80:84] = 255
    still = replace(AugmentOptions.none(), shift_px=0, rotation_degrees=0, stretch=0)
    options = replace(still, geometry=1, zoom=(1.25, 1.25))
    bright = Augment(options)(crops, generator())[0, 0].float()
    weight = bright / bright.sum()
    at = torch.arange(112).float()
    assert float((weight.sum(0) * at).sum()) == pytest.approx(55.5 + 1.25 * (81.5 - 55.5), abs=0.1)
    assert float((weight.sum(1) * at).sum()) == pytest.approx(55.5 + 1.25 * (21.5 - 55.5), abs=0.1)


@pytest.mark.parametrize("sigma", [0.6, 1.0, 2.2])
def test_blur_is_opencvs(sigma: float) -> None:
    x = drawn(2).float()
    blurred = degrade.gaussian_blur(x, torch.full((2,), sigma))
    wanted = cv2.GaussianBlur(image(x), (21, 21), sigma)
    assert np.abs(image(blurred) - wanted)[12:-12, 12:-12].max() < 0.1


@pytest.mark.parametrize("side", [56, 28, 16])
def test_low_resolution_is_opencvs_area_and_cubic(side: int) -> None:
    x = drawn(2).float()
    coarse = degrade.low_resolution(x, torch.full((2,), float(side)), torch.full((2,), 0.75))
    small = cv2.resize(image(x), (side, side), interpolation=cv2.INTER_AREA)
    wanted = cv2.resize(small, (112, 112), interpolation=cv2.INTER_CUBIC)
    edge = 2 * 112 // side
    assert np.abs(image(coarse) - wanted)[edge:-edge, edge:-edge].max() < 0.1


def test_low_resolution_of_broken_sizes_keeps_a_field_even() -> None:
    x = torch.full((4, 3, 112, 112), 77.0)
    coarse = degrade.low_resolution(x, torch.tensor([20.3, 33.7, 111.9, 1.0]), torch.rand(4))
    assert torch.allclose(coarse, x, atol=1e-2)


def test_motion_blurs_along_its_line_only() -> None:
    x = torch.zeros(2, 3, 41, 41)
    x[:, :, 20, 20] = 100.0
    smeared = degrade.motion_blur(x, torch.tensor([9.0, 9.0]), torch.tensor([0.0, torch.pi / 2]))
    assert torch.allclose(smeared.sum(dim=(2, 3)), torch.full((2, 3), 100.0), atol=1e-3)
    assert float(smeared[0, 0, 20].sum()) == pytest.approx(100, abs=1e-3)
    assert float(smeared[1, 0, :, 20].sum()) == pytest.approx(100, abs=1e-3)
    assert int((smeared[0, 0, 20] > 1).sum()) in (9, 10, 11)


@pytest.mark.parametrize("quality", [15, 40, 75, 95])
def test_jpeg_loses_what_libjpeg_loses(quality: int) -> None:
    crops = drawn(1)
    noise = torch.randint(-20, 20, crops.shape, generator=generator())
    x = (crops + noise).clamp(0, 255).float()
    ours = image(degrade.jpeg(x, torch.tensor([float(quality)])))
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    done, data = cv2.imencode(".jpg", image(x).astype(np.uint8)[..., ::-1], flags)
    assert done
    decoded = cv2.imdecode(data, cv2.IMREAD_COLOR)
    assert decoded is not None
    wanted = decoded[..., ::-1].astype(np.float32)
    loss = np.abs(wanted - image(x)).mean()
    # Chroma is magnified by another filter than libjpeg's; the loss itself is the same.
    assert np.abs(ours - wanted).mean() < 0.35 * loss
    assert np.abs(ours - image(x)).mean() == pytest.approx(loss, rel=0.1)


def test_low_light_has_the_noise_of_its_photons() -> None:
    x = torch.full((2, 3, 112, 112), 120.0)
    draw = Draw(generator(), x.device)
    dark = degrade.low_light(
        x, torch.tensor([0.1, 0.1]), torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]), draw
    )
    deviation = (12.0 * 255 / degrade.FULL_WELL + 1.0) ** 0.5
    assert float(dark[0].mean()) == pytest.approx(12, abs=0.1)
    assert float(dark[0].std()) == pytest.approx(deviation, rel=0.03)
    assert float(dark[1].mean()) == pytest.approx(120, abs=0.5)
    assert float(dark[1].std()) == pytest.approx(10 * deviation, rel=0.03)


def test_black_borders_are_filled_and_dark_insides_are_not() -> None:
    x = drawn(2).float()
    x[0, :, :30] = 3.0
    x[0, :, 60:70, 50:60] = 0.0
    filled = mix.fill_border(x, x.flip(0))
    assert float(filled[0].amax(dim=0)[:32].min()) > 20
    assert torch.equal(filled[0, :, 62:68, 52:58], x[0, :, 62:68, 52:58])
    assert torch.equal(filled[0, :, 36:], x[0, :, 36:])
    assert torch.equal(filled[1], x[1])


def test_occluders_hide_a_part() -> None:
    x = drawn(64).float()
    hidden = ((mix.occlude(x, Draw(generator(), x.device)) - x).abs().amax(1) > 4).float()
    share = hidden.mean(dim=(1, 2))
    assert float(share.min()) > 0.003
    assert float(share.max()) < 0.6


def test_swapped_parts_come_from_the_other_face() -> None:
    x = drawn(8).float()
    other = torch.full_like(x, 100.0)
    swapped = mix.swap_parts(x, other, Draw(generator(), x.device))
    changed = (swapped - x).abs().amax(1) > 1
    assert changed.flatten(1).any(dim=1).all()
    assert not changed.flatten(1).all(dim=1).any()
    assert torch.equal(mix.morph(x, other, torch.zeros(8)), x)
    assert torch.equal(mix.morph(x, other, torch.ones(8)), other)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("flip", 1.5, "flip is 1.5; allowed are 0 to 1"),
        ("zoom", (1.2, 1.0), "zoom is .*low <= high"),
        ("zoom", (0.0, 1.0), "zoom is .*greater than 0"),
        ("shift_px", 60.0, "shift_px is 60.0; allowed are 0 to 56"),
        ("rotation_degrees", -1.0, "rotation_degrees is -1.0"),
    ],
)
def test_options_state_their_range(name: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(AugmentOptions(), **{name: value})


def test_strength_scales_shares() -> None:
    assert AugmentOptions.label_free().scaled(0.5).swap_parts == pytest.approx(0.075)
    assert AugmentOptions().scaled(0.0).jpeg == 0


def test_sheets_show_every_operation(tmp_path: Path) -> None:
    faces = PackedFaces(drawn(4), labels=np.zeros(4), num_identities=1)
    operations_sheet(faces, tmp_path / "a/operations.png", rows=2)
    views_sheet(faces, tmp_path / "views.png", AugmentOptions(), rows=2, views=3)
    sheet = cv2.imread(str(tmp_path / "a/operations.png"))
    assert sheet is not None
    assert sheet.shape == (14 + 2 * 114, 114 * len(single_operations()), 3)
    assert np.array_equal(sheet[14 : 14 + 112, :112, ::-1].shape, (112, 112, 3))
    views = cv2.imread(str(tmp_path / "views.png"))
    assert views is not None
    assert views.shape == (14 + 2 * 114, 4 * 114, 3)
