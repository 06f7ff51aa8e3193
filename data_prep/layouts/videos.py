"""Videos, a file a patient: one file, `a.mp4`, `b.mp4`, or folders of domains, `healthy/a.mp4`, `tumor/b.mp4`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from data_prep.case import Case, Source
from data_prep.errors import DataError, one_line
from data_prep.layouts.channels import Channel
from data_prep.layouts.collecting import Collection
from data_prep.layouts.domain_folders import domain_names
from data_prep.layouts.finding import Finding
from data_prep.layouts.media_files import MediaPatient, media_patients
from data_prep.layouts.pictures import media_channels
from data_prep.layouts.walk import format_of


def recognize(root: Path) -> str | None:
    """Why `root` is a video or a folder of videos; None where it is neither."""
    try:
        patients, why = _videos(root)
    except (DataError, OSError):
        return None
    return why if patients else None


def find_video_cases(
    root: Path, channels: tuple[Channel, ...] = (), *, frames_per_second: float | None = None
) -> Finding:
    """Patients and, where folders name them, their domains; no video is opened.

    Channels are gray, or red, green, blue; gray without `channels`. `frames_per_second` says how many frames become
    slices; None: all.

    Raises:
        DataError: when `root` is neither a video nor a folder, holds none, or a channel is none of a video's.
    """
    patients, why = _videos(root)
    if not patients:
        raise DataError("no video found; expected files such as healthy/a.mp4 (also .avi, .mov, .mkv)", path=root)
    chosen = media_channels(channels) or {"gray": None}
    collection = Collection()
    for patient in patients:
        collection.add(patient.name, patient.place, partial(_case, patient, chosen, frames_per_second))
    domains = domain_names(collection.domains, path=root) if collection.domains else None
    return collection.finding("video", why, domains=domains)


def _videos(root: Path) -> tuple[list[MediaPatient], str]:
    if root.is_file() and format_of(root.name) == "video":
        name = root.name.rpartition(".")[0]
        return [MediaPatient(name=name, place=root, files=(root,), folders=())], one_line(f"the video {root.name}")
    return media_patients(root, "video", folder_is_patient=False)


def _case(patient: MediaPatient, channels: dict[str, int | None], frames_per_second: float | None) -> Case:
    images = {
        name: Source(format="video", files=patient.files, channel=number, frames_per_second=frames_per_second)
        for name, number in channels.items()
    }
    domains = (patient.domain,) if patient.domain is not None else None
    return Case(patient=patient.name, images=images, domains=domains, split=patient.split)
