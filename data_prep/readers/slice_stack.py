"""Pictures become slices: values of one picture, and a volume of many."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from data_prep.slicing import to_volume
from data_prep.volume import SourceGrid, Volume

_BLACK = (0, 0, 0, 255)
_WHITE_IS_ZERO, _PHOTOMETRIC = 0, 262


def pixels_of(image: Image.Image, color: bool) -> np.ndarray:
    """(1, H, W) gray or (3, H, W) RGB float32, divided by the range of the type; real numbers stay as they are.

    Colors become gray as luma (Rec. 601). What is transparent is laid over black, as a viewer with a dark screen shows
    it. Gray pictures keep their 16 bits; Pillow gives 8 of those that colors or transparency have.

    Raises:
        ValueError: when the pixels are of a type whose range is unknown.
    """
    if image.mode == "I":
        raise ValueError("it has 32-bit or signed numbers; save it with 8 or 16 bits")
    if image.mode.startswith("I;16"):
        gray = np.divide(np.asarray(image), 65535, dtype=np.float32)
        # Pillow turns such a picture's values over for 8 bits, and forgets it for 16.
        is_inverted = getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO
        return _with_channels(1 - gray if is_inverted else gray, color)
    if image.mode == "F":
        return _with_channels(np.asarray(image), color)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, _BLACK), image.convert("RGBA"))
    pixels = np.divide(np.asarray(image.convert("RGB" if color else "L")), 255, dtype=np.float32)
    return pixels.transpose(2, 0, 1) if color else pixels[None]


def volume_of(stack: np.ndarray, path: Path, sha256: str, names: tuple[str, ...] = ()) -> Volume:
    """(C, K, H, W) pictures, each as seen on a screen, as the axial slices of a volume; nothing is copied.

    Pictures have no physical unit: a pixel counts as 1 mm, and so does the distance of slices.
    """
    array = to_volume(stack, "axial")
    _, i, j, k = array.shape
    grid = SourceGrid(path=path, sha256=sha256, shape=(i, j, k), affine=np.eye(4), has_anatomy=False, slice_names=names)
    return Volume.from_file_order(array, grid)


def _with_channels(gray: np.ndarray, color: bool) -> np.ndarray:
    return np.repeat(gray[None], 3 if color else 1, axis=0)
