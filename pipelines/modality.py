"""Whether a DICOM series can be the channel it was taken for."""

from __future__ import annotations

from pathlib import Path

from data_prep.errors import DataError

_MR_CHANNELS = ("mr", "mri", "flair", "t1", "t1w", "t1c", "t1ce", "t1gd", "t2", "t2w", "pd", "pdw", "adc", "dwi", "swi")
_MODALITY_OF_CHANNEL = {
    **dict.fromkeys(_MR_CHANNELS, "MR"),
    **{name.lower(): name for name in ("CT", "PT", "CR", "DX", "US", "MG", "NM")},
    "pet": "PT",
}
"""Codes of DICOM's Modality (0008,0060)."""


def expected_modality(channel: str) -> str | None:
    """The DICOM modality that a channel's name implies, as MR for `flair`; None where it implies none."""
    return _MODALITY_OF_CHANNEL.get(channel.lower())


def check_modality(channel: str, modality: str, path: Path) -> None:
    """Refuse a series whose header contradicts the name of the channel it was taken for.

    `modality` is DICOM's Modality (0008,0060); OT and other codes that are no kind of image contradict nothing.

    Raises:
        DataError: when the channel's name implies another modality. It begins with `path`.
    """
    expected = expected_modality(channel)
    is_alike = {modality, expected} <= {"CR", "DX"}  # both are projections by X-rays
    if expected in (None, modality) or is_alike or modality not in _MODALITY_OF_CHANNEL.values():
        return
    wanted = channel if channel.upper() == expected else f"{channel} ({expected})"
    article = "an" if modality[0] in "MN" else "a"
    problem = f"is {article} {modality} series by its header; the model was trained on {wanted}; give another"
    raise DataError(problem, path=path)
