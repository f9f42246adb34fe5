"""The views of a search's weights: PocketNet's light augmentation."""

# B batch, C channels, H height, W width

import torch
from torch import Tensor

from facetrain.preprocessing import resize

ENLARGED_PX = 128


def crop_and_flip(crop_BCHW: Tensor, generator: torch.Generator) -> Tensor:
    """Enlarge to 128 pixels, cut out a window of the crop's size anywhere, mirror half of them.

    Args:
        crop_BCHW: uint8 RGB crops.
        generator: On the crops' device; each crop draws its own window.

    Returns:
        Crops of the same size and type.
    """
    batch, _, height, width = crop_BCHW.shape
    device = crop_BCHW.device
    scale = ENLARGED_PX / height
    large_BCHW = resize(crop_BCHW, ENLARGED_PX, round(width * scale))

    def offsets(room: int) -> Tensor:
        return torch.randint(0, room + 1, (batch, 1), device=device, generator=generator)

    rows_BH = offsets(large_BCHW.shape[2] - height) + torch.arange(height, device=device)
    columns_BW = offsets(large_BCHW.shape[3] - width) + torch.arange(width, device=device)
    mirrored_B = torch.rand(batch, device=device, generator=generator) < 0.5
    columns_BW = torch.where(mirrored_B[:, None], columns_BW.flip(1), columns_BW)
    picture_B11 = torch.arange(batch, device=device)[:, None, None]
    # Indices around a slice: the channels come last.
    return large_BCHW[picture_B11, :, rows_BH[:, :, None], columns_BW[:, None, :]].permute(
        0, 3, 1, 2
    )
