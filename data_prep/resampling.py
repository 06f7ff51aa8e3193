"""Volumes onto other grids, and bias fields, through SimpleITK; grids are given as shape and RAS+ affine."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_prep.grid import Grid


def resample(array: np.ndarray, here: Grid, there: Grid, *, smooth: bool = True, outside: float = 0.0) -> np.ndarray:
    """Values of an (I, J, K) array on another grid.

    Args:
        array: on the grid `here`.
        here: where the values are.
        there: where they are wanted.
        smooth: linear interpolation, float32, of values that are averaged first where `there` is coarser; False: the
            nearest voxel, in the array's own type.
        outside: the value of voxels that lie beyond the array.
    """
    if here.is_same(there):
        return array
    import SimpleITK as sitk  # takes half a second to import, and most cohorts are not resampled

    # A sheared grid has no direction cosines, so both grids stay in voxels, and one affine leads from there to here.
    transform = np.linalg.inv(here.affine) @ there.affine
    index_to_index = sitk.AffineTransform(3)
    index_to_index.SetMatrix(transform[:3, :3].ravel().tolist())
    index_to_index.SetTranslation(transform[:3, 3].tolist())
    image = _to_image(array.astype(np.float32 if smooth else array.dtype, copy=False))
    interpolator = sitk.sitkLinear if smooth else sitk.sitkNearestNeighbor
    unit = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), tuple(np.eye(3).ravel()))
    try:
        if smooth:
            image = _blur(image, transform[:3, :3])
        result = sitk.Resample(image, there.shape, index_to_index, interpolator, *unit, outside)
    except RuntimeError as error:  # ITK has one kind of error; with sound grids only memory can be wanting
        raise MemoryError(str(error)) from error
    return _to_array(result)


def _blur(image: Any, step: np.ndarray) -> Any:
    """Average over what one coarser voxel spans, so that nothing between two samples is lost.

    The width is that of Cardoso et al. (MICCAI 2015): it takes an image whose points are as wide as its own voxels to
    one whose points are as wide as those wanted. `step` (3, 3) leads from a wanted voxel to the next, in the image's.
    """
    import SimpleITK as sitk

    spans = np.sqrt((step**2).sum(axis=1))
    variances = np.clip(spans**2 - 1, 0, None) / (8 * np.log(2))
    return sitk.DiscreteGaussian(image, variances.tolist(), 64, 0.01, False) if variances.max() > 0.01 else image


def correct_bias(array: np.ndarray, foreground: np.ndarray, shrink: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """N4 bias field correction (Tustison et al., IEEE TMI 2010) of an (I, J, K) array within its foreground.

    The field is estimated on a grid `shrink` times as coarse, and its values are positive, 1 on average over the
    foreground.

    Returns:
        The corrected array and the field it was divided by, both (I, J, K) float32.
    """
    import SimpleITK as sitk

    # N4 takes logarithms; scans with a negative background are moved up first and back afterwards.
    lift = np.float32(1 - min(float(array[foreground].min()), 1.0))
    image = _to_image(np.where(foreground, array + lift, 0).astype(np.float32))
    mask = _to_image(foreground.astype(np.uint8))
    factors = [min(shrink, max(1, n // 8)) for n in array.shape]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
    field = np.exp(_to_array(n4.GetLogBiasFieldAsImage(image)))
    field = np.where(foreground, field / field[foreground].mean(), 1).astype(np.float32)
    corrected = np.where(foreground, (array + lift) / field - lift, array).astype(np.float32)
    return corrected, field


def _to_image(array: np.ndarray) -> Any:
    """SimpleITK counts axes from the fastest, so its index (i, j, k) is that of the transposed array."""
    import SimpleITK as sitk

    if array.dtype == bool:
        array = array.astype(np.uint8)
    return sitk.GetImageFromArray(np.ascontiguousarray(array.T))


def _to_array(image: Any) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(image).T
