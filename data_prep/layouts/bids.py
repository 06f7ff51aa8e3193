"""BIDS: `sub-01/[ses-2/]anat/sub-01_[ses-2_]T1w.nii.gz`, lesion masks below `derivatives` or beside the images."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from data_prep.case import Case
from data_prep.errors import DataError, one_line
from data_prep.layouts.bids_files import BidsFile, derived_files, original_files
from data_prep.layouts.bids_masks import brain_mask, is_brain_mask, is_lesion_mask, lesion_mask
from data_prep.layouts.bids_participants import Participants
from data_prep.layouts.brats import ALIASES
from data_prep.layouts.channels import Channel
from data_prep.layouts.collecting import Collection, choose_each, unless_unclear
from data_prep.layouts.domain_folders import domain_names
from data_prep.layouts.finding import Finding
from data_prep.layouts.volume_files import listed, volume_source
from data_prep.layouts.walk import exists, walk

DESCRIPTION = "dataset_description.json"


def recognize(root: Path) -> str | None:
    """Why `root` is a BIDS data set; None where it is not."""
    if exists(root / DESCRIPTION):
        return f"holds {DESCRIPTION}"
    try:
        examples = [files[0] for files in original_files(root).values() if files]
    except (DataError, OSError):
        return None
    folders = "1 sub-* folder holds" if len(examples) == 1 else f"{len(examples)} sub-* folders hold"
    return one_line(f"{folders} files such as {examples[0].path.name}") if examples else None


def find_bids_cases(root: Path, channels: tuple[Channel, ...] = ()) -> Finding:
    """Each session of each subject; without `channels`, the suffixes that every subject has.

    A channel is a suffix in lower case, with or without the `w` at its end: `t1` for `T1w`; `t1ce` is a `T1w` with an
    entity `ce`. `participants.tsv` tells the domain of each subject.

    Raises:
        DataError: when `root` is no folder, holds no image, no suffix is common to all subjects, or
            `participants.tsv` cannot be used.
    """
    next(walk(root), None)  # says so when there is no such folder
    subjects = original_files(root)
    if not any(file.channel for files in subjects.values() for file in files):
        raise DataError("no image found; expected files such as sub-01/anat/sub-01_T1w.nii.gz", path=root)
    asked, why = channels, recognize(root) or "asked for"
    if not asked:
        asked, left_out = _common_channels(root, list(subjects.values()))
        why += f"; left out unless --channels names them: {left_out}" if left_out else ""
    masks = [file for files in (*subjects.values(), derived_files(root)) for file in files]
    masks = [file for file in masks if is_lesion_mask(file) or is_brain_mask(file)]
    participants = Participants(root)
    collection = Collection()
    for folder, files in subjects.items():
        images = [file for file in files if file.channel]
        sessions = sorted({file.session for file in images}) or [""]
        own_masks = [mask for mask in masks if mask.subject == folder.name]
        for session in sessions:
            # A mask without a session can only be told where there is no choice.
            possible = (session, "") if len(sessions) == 1 else (session,)
            collection.add(
                f"{folder.name}_{session}" if session else folder.name,
                folder / session,
                partial(
                    _case,
                    folder / session,
                    [file for file in images if file.session == session],
                    [mask for mask in own_masks if mask.session in possible],
                    asked,
                    participants,
                ),
            )
    domains = domain_names(collection.domains, path=participants.path) if collection.domains else None
    return collection.finding("bids", why, domains=domains)


def _common_channels(root: Path, subjects: Iterable[list[BidsFile]]) -> tuple[tuple[Channel, ...], str]:
    """What every subject with images has, and in words what only some have.

    Anatomical images are meant if there are any: others are mostly series in time.
    """
    images = [[file for file in files if file.channel] for files in subjects]
    is_anatomical = any(file.datatype == "anat" for files in images for file in files)
    found = [{f.channel for f in files if not is_anatomical or f.datatype == "anat"} for files in images if files]
    common = set.intersection(*found)
    others = sorted(set.union(*found) - common)
    shares = ", ".join(f"{name} in {sum(name in names for names in found)} of {len(found)}" for name in others)
    if not common:
        raise DataError(f"no kind of image is there for every subject: {shares}; choose with --channels", path=root)
    return tuple(Channel(name=name) for name in sorted(common)), shares


def _case(
    place: Path,
    images: list[BidsFile],
    masks: list[BidsFile],
    channels: tuple[Channel, ...],
    participants: Participants,
) -> Case:
    chosen = {channel.name: _image(place, images, channel) for channel in channels}
    first = next(iter(chosen.values()))
    if len({file.path for file in chosen.values()}) < len(chosen):
        raise DataError(f"one file would be two of {', '.join(chosen)}; give patterns", path=place)
    brain = brain_mask(masks, first)
    lesions, mask_problem = unless_unclear(lambda: lesion_mask(masks, first, place=place))
    return Case(
        patient=f"{first.subject}_{first.session}" if first.session else first.subject,
        subject=first.subject,
        images={name: volume_source(file.path) for name, file in chosen.items()},
        mask=volume_source(lesions) if lesions else None,
        mask_problem=mask_problem,
        foreground=volume_source(brain) if brain else None,
        domains=participants.domains_of(first.subject),
    )


def _image(place: Path, images: list[BidsFile], channel: Channel) -> BidsFile:
    key = channel.name.lower()
    key = ALIASES.get(key, key.removesuffix("w"))
    own = [file for file in images if file.channel == key]
    if channel.pattern:
        # `t1=*run-1*` means one of the t1 files where any fits; otherwise a file of whatever suffix.
        pattern = channel.pattern.lower()
        fitting = [file for file in own if fnmatchcase(file.path.name.lower(), pattern)]
        candidates = [(file.path.name, file) for file in fitting or images]
        return choose_each([channel], candidates, place=place)[channel.name]
    if not own:
        there = listed(file.path.name for file in images)
        raise DataError(f"no file for channel {channel.name}; there is {there}", path=place)
    if len(own) > 1:
        names = listed(file.path.name for file in own)
        raise DataError(f"several files for channel {channel.name}: {names}; say which, as in {key}=*word*", path=place)
    return own[0]
