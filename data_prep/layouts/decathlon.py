"""Medical Segmentation Decathlon: `dataset.json` names the modalities and lists images with their labels."""

from __future__ import annotations

import json
import os.path
import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from data_prep.case import Case
from data_prep.errors import DataError
from data_prep.layouts.channels import Channel
from data_prep.layouts.collecting import Collection, choose_each
from data_prep.layouts.finding import Finding
from data_prep.layouts.volume_files import volume_source
from data_prep.layouts.walk import exists, stem, walk

TABLE = "dataset.json"


def recognize(root: Path) -> str | None:
    """Why `root` is a task of the Decathlon; None where it is not. A `dataset.json` of other content is none."""
    path = root / TABLE
    if not exists(path):
        return None
    try:
        table = _load(path)
    except DataError:
        return f"holds {TABLE}, which cannot be read"
    if "modality" not in table or not ("training" in table or "test" in table):
        return None
    counts = [f"{len(table[part])} {part}" for part in ("training", "test") if isinstance(table.get(part), list)]
    return f"{TABLE} lists {' and '.join(counts) or 'no'} images"


def find_decathlon_cases(root: Path, channels: tuple[Channel, ...] = ()) -> Finding:
    """The training images, or the unlabeled test images where there are no others; all modalities unless asked.

    Modalities are named in lower case, with `_` for what is neither letter nor digit: `t1_gd` for `T1 (Gd)`.

    Raises:
        DataError: when `dataset.json` is missing, is damaged or lacks what is needed, or a channel fits no modality.
    """
    next(walk(root), None)  # says so when there is no such folder
    path = root / TABLE
    table = _load(path)
    modalities = _modalities(path, table)
    candidates = [(name, number) for number, name in enumerate(modalities)]
    asked = channels or tuple(Channel(name=name) for name in modalities)
    chosen = choose_each(asked, candidates, place=path, kind="modality")
    # A file of one modality has no axis of channels.
    numbers = {name: number if len(modalities) > 1 else None for name, number in chosen.items()}
    collection = Collection()
    for number, entry in enumerate(_entries(path, table), start=1):
        image, label = (entry.get("image"), entry.get("label")) if isinstance(entry, dict) else (entry, None)
        if isinstance(image, str) and PurePosixPath(image).name.startswith("."):
            continue
        patient = stem(PurePosixPath(image).name) if isinstance(image, str) else ""
        place = f"{path}: entry {number}"
        collection.add(patient or f"entry {number}", place, partial(_case, root, place, patient, image, label, numbers))
    if not collection:
        raise DataError('lists no image; expected "training": [{"image": "./imagesTr/x.nii.gz"}]', path=path)
    return collection.finding("decathlon", recognize(root) or f"asked for; {TABLE} lists images")


def _load(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"cannot be read ({error.strerror}); it lies at the top of every task of the Decathlon", path=path
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"is no valid JSON ({error}); copy it again", path=path) from error
    if not isinstance(table, dict):
        raise DataError('must be a JSON object with "modality" and "training"', path=path)
    return table


def _modalities(path: Path, table: dict[str, Any]) -> list[str]:
    """Names of the channels in the order of the file's last axis."""
    given = table.get("modality")
    if given is None:
        raise DataError('lacks "modality", such as {"0": "FLAIR"}', path=path)
    numbers = [str(number) for number in range(len(given))] if isinstance(given, dict) else []
    if not numbers or set(given) != set(numbers) or not all(isinstance(name, str) for name in given.values()):
        problem = (
            f'has "modality" {json.dumps(given)[:80]}; expected names with numbers from 0, such as {{"0": "FLAIR"}}'
        )
        raise DataError(problem, path=path)
    names = [re.sub(r"[\W_]+", "_", given[number].lower()).strip("_") or f"channel_{number}" for number in numbers]
    if len(set(names)) < len(names):
        raise DataError(f'has two modalities of one name in "modality": {", ".join(names)}; rename one', path=path)
    return names


def _entries(path: Path, table: dict[str, Any]) -> list[Any]:
    parts = [table.get(part) or [] for part in ("training", "test")]
    if "training" not in table and "test" not in table:
        raise DataError('lacks "training", such as [{"image": "./imagesTr/x.nii.gz", "label": …}]', path=path)
    if not all(isinstance(part, list) for part in parts):
        raise DataError('has a "training" or "test" that is no list', path=path)
    return parts[0] or parts[1]


def _case(root: Path, place: str, patient: str, image: Any, label: Any, numbers: dict[str, int | None]) -> Case:
    image_path = _path_below(root, place, "image", image)
    label_path = _path_below(root, place, "label", label) if label else None
    return Case(
        patient=patient,
        images={name: volume_source(image_path, channel=number) for name, number in numbers.items()},
        mask=None if label_path is None else volume_source(label_path),
    )


def _path_below(root: Path, place: str, kind: str, value: Any) -> Path:
    if not isinstance(value, str) or not value:
        raise DataError(f"has no {kind}; expected a path such as ./imagesTr/x.nii.gz", path=place)
    inside = PurePosixPath(os.path.normpath(value))
    if inside.is_absolute() or inside.parts[:1] == ("..",):
        raise DataError(f"has the {kind} {value!r}, which lies outside {root}; such files are not opened", path=place)
    if not exists(root / inside):
        raise DataError(f"does not exist; {place} names it as {kind}", path=root / inside)
    return root / inside
