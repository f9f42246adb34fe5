"""How an aligned crop becomes a model's input, in the words of ``pack.json``.

The daemon (``src/vision/embedder.ts``) resizes the 8-bit crop with OpenCV's bilinear filter and
then computes ``(pixel - mean) / std`` per channel in the model's channel order; the same is done
here on any device, so that a model sees in training what it will see at a door.
"""

# B batch, C channels, H height, W width

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Triple = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """Input size, channel order and normalisation of a model.

    ``mean`` and ``std`` act on pixels in [0, 255] and stand in the model's channel order.
    """

    width_px: int = 112
    height_px: int = 112
    channel_order: Literal["rgb", "bgr"] = "rgb"
    mean: Triple = (127.5, 127.5, 127.5)
    std: Triple = (127.5, 127.5, 127.5)

    def __post_init__(self) -> None:
        for name in ("width_px", "height_px"):
            if not 16 <= getattr(self, name) <= 4096:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be in 16..4096")
        if self.channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order is {self.channel_order!r}; it must be 'rgb' or 'bgr'")
        if len(self.mean) != 3 or len(self.std) != 3:
            raise ValueError("mean and std hold one number for each of the three channels")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}; every value must be greater than 0")

    def apply(self, crop_BCHW: Tensor) -> Tensor:
        """Turn crops into the model's input.

        Args:
            crop_BCHW: RGB in 0..255, uint8 or floating, any height and width. An 8-bit crop stays
                8-bit through the resize, as in the daemon; a floating one is not rounded.

        Returns:
            float32 (B, 3, height_px, width_px) on the crop's device, normalised.
        """
        if crop_BCHW.ndim != 4 or crop_BCHW.shape[1] != 3:
            raise ValueError(f"a batch of crops is (B, 3, H, W), not {tuple(crop_BCHW.shape)}")
        x_BCHW = resize(crop_BCHW, self.height_px, self.width_px).float()
        if self.channel_order == "bgr":
            x_BCHW = x_BCHW.flip(1)
        # Numbers, not tensors made from lists: no copy from the host on a GPU's critical path.
        if len(set(self.mean)) == 1 and len(set(self.std)) == 1:
            return (x_BCHW - self.mean[0]) / self.std[0]
        mean_C11 = torch.tensor(self.mean, device=x_BCHW.device).view(3, 1, 1)
        std_C11 = torch.tensor(self.std, device=x_BCHW.device).view(3, 1, 1)
        return (x_BCHW - mean_C11) / std_C11


def resize(crop_BCHW: Tensor, height_px: int, width_px: int) -> Tensor:
    """Resize as OpenCV's ``INTER_LINEAR`` does (half-pixel centres, no anti-aliasing).

    Returns:
        The same dtype for uint8 (rounded; at most one grey level from OpenCV's fixed-point result),
        else float32. The input itself where the size is already right.
    """
    if crop_BCHW.shape[-2:] == (height_px, width_px):
        return crop_BCHW
    resized_BCHW = F.interpolate(
        crop_BCHW.float(), size=(height_px, width_px), mode="bilinear", align_corners=False
    )
    if crop_BCHW.dtype == torch.uint8:
        return resized_BCHW.round_().clamp_(0, 255).to(torch.uint8)
    return resized_BCHW


POCKETNET = Preprocessing()
"""The input of every backbone of this package."""

RETAIL_0095 = Preprocessing(
    width_px=128, height_px=128, channel_order="bgr", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)
)
"""Open Model Zoo's face-reidentification-retail-0095: raw BGR pixels."""

PRESETS = {"pocketnet": POCKETNET, "retail-0095": RETAIL_0095}
"""By the names that the command line takes."""
