"""Foreground: which voxels show the patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_prep.errors import DataError

ForegroundRule = Literal["constant", "zero", "otsu", "mask", "all"]
Box = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True)
class Foreground:
    """The pixels that show a patient in a stack of slices.

    `shape` is the stack's (S, rows, columns); `box` holds all of the foreground; `inside` says which pixels of the box
    are foreground, bool. `background` is the value of all other pixels of the channel, where it is one;
    `background_share` its share of the volume's faces: where it is small, it is hardly what surrounds the patient.
    """

    shape: tuple[int, int, int]
    box: Box
    inside: np.ndarray
    background: float | None = None
    background_share: float = 1.0

    @classmethod
    def of(cls, mask: np.ndarray) -> Foreground:
        """The foreground that an (S, rows, columns) bool array says.

        Raises:
            DataError: when it is empty.
        """
        box = bounding_box(mask)
        if box is None:
            raise DataError("no voxel is foreground")
        return cls(shape=mask.shape, box=box, inside=mask[box])

    def whole(self) -> np.ndarray:
        """(S, rows, columns) bool."""
        result = np.zeros(self.shape, bool)
        result[self.box] = self.inside
        return result

    def union(self, other: Foreground) -> Foreground:
        """The pixels of either."""
        pairs = zip(self.box, other.box, strict=True)
        s, r, c = box = tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in pairs)
        inside = np.zeros((s.stop - s.start, r.stop - r.start, c.stop - c.start), bool)
        for part in (self, other):
            there = tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(part.box, box, strict=True))
            inside[there] |= part.inside
        return Foreground(shape=self.shape, box=(s, r, c), inside=inside)


def find_foreground(slices: np.ndarray, rule: ForegroundRule) -> Foreground:
    """The pixels of one channel that show the patient.

    Args:
        slices: (S, rows, columns), file units.
        rule: `constant`: all but the value that surrounds the patient, 0 or any other; `zero`: all but 0; `otsu`: the
            largest connected region above Otsu's threshold, holes filled slice by slice, for scans whose background is
            noise; `all`: everything. (`mask` is a file's, not found here.)

    Raises:
        DataError: when nothing is foreground.
    """
    if rule == "all":
        return Foreground.of(np.ones(slices.shape, bool))
    if rule == "otsu":
        return Foreground.of(_above_otsu_threshold(slices))
    value, share = (0.0, 1.0) if rule == "zero" else surrounding_value(slices)
    background = slices.dtype.type(value)
    # Where integers are compared with 0, the pixels themselves say it, and a mask of the whole volume is spared.
    is_itself = background == 0 and slices.dtype.kind in "iu"
    differs = slices if is_itself else slices != background
    box = bounding_box(differs)
    if box is None:
        raise DataError(f"every voxel is {background:g}; it holds no image, export it again")
    inside = slices[box] != background if is_itself else differs[box]
    return Foreground(shape=slices.shape, box=box, inside=inside, background=float(background), background_share=share)


def surrounding_value(volume: np.ndarray) -> tuple[float, float]:
    """What surrounds the patient: the commonest value on the six faces of a volume, and its share of them.

    Skull-stripped scans have one, usually 0; z-scored files have another, often negative.
    """
    faces = [volume[0], volume[-1], volume[:, 0], volume[:, -1], volume[:, :, 0], volume[:, :, -1]]
    corner = volume[0, 0, 0]
    if all((face == corner).all() for face in faces):  # so it is mostly, and counting values takes much longer
        return float(corner), 1.0
    values, counts = np.unique(np.concatenate([face.ravel() for face in faces]), return_counts=True)
    return float(values[counts.argmax()]), float(counts.max() / counts.sum())


def bounding_box(array: np.ndarray) -> Box | None:
    """The smallest box that holds all that is not 0 in a three-dimensional array of integers or bools, if anything."""
    # "or" of integers is many times as fast as `any`, when it runs along memory and forwards.
    signs = [1 if stride > 0 else -1 for stride in array.strides]
    bits = array[tuple(slice(None, None, sign) for sign in signs)]
    near, middle, far = (int(axis) for axis in np.argsort(np.abs(array.strides), kind="stable"))
    layer, lines = (
        np.bitwise_or.reduce(bits.view(np.uint8) if bits.dtype == bool else bits, axis=axis) != 0
        for axis in (far, middle)
    )
    if not layer.any():
        return None
    used = {near: layer.any(axis=int(near < middle)), middle: layer.any(axis=int(middle < near))}
    used[far] = lines.any(axis=int(far < near))
    i, j, k = (np.flatnonzero(used[axis][:: signs[axis]])[[0, -1]].tolist() for axis in range(3))
    return slice(i[0], i[1] + 1), slice(j[0], j[1] + 1), slice(k[0], k[1] + 1)


def _above_otsu_threshold(slices: np.ndarray) -> np.ndarray:
    import cc3d
    import SimpleITK as sitk  # takes half a second to import, and few need it

    if slices.min() == slices.max():
        raise DataError(f"every voxel is {float(slices.flat[0]):g}; it holds no image, export it again")
    image = sitk.GetImageFromArray(np.ascontiguousarray(slices, np.float32))
    above = sitk.GetArrayFromImage(sitk.OtsuThreshold(image, 0, 1)).astype(bool)
    largest = cc3d.largest_k(above, k=1, connectivity=6).astype(np.uint8)
    filled = [sitk.GetArrayFromImage(sitk.BinaryFillhole(sitk.GetImageFromArray(plane))) for plane in largest]
    return np.stack(filled).astype(bool)
