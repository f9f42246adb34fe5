"""Contact sheets: what the augmentations make of crops, for a person to look at."""

# R rows, V views, C channels, H height, W width.
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from facetrain.data.augment import Augment, AugmentOptions
from facetrain.data.face_set import CROP_PX, FaceSet
from facetrain.data.pictures import encode_png

HEADING_PX = 14
GAP_PX = 2


def single_operations(options: AugmentOptions | None = None) -> dict[str, AugmentOptions]:
    """Every operation alone and on every picture, with the ranges of `options`."""
    given = options or AugmentOptions.label_free()
    none = AugmentOptions.none()
    geometry = ("zoom", "shift_px", "rotation_degrees", "stretch")
    light = ("brightness", "contrast", "cast")
    return {
        "as it is": none,
        "geometry": _taking(none, given, geometry, geometry=1, flip=0.5),
        "border": replace(none, fill_border=1),
        "light": _taking(none, given, light),
        "gamma": _taking(none, given, ("gamma_span",), gamma=1),
        "grey": replace(none, grey=1),
        "occlude": replace(none, occlude=1),
        "blur": _taking(none, given, ("blur_sigma_px",), blur=1),
        "motion": _taking(none, given, ("motion_length_px",), motion=1),
        "low res": _taking(none, given, ("low_resolution_side_px",), low_resolution=1),
        "low light": _taking(none, given, ("exposure", "read_noise"), low_light=1),
        "jpeg": _taking(none, given, ("jpeg_quality",), jpeg=1),
        "swap": replace(none, swap_parts=1),
        "morph": _taking(none, given, ("morph_share",), morph=1),
    }


def operations_sheet(
    faces: FaceSet,
    path: Path,
    *,
    rows: int = 8,
    seed: int = 0,
    options: AugmentOptions | None = None,
) -> None:
    """Write a PNG with one column per operation and one row per picture (drawn by `seed`)."""
    crop_RCHW = _some(faces, rows, seed)
    columns = {
        name: Augment(single)(crop_RCHW, torch.Generator().manual_seed(seed + n))
        for n, (name, single) in enumerate(single_operations(options).items())
    }
    _write(path, list(columns), torch.stack(list(columns.values()), dim=1))


def views_sheet(
    faces: FaceSet,
    path: Path,
    options: AugmentOptions,
    *,
    rows: int = 8,
    views: int = 10,
    seed: int = 0,
) -> None:
    """Write a PNG with a row per picture: the crop, then views as training draws them."""
    crop_RCHW = _some(faces, rows, seed)
    generator = torch.Generator().manual_seed(seed)
    # Shares are of a batch: all views of all pictures are one.
    many = crop_RCHW.repeat_interleave(views, dim=0)
    drawn = Augment(options)(many, generator).unflatten(0, (len(crop_RCHW), views))
    headings = ["as it is", *(str(n + 1) for n in range(views))]
    _write(path, headings, torch.cat([crop_RCHW[:, None], drawn], dim=1))


def _taking(
    base: AugmentOptions, given: AugmentOptions, names: tuple[str, ...], **shares: float
) -> AugmentOptions:
    return replace(base, **{name: getattr(given, name) for name in names}, **shares)


def _some(faces: FaceSet, rows: int, seed: int) -> torch.Tensor:
    count = min(rows, len(faces))
    chosen = np.random.default_rng(seed).choice(len(faces), count, replace=False)
    crops = np.stack([faces.crop(int(index)) for index in chosen])
    return torch.from_numpy(crops).permute(0, 3, 1, 2).contiguous()


def _write(path: Path, headings: list[str], view_RVCHW: torch.Tensor) -> None:
    rows, columns = view_RVCHW.shape[:2]
    pitch = CROP_PX + GAP_PX
    sheet = np.full((HEADING_PX + rows * pitch, columns * pitch, 3), 255, np.uint8)
    for column, heading in enumerate(headings):
        at = (column * pitch + 3, HEADING_PX - 4)
        cv2.putText(sheet, heading, at, cv2.FONT_HERSHEY_SIMPLEX, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
        for row in range(rows):
            y, x = HEADING_PX + row * pitch, column * pitch
            view_HWC = view_RVCHW[row, column].permute(1, 2, 0).cpu().numpy()
            sheet[y : y + CROP_PX, x : x + CROP_PX] = view_HWC
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(sheet))
