"""`fpgan synthesize`: its options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pipelines.cli_prepare import Output, Overwrite, Quiet, Workers
from pipelines.output import existing_policy

VariantOption = Annotated[
    Literal["default", "hard"],  # `data_prep.synthetic.Variant`, which takes too long to import for `--help`
    typer.Option("--variant", help="hard: lesions small or faint, several scanners, bright healthy structures."),
]


def synthesize(
    output: Output,
    patients: Annotated[int, typer.Option(min=1, help="How many patients to build; every fourth is healthy.")] = 64,
    variant: VariantOption = "default",
    seed: Annotated[int, typer.Option(min=0, help="Decides the patients.")] = 0,
    workers: Workers = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Build patients with known lesions, in files as BraTS has them."""
    from pipelines.screen import Screen
    from pipelines.synthesize import synthesize as write_patients

    screen, existing = Screen(quiet=quiet), existing_policy(overwrite=overwrite)
    write_patients(
        output, patients=patients, screen=screen, existing=existing, variant=variant, seed=seed, workers=workers
    )
    screen.finish(output)
