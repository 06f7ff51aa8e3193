"""Which files of a BIDS data set are lesion masks and brain masks, and which of them belong to an image."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from data_prep.errors import DataError
from data_prep.layouts.bids_files import BidsFile
from data_prep.layouts.volume_files import listed

_ANATOMY_PIPELINES = ("fastsurfer", "fmriprep", "freesurfer", "nibabies", "smriprep", "synthseg")
"""Their `dseg` files are tissue classes or brain regions of everybody, not lesions."""
_DATATYPES = ("anat", "ct", "dwi", "eeg", "fmap", "func", "meg", "perf", "pet")


def is_lesion_mask(file: BidsFile) -> bool:
    """`label-lesion_mask`, `desc-lesion_mask`, `desc-T1lesion_mask`, `roi`; `dseg` where somebody derived it."""
    match file.suffix.lower():
        case "roi":
            return True
        case "mask":
            return "lesion" in file.entities.lower() and not is_brain_mask(file)
        case "dseg":
            if file.pipeline is None or file.pipeline.lower().startswith(_ANATOMY_PIPELINES):
                return False
            return not any(word in file.entities.lower() for word in ("aseg", "aparc"))
    return False


def is_brain_mask(file: BidsFile) -> bool:
    """`desc-brain_mask` or `brainmask`."""
    suffix = file.suffix.lower()
    return suffix == "brainmask" or (suffix == "mask" and file.entity("desc").lower() == "brain")


def lesion_mask(candidates: Iterable[BidsFile], image: BidsFile, *, place: Path) -> Path | None:
    """The lesion mask of an image, from the masks of its subject and session; None where there is none.

    Of several, those called lesion, then those in the space of the image, then those in a folder of its datatype are
    preferred.

    Raises:
        DataError: when several are left.
    """
    preferences: tuple[Callable[[BidsFile], bool], ...] = (
        lambda mask: "lesion" in mask.entities.lower(),
        lambda mask: mask.entity("space") == image.entity("space"),
        lambda mask: mask.datatype == image.datatype,
    )
    left = [mask for mask in candidates if is_lesion_mask(mask)]
    for preferred in preferences:
        left = [mask for mask in left if preferred(mask)] or left
    if len(left) > 1:
        names = listed(str(mask.path) for mask in left)
        raise DataError(f"several files may be its lesion mask: {names}; keep one of them", path=place)
    return left[0].path if left else None


def brain_mask(candidates: Iterable[BidsFile], image: BidsFile) -> Path | None:
    """The brain mask in the space and of the datatype of an image; None where there is none, or more than one."""
    fitting = [
        mask.path
        for mask in candidates
        if is_brain_mask(mask)
        and mask.entity("space") == image.entity("space")
        and (mask.datatype == image.datatype or mask.datatype not in _DATATYPES)
    ]
    return fitting[0] if len(fitting) == 1 else None
