"""Many views from few crops: batched torch operations under one explicit generator.

The same code runs on CPU and GPU, with no loop over pictures and no wait for the device. Costly
operations act on a fixed share of each batch. The order follows the light: who is there (mix),
where (geometry, occluders), the light on them, the lens, the sensor, the compression.
"""

# B batch, C channels, H height, W width.
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from facetrain.data import degrade, mix
from facetrain.data.draw import Draw, on_subset

Span = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentOptions:
    """Shares of a batch (0 to 1) and ranges of strength. A share of a batch is rounded up."""

    flip: float = 0.5
    geometry: float = 1.0
    zoom: Span = (0.97, 1.2)
    """Above 1 magnifies, which pushes black borders out."""
    shift_px: float = 4.0
    rotation_degrees: float = 8.0
    stretch: float = 0.03
    """One axis against the other, relative."""
    fill_border: float = 0.7
    """Black borders filled from another picture of the batch."""

    brightness: Span = (0.65, 1.35)
    contrast: Span = (0.7, 1.3)
    cast: float = 0.08
    """Gain of each colour against the others, relative."""
    gamma: float = 0.3
    gamma_span: Span = (0.6, 1.7)
    grey: float = 0.1

    occlude: float = 0.12

    blur: float = 0.15
    blur_sigma_px: Span = (0.4, 2.2)
    low_resolution: float = 0.15
    low_resolution_side_px: Span = (20.0, 90.0)
    motion: float = 0.06
    motion_length_px: Span = (3.0, 11.0)

    low_light: float = 0.1
    exposure: Span = (0.08, 0.6)
    read_noise: Span = (0.3, 3.0)
    jpeg: float = 0.25
    jpeg_quality: Span = (20.0, 92.0)

    swap_parts: float = 0.0
    """Label-free learning only, as is `morph`."""
    morph: float = 0.0
    morph_share: Span = (0.2, 0.5)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                low, high = value
                if not 0 <= low <= high:
                    raise ValueError(f"{field.name} is {value}; allowed is 0 <= low <= high")
            elif field.name == "shift_px":
                if not 0 <= value <= 56:
                    raise ValueError(f"shift_px is {value}; allowed are 0 to 56")
            elif field.name == "rotation_degrees":
                if not 0 <= value <= 180:
                    raise ValueError(f"rotation_degrees is {value}; allowed are 0 to 180")
            elif not 0 <= value <= 1:
                raise ValueError(f"{field.name} is {value}; allowed are 0 to 1")
        for name in ("zoom", "exposure", "gamma_span", "jpeg_quality", "blur_sigma_px"):
            if getattr(self, name)[0] <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be greater than 0")

    @classmethod
    def none(cls) -> Self:
        """Nothing at all: the crops as they are."""
        return cls(
            flip=0, geometry=0, fill_border=0, brightness=(1, 1), contrast=(1, 1), cast=0, gamma=0,
            grey=0, occlude=0, blur=0, low_resolution=0, motion=0, low_light=0, jpeg=0,
        )  # fmt: skip

    @classmethod
    def light(cls) -> Self:
        """Flip, small moves and light: for training with labels on plenty of pictures."""
        return cls(
            zoom=(0.97, 1.05), shift_px=2.0, rotation_degrees=4.0, stretch=0.0, fill_border=0,
            occlude=0, blur=0.05, low_resolution=0.05, motion=0, low_light=0, jpeg=0.05, gamma=0.1,
        )  # fmt: skip

    @classmethod
    def label_free(cls) -> Self:
        """Also swaps and morphs: for distillation, where the teacher sees the same view."""
        return cls(swap_parts=0.15, morph=0.15)

    def scaled(self, strength: float) -> Self:
        """All shares times `strength` in [0, 1]; ranges stay."""
        if not 0 <= strength <= 1:
            raise ValueError(f"strength is {strength}; allowed are 0 to 1")
        shares = ("occlude", "blur", "low_resolution", "motion", "low_light", "jpeg", "swap_parts")
        names = (*shares, "morph", "gamma", "grey")
        return replace(self, **{name: getattr(self, name) * strength for name in names})


class Augment:
    """Draws a view of every crop. Holds no state: the generator decides everything."""

    def __init__(self, options: AugmentOptions | None = None) -> None:
        self.options = options or AugmentOptions()

    @torch.no_grad()
    def __call__(self, crop_BCHW: Tensor, generator: torch.Generator) -> Tensor:
        """A view of each crop.

        Args:
            crop_BCHW: (B, 3, 112, 112), uint8 RGB; left as it is.
            generator: On the crops' device, or on the CPU.

        Returns:
            uint8 RGB of the same shape on the same device.
        """
        options, draw = self.options, Draw(generator, crop_BCHW.device)
        x_BCHW = crop_BCHW.float()
        x_BCHW = _mixed(x_BCHW, options, draw)
        x_BCHW = _moved(x_BCHW, options, draw)
        if options.fill_border > 0:
            x_BCHW = on_subset(x_BCHW, options.fill_border, draw, lambda x: _filled(x, draw))
        x_BCHW = on_subset(x_BCHW, options.occlude, draw, lambda x: mix.occlude(x, draw))
        x_BCHW = _lit(x_BCHW, options, draw)
        x_BCHW = _through_the_lens(x_BCHW, options, draw)
        x_BCHW = on_subset(x_BCHW, options.low_light, draw, lambda x: _dark(x, options, draw))
        x_BCHW = on_subset(x_BCHW, options.jpeg, draw, lambda x: _compressed(x, options, draw))
        return x_BCHW.round().clamp_(0, 255).to(torch.uint8)


def _mixed(x_BCHW: Tensor, options: AugmentOptions, draw: Draw) -> Tensor:
    """Morphs, then part swaps; each with another picture of the batch, as it came."""
    changed = x_BCHW
    if len(x_BCHW) < 2:
        return changed
    if options.morph > 0:
        chosen, other = draw.subset(len(x_BCHW), options.morph), draw.other(len(x_BCHW))
        share = draw.uniform(options.morph_share, len(chosen))
        mixed = mix.morph(changed[chosen], x_BCHW[other[chosen]], share)
        changed = changed.index_copy(0, chosen, mixed)
    if options.swap_parts > 0:
        chosen, other = draw.subset(len(x_BCHW), options.swap_parts), draw.other(len(x_BCHW))
        mixed = mix.swap_parts(changed[chosen], x_BCHW[other[chosen]], draw)
        changed = changed.index_copy(0, chosen, mixed)
    return changed


def _filled(x_BCHW: Tensor, draw: Draw) -> Tensor:
    return mix.fill_border(x_BCHW, x_BCHW[draw.other(len(x_BCHW))])


def _moved(x_BCHW: Tensor, options: AugmentOptions, draw: Draw) -> Tensor:
    """Flip, zoom, stretch, turn and shift by one sampling; outside is the mirror image."""
    batch, side = len(x_BCHW), x_BCHW.shape[-1]
    sign_B = torch.where(draw.chance(options.flip, batch), -1.0, 1.0)
    if options.geometry <= 0:
        if options.flip <= 0:
            return x_BCHW
        return torch.where(sign_B[:, None, None, None] < 0, x_BCHW.flip(-1), x_BCHW)
    moves_B = draw.chance(options.geometry, batch).float()
    radians = options.rotation_degrees * torch.pi / 180
    angle_B = draw.uniform((-radians, radians), batch) * moves_B
    scale_B = 1 + (1 / draw.uniform(options.zoom, batch) - 1) * moves_B
    stretch_B = 1 + draw.uniform((-options.stretch, options.stretch), batch) * moves_B
    reach = 2 * options.shift_px / side
    shift_B2 = draw.uniform((-reach, reach), batch, 2) * moves_B[:, None]
    cos, sin = angle_B.cos() * scale_B, angle_B.sin() * scale_B
    rows = [
        torch.stack([cos * stretch_B * sign_B, -sin, shift_B2[:, 0]], dim=1),
        torch.stack([sin * stretch_B * sign_B, cos, shift_B2[:, 1]], dim=1),
    ]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(x_BCHW.shape), align_corners=False)
    return F.grid_sample(x_BCHW, grid, padding_mode="reflection", align_corners=False)


def _lit(x_BCHW: Tensor, options: AugmentOptions, draw: Draw) -> Tensor:
    """Gamma, then brightness, contrast and cast as one gain and offset, then grey."""

    def bent(x: Tensor) -> Tensor:
        exponent = draw.log_uniform(options.gamma_span, len(x), 1, 1, 1)
        return (x.clamp(0, 255) / 255).pow(exponent) * 255

    def greyed(x: Tensor) -> Tensor:
        weights = torch.tensor([0.299, 0.587, 0.114], device=x.device).view(1, 3, 1, 1)
        return (x * weights).sum(dim=1, keepdim=True).expand_as(x)

    batch = len(x_BCHW)
    x_BCHW = on_subset(x_BCHW, options.gamma, draw, bent)
    contrast = draw.uniform(options.contrast, batch, 1, 1, 1)
    brightness = draw.uniform(options.brightness, batch, 1, 1, 1)
    cast = 1 + draw.uniform((-options.cast, options.cast), batch, 3, 1, 1)
    pivot = x_BCHW.mean(dim=(1, 2, 3), keepdim=True)
    gain = contrast * brightness * cast
    x_BCHW = torch.addcmul((1 - contrast) * pivot * brightness * cast, x_BCHW, gain).clamp_(0, 255)
    return on_subset(x_BCHW, options.grey, draw, greyed)


def _through_the_lens(x_BCHW: Tensor, options: AugmentOptions, draw: Draw) -> Tensor:
    def blurred(x: Tensor) -> Tensor:
        return degrade.gaussian_blur(x, draw.log_uniform(options.blur_sigma_px, len(x)))

    def coarse(x: Tensor) -> Tensor:
        side_B = draw.log_uniform(options.low_resolution_side_px, len(x))
        return degrade.low_resolution(x, side_B, draw.uniform((0.0, 0.75), len(x))).clamp(0, 255)

    def smeared(x: Tensor) -> Tensor:
        length_B = draw.uniform(options.motion_length_px, len(x))
        return degrade.motion_blur(x, length_B, draw.uniform((0.0, torch.pi), len(x)))

    x_BCHW = on_subset(x_BCHW, options.blur, draw, blurred)
    x_BCHW = on_subset(x_BCHW, options.motion, draw, smeared)
    return on_subset(x_BCHW, options.low_resolution, draw, coarse)


def _dark(x_BCHW: Tensor, options: AugmentOptions, draw: Draw) -> Tensor:
    batch = len(x_BCHW)
    exposure_B = draw.log_uniform(options.exposure, batch)
    # Cameras make up for most of the loss.
    gain_B = draw.uniform((0.5, 1.0), batch)
    return degrade.low_light(
        x_BCHW, exposure_B, gain_B, draw.uniform(options.read_noise, batch), draw
    )


def _compressed(x_BCHW: Tensor, options: AugmentOptions, draw: Draw) -> Tensor:
    return degrade.jpeg(x_BCHW, draw.uniform(options.jpeg_quality, len(x_BCHW)))
