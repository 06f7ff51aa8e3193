"""`fpgan prepare` and `fpgan inspect`: their options, and what they show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.errors import UsageError
from pipelines.output import existing_policy

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an output that already exists.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with an output that already exists.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings and errors only.")]

_FIND, _LABEL, _SPLIT, _PREPARE, _RUN = "Finding patients", "Labels", "Splits", "Preparation", "Running"
Source = Annotated[
    Path, typer.Argument(metavar="PATH", help="Folder of patients; or a CSV file, one volume, a zip of DICOM, a video.")
]
Layout = Annotated[
    str,
    typer.Option(
        help="brats, decathlon, bids, dicom, folder, pictures, video or table; auto finds out.", rich_help_panel=_FIND
    ),
]
Channels = Annotated[
    str | None,
    typer.Option(
        help="Channels in order: flair,t1ce. With patterns of file or series names: flair=*FLAIR*,t1ce=*Gd*.",
        rich_help_panel=_FIND,
    ),
]
FramesPerSecond = Annotated[
    float | None, typer.Option(help="Frames of a video that become slices; default all.", rich_help_panel=_FIND)
]
Labels = Annotated[
    Path | None,
    typer.Option(
        help="CSV with patient, perhaps slice, and domain, or a column of 0 and 1 an attribute.", rich_help_panel=_LABEL
    ),
]
Attributes = Annotated[
    str | None,
    typer.Option(
        help="Attributes from mask labels: edema=2,non_enhancing=1+3,enhancing=4. Default: healthy and diseased.",
        rich_help_panel=_LABEL,
    ),
]
SkullStrip = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND", help='Run on each patient, as in "hd-bet -i {input} -o {output}".', rich_help_panel=_PREPARE
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Processes that work at the same time.", rich_help_panel=_RUN)]
Scheduler = Annotated[
    str | None,
    typer.Option(metavar="ADDRESS", help="Work on a running Dask cluster: tcp://host:8786.", rich_help_panel=_RUN),
]
SplitCsv = Annotated[
    Path | None, typer.Option(help="CSV with patient and split (train, validation, test).", rich_help_panel=_SPLIT)
]


def prepare(
    source: Source,
    output: Output,
    layout: Layout = "auto",
    channels: Channels = None,
    frames_per_second: FramesPerSecond = None,
    labels: Labels = None,
    attributes: Attributes = None,
    min_lesion_area: Annotated[
        int,
        typer.Option(
            min=0,
            help="Slices with some lesion, but at most so many pixels, are not trained on.",
            rich_help_panel=_LABEL,
        ),
    ] = 10,
    split_seed: Annotated[
        int,
        typer.Option(min=0, help="Decides which patient is for training, validation or test.", rich_help_panel=_SPLIT),
    ] = 0,
    split_csv: SplitCsv = None,
    folds: Annotated[
        int | None, typer.Option(min=3, help="Cross-validation with so many folds.", rich_help_panel=_SPLIT)
    ] = None,
    fold: Annotated[
        int, typer.Option(min=0, help="The fold to test on; the next one validates.", rich_help_panel=_SPLIT)
    ] = 0,
    size: Annotated[
        str,
        typer.Option(help="Pixels of a slice: one number, or height and width: 128x96.", rich_help_panel=_PREPARE),
    ] = "128",
    axis: Annotated[
        str, typer.Option(help="Plane of the slices: axial, coronal or sagittal.", rich_help_panel=_PREPARE)
    ] = "axial",
    field_of_view_mm: Annotated[
        str | None,
        typer.Option(
            help="Longer side of a slice in mm, default 192; crop: SIZE source pixels; whole: the whole slice.",
            rich_help_panel=_PREPARE,
        ),
    ] = None,
    foreground: Annotated[
        str | None,
        typer.Option(
            help="What is patient: constant (all but the constant around it), zero, otsu, mask, all.",
            rich_help_panel=_PREPARE,
        ),
    ] = None,
    intensity: Annotated[
        str | None,
        typer.Option(
            help="percentile, percentile:0.5,99.9, median, zscore:4, window:-160,240 (CT) or none.",
            rich_help_panel=_PREPARE,
        ),
    ] = None,
    spacing_mm: Annotated[
        str | None,
        typer.Option(help="Resample volumes to this voxel size: 1, or 1,1,3.", rich_help_panel=_PREPARE),
    ] = None,
    bias_correction: Annotated[
        bool, typer.Option("--bias-correction", help="N4 bias field correction.", rich_help_panel=_PREPARE)
    ] = False,
    skull_strip: SkullStrip = None,
    resample_to_first: Annotated[
        bool,
        typer.Option(
            "--resample-to-first", help="Bring channels of other grids onto the first one's.", rich_help_panel=_PREPARE
        ),
    ] = False,
    min_foreground_share: Annotated[
        float,
        typer.Option(min=0, max=1, help="Slices that show less of the patient are dropped.", rich_help_panel=_PREPARE),
    ] = 0.05,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Turn patients into a cohort of labeled slices."""
    from pipelines.prepare import prepare as run_prepare
    from pipelines.screen import Screen

    screen = Screen(quiet=quiet)
    preparation: dict[str, Any] = {
        "size": _parse_size(size),
        "axis": axis,
        "min_foreground_share": min_foreground_share,
        "bias_correction": bias_correction,
        "resample_to_first": resample_to_first,
    }
    if field_of_view_mm is not None:
        preparation["field_of_view_mm"] = _parse_field_of_view(field_of_view_mm)
    if skull_strip and foreground not in (None, "mask"):
        raise UsageError(f"--skull-strip makes a foreground mask; leave out --foreground {foreground}")
    if skull_strip or foreground is not None:
        preparation["foreground"] = foreground or "mask"
    if intensity is not None:
        preparation |= _parse_intensity(intensity)
    if spacing_mm is not None:
        steps = _parse_numbers(spacing_mm, "--spacing-mm", (1, 3))
        preparation["spacing_mm"] = steps * 3 if len(steps) == 1 else steps
    if split_csv and folds:
        raise UsageError("--split-csv and --folds exclude each other")
    request = replace(
        _request(layout, channels, frames_per_second, labels, attributes, split_csv),
        preparation=preparation,
        cohort={
            "min_lesion_area_px": min_lesion_area,
            "split_seed": split_seed,
            "folds": folds,
            "fold": fold,
            "skull_strip": skull_strip,
        },
    )
    existing = existing_policy(overwrite=overwrite, resume=resume)
    result = run_prepare(
        source, output, request, screen=screen, existing=existing, workers=workers, scheduler=scheduler
    )
    if result.summary:
        screen.finish(output)
    raise typer.Exit(1 if result.failures else 0)


def inspect(
    source: Source,
    layout: Layout = "auto",
    channels: Channels = None,
    frames_per_second: FramesPerSecond = None,
    labels: Labels = None,
    attributes: Attributes = None,
    split_csv: SplitCsv = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: one JSON document.")] = False,
) -> None:
    """List what `prepare` would use, per patient. Nothing is written, no image is read."""
    from pipelines.inspect import describe, to_json
    from pipelines.plan import plan

    planned = plan(source, _request(layout, channels, frames_per_second, labels, attributes, split_csv))
    if as_json:
        typer.echo(json.dumps(to_json(planned), indent=2))
    else:
        for line in describe(planned):
            typer.echo(line)
    raise typer.Exit(1 if planned.finding.failures else 0)


def _request(
    layout: str,
    channels: str | None,
    frames_per_second: float | None,
    labels: Path | None,
    attributes: str | None,
    splits: Path | None,
) -> Any:
    from data_prep.layouts.channels import parse_channels
    from pipelines.plan import PrepareRequest

    if labels and attributes:
        raise UsageError("--labels and --attributes exclude each other: both say what slices show")
    if frames_per_second is not None and not 0 < frames_per_second < float("inf"):
        raise UsageError(f"--frames-per-second must be more than 0, got {frames_per_second:g}")
    return PrepareRequest(
        layout=layout,
        channels=parse_channels(channels) if channels else (),
        attributes=_parse_attributes(attributes) if attributes else {},
        labels=labels,
        splits=splits,
        frames_per_second=frames_per_second,
    )


def _parse_size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) not in (1, 2) or not all(part.isascii() and part.isdigit() for part in parts):
        raise UsageError(f"--size must be a number such as 128, or height and width such as 128x96, got {text!r}")
    return int(parts[0]), int(parts[-1])


def _parse_field_of_view(text: str) -> float | str:
    return text if text in ("crop", "whole") else _parse_numbers(text, "--field-of-view-mm", (1,))[0]


def _parse_intensity(text: str) -> dict[str, Any]:
    rule, _, numbers = text.partition(":")
    setting = {
        "percentile": ("intensity_percentiles", 2),
        "zscore": ("zscore_limit", 1),
        "window": ("intensity_window", 2),
    }.get(rule)
    if setting is None or (not numbers and rule != "window"):
        return {"intensity": text}
    values = _parse_numbers(numbers, f"--intensity {rule}:", (setting[1],))
    return {"intensity": rule, setting[0]: values if setting[1] == 2 else values[0]}


def _parse_numbers(text: str, option: str, counts: tuple[int, ...]) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in counts:
        expected = " or ".join(str(count) for count in counts)
        raise UsageError(f"{option} takes {expected} numbers separated by commas, got {text!r}")
    return numbers


def _parse_attributes(text: str) -> dict[str, tuple[int, ...]]:
    attributes: dict[str, tuple[int, ...]] = {}
    for part in text.split(","):
        name, _, values = (piece.strip() for piece in part.partition("="))
        labels = values.split("+")
        numbers = tuple(int(label) for label in labels if label.strip().isdecimal() and 1 <= int(label) <= 255)
        if not name or name in attributes or len(numbers) < len(labels):
            raise UsageError(
                f"--attributes takes names with mask labels from 1 to 255, as in edema=2,core=1+3, got {text!r}"
            )
        attributes[name] = numbers
    return attributes
