"""Folders of pictures: domains, patients, single pictures, or pictures with a table of attributes.

| shape | example | a patient is |
|---|---|---|
| domains | `healthy/a.png`, `tumor/b.png` | a picture |
| domains of patients | `healthy/A/1.png`, `healthy/A/2.png`, `tumor/B/1.png` | a folder, its pictures are the slices |
| attributes | `list_attr_celeba.txt`, `img_align_celeba/000001.jpg` | a picture |
| no domains | `a.png`, `b.png`; with one or more than 10 folders `A/1.png`, `A/2.png` | a picture; a folder |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from data_prep.case import Case, Failure, Source
from data_prep.errors import DataError, one_line, quote_private
from data_prep.layouts.attribute_table import ATTRIBUTES, PARTITION, find_table, read_attributes, read_partition
from data_prep.layouts.channels import Channel
from data_prep.layouts.collecting import Collection
from data_prep.layouts.domain_folders import attribute_names, domain_names
from data_prep.layouts.finding import Finding
from data_prep.layouts.media_files import MediaPatient, media_patients

CHANNELS = {"gray": None, "red": 0, "green": 1, "blue": 2}
"""What a picture's channels are called, and which of its channels each is; None: as gray values."""
_GRAY_MODES = ("1", "L", "LA", "La", "F", "I", "I;16", "I;16L", "I;16B")
"""Pillow's names."""
_FEW_FAILURES = 20
_TRIES = 8


def recognize(root: Path) -> str | None:
    """Why `root` is a folder of pictures; None where it holds none."""
    try:
        patients, why = _pictures(root)
        table = find_table(root, ATTRIBUTES) if patients else None
    except (DataError, OSError):
        return None
    if not patients:
        return None
    return f"pictures with the table {table.name}" if table else why


def find_picture_cases(root: Path, channels: tuple[Channel, ...] = ()) -> Finding:
    """Patients and, where folders or a table name them, their domains; no picture but the first is opened.

    Channels are gray, or red, green, blue; without `channels`, what the first picture has.

    Raises:
        DataError: when `root` is no folder or holds no picture, a channel is none of a picture's, or the table of
            attributes cannot be read.
    """
    patients, why = _pictures(root)
    if not patients:
        raise DataError("no picture found; expected files such as healthy/a.png (also .jpg, .tif)", path=root)
    chosen = media_channels(channels) or _channels_of_first(patients)
    table = find_table(root, ATTRIBUTES)
    if table:
        return _with_attributes(root, table, patients, chosen)
    collection = Collection()
    for patient in patients:
        collection.add(patient.name, patient.place, partial(_case, patient, chosen))
    domains = domain_names(collection.domains, path=root) if collection.domains else None
    return collection.finding("pictures", why, domains=domains)


def media_channels(channels: Sequence[Channel]) -> dict[str, int | None]:
    """Which channel of a picture or a frame each name means.

    Raises:
        DataError: when a name is none of `CHANNELS`, or has a pattern.
    """
    for channel in channels:
        if channel.pattern is not None:
            raise DataError(f"channel {channel.name!r} has a pattern; channels of pictures have none")
        if channel.name not in CHANNELS:
            raise DataError(f"channel {channel.name!r} is none that pictures have; known are {', '.join(CHANNELS)}")
    return {channel.name: CHANNELS[channel.name] for channel in channels}


def _pictures(root: Path) -> tuple[list[MediaPatient], str]:
    return media_patients(root, "picture", folder_is_patient=True)


def _case(patient: MediaPatient, channels: dict[str, int | None]) -> Case:
    return Case(
        patient=patient.name,
        images=_sources(patient.files, channels),
        domains=(patient.domain,) if patient.domain is not None else None,
        split=patient.split,
    )


def _sources(files: tuple[Path, ...], channels: dict[str, int | None]) -> dict[str, Source]:
    return {name: Source(format="picture", files=files, channel=number) for name, number in channels.items()}


def _channels_of_first(patients: list[MediaPatient]) -> dict[str, int | None]:
    """Gray, or red, green and blue, by the first of some pictures that can be opened."""
    from PIL import Image  # only here: to list pictures takes no library

    for patient in patients[:_TRIES]:
        try:
            with Image.open(patient.files[0]) as image:
                is_gray = image.mode in _GRAY_MODES
        except Exception:  # whatever Pillow raises on a damaged file; its reader will say what is wrong
            continue
        return {name: number for name, number in CHANNELS.items() if (number is None) == is_gray}
    return {"gray": None}


def _with_attributes(root: Path, path: Path, patients: list[MediaPatient], channels: dict[str, int | None]) -> Finding:
    table = read_attributes(path)
    partition = find_table(root, PARTITION)
    split_of = read_partition(partition) if partition else {}
    places: dict[str, list[Path]] = {}
    for patient in patients:
        for file in patient.files:
            places.setdefault(file.name, []).append(file)
    collection = Collection()
    missing: list[tuple[str, str]] = []
    ambiguous: list[tuple[str, str]] = []
    for name, holding in table.rows.items():
        files = places.pop(name, [])
        if len(files) == 1:
            stem = name.rpartition(".")[0]
            images = _sources((files[0],), channels)
            case = partial(Case, patient=stem, images=images, domains=holding, split=split_of.get(name))
            collection.add(stem, files[0], case)
        else:
            (ambiguous if files else missing).append((name, "lies in several folders" if files else "is missing"))
    known = {name for name, _ in table.problems}
    unlisted = [(name, "has no line in this table") for name in sorted(places) if name not in known]
    finding = collection.finding("pictures", f"pictures with the table {path.name}")
    several = [_failures(path, group) for group in (table.problems, missing, ambiguous, unlisted)]
    return replace(
        finding,
        failures=finding.failures + [failure for group in several for failure in group],
        domains=attribute_names(table.names, path=path),
    )


def _failures(path: Path, problems: list[tuple[str, str]]) -> list[Failure]:
    """One a picture; of many, the first stands for all."""
    few = problems if len(problems) <= _FEW_FAILURES else problems[:1]
    more = f", and {len(problems) - 1} more like it" if len(problems) > _FEW_FAILURES else ""
    return [
        Failure.of(one_line(name), DataError(f"{quote_private(name)} {problem}{more}", path=path))
        for name, problem in few
    ]
