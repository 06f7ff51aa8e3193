"""A table of patients: one row each, a column `patient`, and a column with the path of an image for each channel.

| column | holds |
|---|---|
| `patient` | the name of the case; must be there |
| `mask`, `foreground` | paths of a lesion mask and a brain mask |
| `subject` | who was scanned, where one person has several rows |
| `split` | train, validation or test |
| `domain` | one of several exclusive domains, such as healthy or tumor |
| any other | a channel, when it holds paths of images, DICOM folders or zip files of these |

Paths are relative to the folder of the table.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from data_prep.case import Case, Source
from data_prep.errors import DataError
from data_prep.layouts.channels import Channel
from data_prep.layouts.collecting import Collection, choose_each
from data_prep.layouts.domain_folders import domain_names
from data_prep.layouts.finding import Finding
from data_prep.layouts.table_file import Row, read_rows
from data_prep.layouts.volume_files import listed, volume_source
from data_prep.layouts.walk import exists, format_of, is_folder, walk
from data_prep.splits import SPLIT_WORDS

COLUMNS = ("patient", "mask", "foreground", "subject", "split", "domain")
"""Columns that are never a channel."""
UNKNOWN = ("", "n/a", "na", "nan")
"""Domains of these names, in any case, say that nothing is known."""
_LONGEST_NAME = 200


def recognize(root: Path) -> str | None:
    """Why `root` is a table; None where it is a folder or a file of another kind."""
    if not root.name.lower().endswith((".csv", ".tsv")) or not exists(root) or is_folder(root):
        return None
    return f"a table ({root.suffix.lower()})"


def find_table_cases(root: Path, channels: tuple[Channel, ...] = ()) -> Finding:
    """The patient of each row; without `channels`, all columns that hold paths of images, in the table's order.

    Raises:
        DataError: when the table cannot be read, lacks rows or columns, or a channel fits no column.
    """
    columns, rows = read_rows(root)
    if "patient" not in columns:
        raise DataError(f"has no column patient; its columns are {', '.join(columns)}", path=root)
    if not rows:
        raise DataError("has no row below its first line; expected one a patient", path=root)
    column_of = _columns_of_channels(root, columns, rows, channels)
    collection = Collection()
    split_of: dict[str, tuple[str | None, int]] = {}
    for row in rows:
        name = row.cells["patient"] or f"line {row.line}"
        collection.add(name, f"{root}: line {row.line}", partial(_case, root, row, column_of, split_of))
    domains = domain_names(collection.domains, path=root) if collection.domains else None
    return collection.finding("table", recognize(root) or "asked for", domains=domains)


def _columns_of_channels(
    root: Path, columns: list[str], rows: list[Row], channels: tuple[Channel, ...]
) -> dict[str, str]:
    """The column of each channel."""
    possible = [name for name in columns if name not in COLUMNS]
    of_images = [name for name in possible if _holds_paths(root, [row.cells[name] for row in rows])]
    if channels:
        # A column that is named outright is believed.
        named = [name for name in possible if name in {channel.name for channel in channels}]
        candidates = [(name, name) for name in dict.fromkeys((*of_images, *named))]
        return choose_each(channels, candidates, place=root, kind="column")
    if not of_images:
        problem = f"has no column with paths of images; its columns are {', '.join(columns)}"
        raise DataError(f"{problem}; expected one such as flair", path=root)
    return {name: name for name in of_images}


def _holds_paths(root: Path, cells: list[str]) -> bool:
    """Whether most of the cells that are not empty are paths: one wrong path must not hide a whole column."""
    filled = [cell for cell in cells if cell]
    paths = [cell for cell in filled if _ends_like_an_image(cell) or exists(root.parent / cell)]
    return bool(filled) and 2 * len(paths) >= len(filled)


def _ends_like_an_image(cell: str) -> bool:
    return format_of(cell) is not None or cell.lower().endswith(".zip")


def _case(root: Path, row: Row, column_of: dict[str, str], split_of: dict[str, tuple[str | None, int]]) -> Case:
    place = f"{root}: line {row.line}"
    if row.problem:
        raise DataError(f"{row.problem}; a path with a comma needs quotation marks", path=place)
    patient = row.cells["patient"]
    _check_name(patient, place)
    sources = {name: _source(root, row, column) for name, column in column_of.items()}
    missing = [name for name, source in sources.items() if source is None]
    if missing:
        there = [column for column in column_of.values() if row.cells[column]]
        raise DataError(f"has no {' and no '.join(missing)}; there is {listed(there)}", path=place)
    domain, subject = row.cells.get("domain", ""), row.cells.get("subject") or patient
    split = _split(row, place)
    earlier, line = split_of.setdefault(subject, (split, row.line))
    if split != earlier:
        problem = f"puts {subject!r} into {split or 'no split'}, line {line} into {earlier or 'no split'}"
        raise DataError(f"{problem}; all scans of one person belong into one", path=place)
    return Case(
        patient=patient,
        subject=subject,
        images={name: source for name, source in sources.items() if source},
        mask=_source(root, row, "mask"),
        foreground=_source(root, row, "foreground"),
        domains=None if domain.lower() in UNKNOWN else (domain,),
        split=split,
    )


def _check_name(patient: str, place: str) -> None:
    """Files are named for patients."""
    if not patient:
        raise DataError("has no patient", path=place)
    if patient in (".", "..") or any(c in "/\\" or not c.isprintable() for c in patient):
        problem = f"has the patient {patient!r}; files are named for patients, so it must have no slash or line break"
        raise DataError(problem, path=place)
    if len(patient.encode()) > _LONGEST_NAME:
        raise DataError(f"has a patient with a name of more than {_LONGEST_NAME} bytes; shorten it", path=place)


def _split(row: Row, place: str) -> str | None:
    split = row.cells.get("split", "").lower()
    if split and split not in SPLIT_WORDS:
        raise DataError(f"has the split {split!r}; expected train, validation or test", path=place)
    return SPLIT_WORDS.get(split)


def _source(root: Path, row: Row, column: str) -> Source | None:
    """What a cell names; None where it is empty."""
    cell = row.cells.get(column, "")
    if not cell:
        return None
    path = root.parent / cell
    if not exists(path):
        raise DataError(f"does not exist; {root.name} names it in line {row.line} as {column}", path=path)
    if is_folder(path):
        _, names = next(walk(path), (path, []))
        if not names:
            raise DataError(f"holds no file; {root.name} names it in line {row.line} as {column}", path=path)
        return Source(format="dicom", files=tuple(path / name for name in names))
    if path.name.lower().endswith(".zip"):
        from data_prep.archive import archive_members

        return Source(format="dicom", files=tuple(archive_members(path)))
    format = format_of(path.name)
    if format in ("nifti", "itk"):
        return volume_source(path)
    # DICOM files often have no ending at all.
    return Source(format=format or "dicom", files=(path,))
