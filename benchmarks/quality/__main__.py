"""How well lesions are detected and localized: `python -m benchmarks.quality`, `make quality`.

Trains and evaluates the configurations of `groups.py` on its data sets, three seeds each, and writes
`benchmarks/QUALITY.md` from the result files. What is in the output folder already is not done again, so that a killed
benchmark goes on where it was; a changed configuration is. The product's own code is not looked at: give another folder
after changing it.

The results of the page are kept in `benchmarks/measured`: `--table --output benchmarks/measured` writes it of them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.quality.configuration import shortened
from benchmarks.quality.data import DATA_SETS, DataSet, Fold, folds_of, known, prepare_data
from benchmarks.quality.groups import CONFIGURATIONS, GROUPS, SHORT_GROUPS
from benchmarks.quality.plan import Run, Store, make_run, stages
from benchmarks.quality.run import do_job
from benchmarks.quality.summary import read_results
from benchmarks.quality.table import render
from pipelines.parallel import for_each
from pipelines.screen import Screen, duration

PAGE = Path(__file__).parents[1] / "QUALITY.md"


def main() -> None:
    options = _parse()
    screen = Screen()
    kind = "short" if options.short else "full"
    store = Store(results=options.output / kind / "results", trainings=options.output / "trainings")
    if not options.table:
        run_all(plan_runs(options, screen), store, workers=options.workers, screen=screen)
    page = options.output / "QUALITY.md" if options.short else PAGE
    page.write_text(render(read_results(store.results)), encoding="utf-8")
    screen.finish(page)


def plan_runs(options: argparse.Namespace, screen: Screen) -> list[Run]:
    """All runs that were asked for; prepares their data."""
    folds: dict[str, list[Fold]] = {}

    def folds_on(data: DataSet) -> list[Fold]:
        if data.name not in folds:
            cohort = prepare_data(data, options.output, real=options.real, screen=screen, workers=options.workers)
            folds[data.name] = folds_of(data, cohort, folds=options.folds)
        return folds[data.name]

    chosen = _chosen(options)
    data_sets = known({name for name, _ in chosen})
    if options.real is None and any(data.variant is None for data in data_sets):
        screen.warn("real patients are left out; give a folder of patients in BraTS layout as --real FOLDER")
        data_sets = [data for data in data_sets if data.variant is not None]
    runs = []
    for data in data_sets:
        for configuration in CONFIGURATIONS:
            others = (configuration.pretrained_on, configuration.also)
            if (data.name, configuration.name) not in chosen or any(own and data.name not in own for own in others):
                continue
            start, also = (folds_on(*known([own[data.name]]))[0] if own else None for own in others)
            used = shortened(configuration) if options.short else configuration
            runs += [make_run(used, fold, start, seed, also=also) for seed in options.seeds for fold in folds_on(data)]
    return runs


def run_all(runs: list[Run], store: Store, *, workers: int, screen: Screen) -> None:
    """Do what is not done yet. A run that fails costs a line, and what needs it another one."""
    for jobs in filter(None, stages(runs, store)):
        with screen.progress("Runs", len(jobs)) as show:
            for done, (job, outcome) in enumerate(for_each(partial(do_job, store=store), jobs, workers=workers), 1):
                if isinstance(outcome, Exception):
                    screen.warn(f"failed: {job}: {type(outcome).__name__}: {outcome}")
                else:
                    for result in outcome:
                        screen.say(_line(result))
                show(done, "")


def _line(result: dict[str, Any]) -> str:
    numbers = result["numbers"]
    auc, precision = numbers["slices.auc"], numbers["pixels.average_precision"]
    return (
        f"  {result['data']} fold {result['fold']} {result['configuration']} seed {result['seed']}: slice AUC "
        f"{auc:.3f}, pixel AP {precision:.3f}, {duration(numbers['seconds'])}"
    )


def _chosen(options: argparse.Namespace) -> set[tuple[str, str]]:
    """Names of data sets and configurations that go together."""
    groups = SHORT_GROUPS if options.short else GROUPS
    return {
        (data, configuration)
        for name, group in groups.items()
        for data in group.data
        for configuration in group.configurations
        if (not options.data or data in options.data)
        and (not options.only or {name, configuration} & set(options.only))
    }


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted({*GROUPS, *(own.name for own in CONFIGURATIONS)})
    parser.add_argument("--output", type=Path, default=Path("quality"), help="folder of all that is kept")
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="patients in BraTS layout, with flair and t1ce")
    parser.add_argument("--folds", type=int, help="of real patients; as many as there are, unless given")
    parser.add_argument("--only", type=_names(names), metavar="NAMES", help="groups or configurations")
    parser.add_argument("--data", type=_names([data.name for data in DATA_SETS]), metavar="NAMES", help="data sets")
    parser.add_argument("--seeds", type=_numbers, metavar="NUMBERS", help="0,1,2 unless given")
    parser.add_argument("--workers", type=int, help="processes; one for each core, or one with a GPU")
    parser.add_argument("--short", action="store_true", help="a part; its page goes to the output folder")
    parser.add_argument("--table", action="store_true", help="only write the page anew")
    options = parser.parse_args()
    options.seeds = options.seeds or ([0] if options.short else [0, 1, 2])
    options.workers = options.workers or (1 if torch.cuda.is_available() else os.cpu_count() or 1)
    if options.folds is not None and options.folds < 3:
        parser.error("--folds: a test, a validation and a training fold are needed, give at least 3")
    return options


def _names(allowed: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = text.split(",")
        for name in names:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(allowed)}")
        return names

    return parse


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be whole numbers, such as 0,1,2, got {text!r}") from error


if __name__ == "__main__":
    main()
