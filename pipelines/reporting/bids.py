"""Reports as a BIDS derivatives dataset: the files that describe it, and sidecars of volumes.

https://bids-specification.readthedocs.io/en/stable/derivatives/introduction.html
"""

from __future__ import annotations

import csv
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_prep.atomic import write_atomically
from pipelines.plain_json import to_json
from pipelines.reporting.record import PatientReport
from pipelines.reporting.report_files import BIDS_SUFFIXES, DIFFERENCE, HEALTHY, LESIONS, ReportFiles

BIDS_VERSION = "1.10.0"

_README = f"""\
# fpgan reports

Each scan was translated to its healthy counterpart by a Fixed-Point GAN; what changed is an anomaly. Volumes lie on
the voxel grid of the scan they were made from.

| file, after the subject and the session | holds |
|---|---|
| `_desc-{HEALTHY}_<suffix>.nii.gz` | the healthy counterpart of one channel, in the units of the scan |
| `_desc-{DIFFERENCE}_<suffix>.nii.gz` | the scan minus that; 1 is the range of intensities that the model sees |
| `_desc-{DIFFERENCE}_map.nii.gz` | the same of several channels: in each voxel, of the one that changed most |
| `_desc-{LESIONS}_dseg.nii.gz`, `.tsv` | lesion candidates: the number of each, 0 elsewhere |
| `_report.html`, `.pdf`, `.json`, `_preview.png` | the report for readers, and for programs |
| `_lesions.csv` | place and size of each candidate |
| `_lesions.dcm`, `_report.dcm` | DICOM segmentation and structured report, where the scan was DICOM |

`index.html` leads to all reports, `patients.csv` lists them, `failures.csv` names what could not be used. BIDS has no
names for reports, nor for scans other than the usual MRI contrasts: `.bidsignore` lists those files.

The results are those of a research tool and no diagnosis.
"""


def write_dataset(output: Path) -> None:
    """Write `dataset_description.json`, `README.md` and `.bidsignore` into the folder of all reports.

    One that is there is left as it is: a user may have added authors or a license.

    Raises:
        OSError: when one cannot be written.
    """
    description = {
        "Name": "Reports by fpgan: healthy counterparts, difference maps and lesion candidates",
        "BIDSVersion": BIDS_VERSION,
        "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "fpgan", "Version": version("fpgan")}],
    }
    texts = {"dataset_description.json": to_json(description), "README.md": _README, ".bidsignore": _ignored()}
    for name, text in texts.items():
        if not (output / name).exists():
            _write(output / name, text)


def write_sidecars(folder: Path, files: ReportFiles, report: PatientReport, *, skull_stripped: bool) -> None:
    """Write the `.json` of each volume, and the `.tsv` that names the lesions.

    Args:
        folder: the patient's folder, with the volumes in it.
        files: its names, those of BIDS.
        report: the patient's results.
        skull_stripped: whether the scan is known to be 0 outside the brain. BIDS asks for it.

    Raises:
        OSError: when a file cannot be written.
    """
    for channel, name in zip(files.channels, files.healthy, strict=True):
        description = f"Healthy counterpart of the channel {channel}, in the units of the scan"
        _write_sidecar(folder / name, description, {"SkullStripped": skull_stripped})
    description = (
        f"Scan minus its healthy counterpart ({', '.join(files.channels)}), positive where the scan is brighter; "
        "1 is the range of intensities of the scan that the model sees; 0 outside the foreground"
    )
    _write_sidecar(folder / files.difference, description, {"SkullStripped": skull_stripped})
    description = "Lesion candidates, numbered from 1 by decreasing sum of anomaly; no reader has confirmed them"
    _write_sidecar(folder / files.lesions, description, {"Manual": False})
    with _beside(folder / files.lesions, ".tsv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["index", "name"])
        writer.writerow([0, "background"])
        writer.writerows([lesion.number, f"lesion candidate {lesion.number}"] for lesion in report.lesions)


def _ignored() -> str:
    lines = ["*.html", "*.pdf", "*.png", "*.csv", "*.dcm", "*_report.json"]
    for what in (HEALTHY, DIFFERENCE):
        lines.append(f"*_desc-{what}_*")
        lines += [f"!*_desc-{what}_{suffix}.*" for suffix in sorted(set(BIDS_SUFFIXES.values()))]
    return "\n".join(lines) + "\n"


def _write_sidecar(volume: Path, description: str, fields: dict[str, Any]) -> None:
    # "orig": no template, the space of the scan itself.
    _write(_beside(volume, ".json"), to_json({"Description": description, "SpatialReference": "orig", **fields}))


def _beside(volume: Path, suffix: str) -> Path:
    return volume.with_name(volume.name.removesuffix(".nii.gz") + suffix)


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
