"""The numbers of an evaluation in the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

from pipelines.reporting.page import format_number as number
from pipelines.screen import Screen


def print_metrics(metrics: dict[str, Any], screen: Screen) -> None:
    """Print what `metrics.json` of an evaluation holds, beside what no training reaches."""
    intensity, position = metrics["baselines"]["intensity"], metrics["baselines"]["slice_position"]
    slices, pixels, lesions = metrics["slices"], metrics["pixels"], metrics["lesions"]
    table = Table("test patients", box=None, pad_edge=False)
    for column in ("model", "brightest pixel", "slice position"):
        table.add_column(column, justify="right")
    table.add_row(
        "slice AUC", number(slices["auc"]), number(intensity["slices"]["auc"]), number(position["slices"]["auc"])
    )
    table.add_row("slice AUC at equal height", number(slices["auc_position_matched"]))
    table.add_row("peak in the lesion", number(slices["peak_hit"]), number(intensity["slices"]["peak_hit"]))
    table.add_row(
        "pixel average precision",
        number(pixels["average_precision"]),
        number(intensity["pixels"]["average_precision"]),
    )
    table.add_row("lesions found", number(lesions["sensitivity"]))
    table.add_row("false positives per image", number(lesions["false_positives_per_image"]))
    if not screen.quiet:
        screen.console.print(table)
