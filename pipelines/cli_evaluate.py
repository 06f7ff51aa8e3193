"""`fpgan evaluate` and `fpgan compare`: their options, and what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_prepare import Output, Overwrite, Quiet
from pipelines.errors import UsageError
from pipelines.output import existing_policy


def evaluate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN COHORT",
            help="What `fpgan train` wrote, and the cohort it was trained on. With --maps, the cohort alone.",
        ),
    ],
    output: Output,
    maps: Annotated[
        Path | None,
        typer.Option(help="Evaluate the maps of another method instead of a run: a folder of <patient>.nii.gz."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a choice of the evaluation: min_size_px=5."),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Measure detection and localization on the cohort's test patients, beside what needs no training."""
    from pipelines.config import load_protocol
    from pipelines.evaluate import evaluate as evaluate_run
    from pipelines.evaluate import evaluate_maps
    from pipelines.reporting.summary import print_metrics
    from pipelines.screen import Screen

    wanted = 1 if maps else 2
    if len(paths) != wanted:
        asked = "--maps takes one path, the cohort" if maps else "give two paths, a run and its cohort, or --maps DIR"
        raise UsageError(f"{asked}; got {len(paths)}")
    screen, existing, protocol = Screen(quiet=quiet), existing_policy(overwrite=overwrite), load_protocol(set_ or [])
    if maps:
        metrics = evaluate_maps(maps, paths[0], output, screen=screen, existing=existing, protocol=protocol)
    else:
        metrics = evaluate_run(paths[0], paths[1], output, screen=screen, existing=existing, protocol=protocol)
    print_metrics(metrics, screen, title="maps" if maps else "model")
    screen.finish(output / "index.html")


def compare(
    evaluations: Annotated[
        list[Path],
        typer.Argument(metavar="EVALUATION...", help="What `fpgan evaluate` wrote; the first is compared with."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for comparison.csv and comparison.json.")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Put evaluations of the same patients side by side, with paired intervals of their differences."""
    from pipelines.compare import compare as compare_evaluations
    from pipelines.compare import write_comparison
    from pipelines.reporting.summary import print_comparison
    from pipelines.screen import Screen

    screen = Screen()
    comparison = compare_evaluations(evaluations, screen=screen)
    if output:  # before the table, whose reader may stop reading
        write_comparison(comparison, output, existing_policy(overwrite=overwrite), inputs=evaluations)
    print_comparison(comparison.numbers, comparison.differences, screen)
    screen.say("* the 95 % interval of the difference, over resamples of the patients, does not hold 0")
    if output:
        screen.finish(output)
