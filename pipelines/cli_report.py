"""`fpgan report`: its options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pipelines.cli_prepare import (
    FramesPerSecond,
    Layout,
    Output,
    Overwrite,
    Quiet,
    Resume,
    Scheduler,
    SkullStrip,
    Workers,
)
from pipelines.output import existing_policy

_HOLDS, _PRIVACY = "What reports hold", "Privacy"


def report(
    run: Annotated[Path, typer.Argument(help="What `fpgan train` wrote.")],
    patients: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders of one patient or of many; all that prepare takes.")
    ],
    output: Output,
    layout: Layout = "auto",
    channels: Annotated[
        str | None,
        typer.Option(
            help="The model's channels with patterns of file or series names: flair=*FLAIR*.",
            rich_help_panel="Finding patients",
        ),
    ] = None,
    frames_per_second: FramesPerSecond = None,
    skull_strip: SkullStrip = None,
    pdf: Annotated[bool, typer.Option("--pdf", help="Write report.pdf, too.", rich_help_panel=_HOLDS)] = False,
    bids: Annotated[
        bool, typer.Option("--bids", help="Lay the output out as BIDS derivatives.", rich_help_panel=_HOLDS)
    ] = False,
    keep_dates: Annotated[
        bool, typer.Option("--keep-dates", help="Let the date of the study stand in reports.", rich_help_panel=_PRIVACY)
    ] = False,
    pseudonym: Annotated[
        Literal["auto", "folder", "hash"],
        typer.Option(
            help="Call patients like their folder or file, or by a salted hash; auto hashes what comes from DICOM "
            "headers.",
            rich_help_panel=_PRIVACY,
        ),
    ] = "auto",
    key_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv", help="Write who is who, to a file outside the output.", rich_help_panel=_PRIVACY
        ),
    ] = None,
    workers: Workers = 1,
    scheduler: Scheduler = None,
    overwrite: Overwrite = False,
    resume: Resume = False,
    quiet: Quiet = False,
) -> None:
    """Write a page, tables, volumes and DICOM objects for each new patient."""
    from data_prep.layouts.channels import parse_channels
    from pipelines.report import ReportRequest
    from pipelines.report import report as run_report
    from pipelines.reporting.settings import ReportSettings
    from pipelines.screen import Screen, counted

    screen = Screen(quiet=quiet)
    request = ReportRequest(
        inputs=tuple(patients),
        layout=layout,
        channels=parse_channels(channels) if channels else (),
        frames_per_second=frames_per_second,
        settings=ReportSettings(pdf=pdf, bids=bids, keep_dates=keep_dates, skull_strip=skull_strip, naming=pseudonym),
        key_file=key_file,
    )
    existing = existing_policy(overwrite=overwrite, resume=resume)
    result = run_report(run, output, request, screen=screen, existing=existing, workers=workers, scheduler=scheduler)
    abnormal = sum(row.abnormal for row in result.rows)
    reported = counted(len(result.rows), "patient")
    screen.say(f"  {reported} reported, {abnormal} of them abnormal; {len(result.failures)} left out")
    screen.finish(output / "index.html")
    raise typer.Exit(1 if result.failures else 0)
