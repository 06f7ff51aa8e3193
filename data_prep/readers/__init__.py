"""Files to `Volume`, one format a module; the only exception that leaves a reader is `DataError`."""

from __future__ import annotations

from data_prep.case import Source
from data_prep.volume import Volume


def read_source(source: Source) -> Volume:
    """Read what `source` names, all its channels, in RAS+. Each reader is imported when it is first needed.

    Raises:
        DataError: when a file cannot be used; the message names it.
    """
    match source.format:
        case "nifti":
            from data_prep.readers.nifti import read_nifti

            return read_nifti(source.files[0], several_channels=source.channel is not None)
        case "itk":
            from data_prep.readers.itk import read_itk

            return read_itk(source.files[0], several_channels=source.channel is not None)
        case "dicom":
            from data_prep.readers.dicom import read_dicom_series

            return read_dicom_series(source.files)
        case "picture":
            from data_prep.readers.picture import read_pictures

            return read_pictures(source.files, color=source.channel is not None)
        case "video":
            from data_prep.readers.video import read_video

            color = source.channel is not None
            return read_video(source.files[0], frames_per_second=source.frames_per_second, color=color)
