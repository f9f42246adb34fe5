import cv2
import numpy as np
import pytest
import torch

from facetrain.preprocessing import POCKETNET, RETAIL_0095, Preprocessing, resize


def crops(count: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (count, height, width, 3), dtype=np.uint8)


def nchw(crop_BHWC: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(crop_BHWC).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("size", [(128, 128), (56, 56), (80, 80), (112, 96), (31, 200)])
def test_resize_is_opencvs(size: tuple[int, int]) -> None:
    height, width = size
    crop_BHWC = crops(2, 112, 112)
    exact = np.stack(
        [cv2.resize(c, (width, height), interpolation=cv2.INTER_LINEAR) for c in crop_BHWC]
    )
    floating = np.stack(
        [
            cv2.resize(c.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
            for c in crop_BHWC
        ]
    )
    ours = resize(nchw(crop_BHWC), height, width)
    assert ours.dtype == torch.uint8
    assert (ours.int() - nchw(exact).int()).abs().max() <= 1
    ours_floating = resize(nchw(crop_BHWC).float(), height, width)
    assert (ours_floating - nchw(floating)).abs().max() < 2e-3


def test_resize_keeps_a_crop_of_the_right_size() -> None:
    crop_BCHW = nchw(crops(1, 112, 112))
    assert resize(crop_BCHW, 112, 112) is crop_BCHW


def test_pocketnet_input_is_rgb_in_minus_one_to_one() -> None:
    crop_BCHW = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    x_BCHW = POCKETNET.apply(crop_BCHW.expand(1, 3, 112, 112))
    assert x_BCHW.dtype == torch.float32
    torch.testing.assert_close(x_BCHW[0, :, 0, 0], torch.tensor([-1.0, -0.6, 1.0]))


def test_retail_input_is_raw_bgr_of_the_daemons_8_bit_resize() -> None:
    crop_BHWC = crops(1, 112, 112)
    x_BCHW = RETAIL_0095.apply(nchw(crop_BHWC))
    expected = cv2.resize(crop_BHWC[0], (128, 128), interpolation=cv2.INTER_LINEAR)[:, :, ::-1]
    assert x_BCHW.shape == (1, 3, 128, 128)
    difference = x_BCHW[0].permute(1, 2, 0).numpy() - expected.astype(np.float32)
    assert np.abs(difference).max() <= 1
    assert np.array_equal(x_BCHW.numpy(), np.round(x_BCHW.numpy()))


def test_mean_and_std_stand_in_the_models_channel_order() -> None:
    spec = Preprocessing(channel_order="bgr", mean=(1.0, 2.0, 3.0), std=(1.0, 2.0, 4.0))
    crop_BCHW = torch.tensor([30.0, 20.0, 10.0]).view(1, 3, 1, 1).expand(1, 3, 112, 112)
    torch.testing.assert_close(
        spec.apply(crop_BCHW)[0, :, 5, 5], torch.tensor([9.0, 9.0, 27.0 / 4])
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width_px": 8}, "16..4096"),
        ({"channel_order": "grb"}, "'rgb' or 'bgr'"),
        ({"std": (1.0, 0.0, 1.0)}, "greater than 0"),
    ],
)
def test_refuses(options: dict, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Preprocessing(**options)


def test_refuses_a_single_crop_without_batch() -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        POCKETNET.apply(torch.zeros(3, 112, 112))
