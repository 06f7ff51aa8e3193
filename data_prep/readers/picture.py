"""PNG, JPEG and TIFF pictures, each a slice, to `Volume`."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from contextlib import nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from data_prep.errors import DataError
from data_prep.grid import MAX_VOXELS
from data_prep.readers.foreign import bounded_by_memory, read_image_bytes
from data_prep.readers.inflate import MAX_RATIO
from data_prep.readers.quiet import quiet_stderr
from data_prep.readers.slice_stack import pixels_of, volume_of
from data_prep.readers.voxels import real_values
from data_prep.volume import Volume

_FORMATS = ("PNG", "JPEG", "TIFF")
_SMALL_PIXELS = 2**22
"""Memory for this many is taken without asking whether the file can hold them."""
_PIXELS_PER_BYTE = 8 * MAX_RATIO
"""What compression can reach, with one bit a pixel."""

# A handler of its own keeps Pillow's messages about damaged files from the terminal.
logging.getLogger("PIL").addHandler(logging.NullHandler())


def read_pictures(files: tuple[Path, ...], color: bool = False) -> Volume:
    """Read pictures of one size as the axial slices of a volume: (1, I, J, K) gray, or (3, I, J, K) with `color`.

    `to_slices(volume.array[c], "axial")[k]` is picture k as a screen shows it, upright as its EXIF says. Slices are in
    the natural order of file names (img2 before img10), which `source.slice_names` lists. Values are in [0, 1], except
    those of pictures that hold real numbers. A pixel counts as 1 mm.

    Raises:
        DataError: when a file is missing, damaged, no picture, has several pages, or not the size of the others.
    """
    if not files:
        raise DataError("there is no picture to read")
    ordered = sorted(map(Path, files), key=_natural)
    path = ordered[0] if len(ordered) == 1 else ordered[0].parent
    digest = hashlib.sha256()
    stack = np.empty(0, np.float32)
    with bounded_by_memory(path):
        for index, file in enumerate(ordered):
            raw = read_image_bytes(file)
            digest.update(raw)
            pixels = _decoded(file, raw, color)
            if index == 0:
                channels, height, width = pixels.shape
                if pixels.size * len(ordered) > MAX_VOXELS:
                    raise DataError(f"holds {len(ordered)} pictures of {width} x {height}; divide them", path=path)
                stack = np.empty((channels, len(ordered), height, width), np.float32)
            elif pixels.shape[1:] != (height, width):
                size = f"{pixels.shape[2]} x {pixels.shape[1]} pixels"
                problem = f"has {size}, but {ordered[0].name} has {width} x {height}"
                raise DataError(f"{problem}; slices of one volume must be of one size", path=file)
            stack[:, index] = pixels
    return volume_of(stack, path, digest.hexdigest(), tuple(file.name for file in ordered))


def _natural(path: Path) -> tuple[list[tuple[str, int]], str]:
    parts = re.findall(r"([^0-9]*)([0-9]*)", path.name.lower())
    return [(text, int(digits or -1)) for text, digits in parts], str(path)


def _decoded(path: Path, raw: bytes, color: bool) -> np.ndarray:
    """(C, H, W) float32."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(raw), formats=_FORMATS) as image:
                _check_promises(path, image, len(raw))
                with quiet_stderr() if image.format == "TIFF" else nullcontext():
                    ImageOps.exif_transpose(image, in_place=True)
                    pixels = pixels_of(image, color)
        except DataError:
            raise
        except Image.DecompressionBombError as error:
            raise DataError(f"promises too many pixels ({error}); scale it down", path=path) from error
        except Exception as error:  # Pillow raises many kinds on damaged files
            problem = f"cannot be read as a {', '.join(_FORMATS)} picture ({_short(error)})"
            raise DataError(f"{problem}; export it again", path=path) from error
    return real_values(path, pixels)


def _check_promises(path: Path, image: Image.Image, size: int) -> None:
    pages = getattr(image, "n_frames", 1) if image.format in ("TIFF", "PNG") else 1
    if pages > 1:
        raise DataError(f"has {pages} pages; save each as a file of its own", path=path)
    pixels = image.width * image.height
    if pixels > max(_SMALL_PIXELS, _PIXELS_PER_BYTE * size):
        raise DataError(f"promises {pixels} pixels, which {size} bytes cannot hold; it is damaged", path=path)


def _short(error: Exception) -> str:
    """Pillow names the stream that a file was read into; that tells nobody anything."""
    return "its format is unknown" if isinstance(error, UnidentifiedImageError) else str(error) or repr(error)
