"""Times and memory of an evaluation: `python -m benchmarks.evaluation`, a part of `make bench`.

- Ratios of things that alternate in one run, so that a noisy machine slows both alike, on the same maps: components
  against scikit-image, quantization against k-means of scikit-learn, and FROC against MONAI. That they find the same is
  checked first; of k-means, which stops early, it is told how much it misses.
- All numbers of a method and of each baseline, with thresholds from a few validation patients and intervals from 1,000
  resamples: the code of `fpgan evaluate` from the opened cohort to the numbers. Synthetic patients are made one at a
  time as they are asked for; that is timed apart, and stands for reading files and for translation.
- Peak memory of that, each time in a process of its own: a tenth of the patients, all, and ten times as many on a
  smaller grid.

Absolute numbers are for orientation.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import os
import platform
import pstats
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from monai.metrics import compute_froc_curve_data, compute_froc_score
from scipy import ndimage
from skimage.measure import label, regionprops_table
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from benchmarks.synthetic_cohort import SyntheticCohort, SyntheticMaps
from evaluation.binarize import binarize
from evaluation.components import find_components
from evaluation.froc import FROC_LIMITS, froc_curve, froc_score
from evaluation.measurements import Measurements
from evaluation.numbers import measure_numbers
from evaluation.protocol import Protocol
from evaluation.quantization import quantization_cuts
from pipelines.measuring import calibrate, measure_test
from pipelines.methods import EVALUATED, Evaluated
from pipelines.metrics import all_metrics
from pipelines.screen import Screen

SMALL_GRID = (24, 96)
"""Slices, and pixels of a side, where patients are many."""


def main() -> None:
    options = _parse()
    if options.alone:
        print(json.dumps(evaluate(SyntheticCohort.make(options.patients, options.slices, options.side))))
        return
    if options.profile:
        profile(SyntheticCohort.make(1, options.slices, options.side))
        return
    print(f"{os.cpu_count()} processors, Python {platform.python_version()}, numpy {np.__version__}")
    patient = SyntheticCohort.make(1, options.slices, options.side)
    compare_components(patient, options.rounds)
    compare_quantization(patient, options.rounds)
    compare_froc(options.rounds)
    measure_scale(options)


def evaluate(cohort: SyntheticCohort) -> dict[str, Any]:
    """Seconds of wall and of processor time of each part of an evaluation, and bytes of memory."""
    protocol, screen, clock = Protocol(), Screen(mute=True), cohort.clock
    evaluated = Evaluated(
        title="", origin="", cohort=cohort, protocol=protocol, source=SyntheticMaps(cohort), model=None
    )
    clock.lap()
    calibration = calibrate(evaluated, screen)
    calibrating = clock.lap()
    test = measure_test(evaluated, calibration, screen)
    measuring = clock.lap()
    numbers = {name: measure_numbers(own, calibration.thresholds[name], protocol) for name, own in test.methods.items()}
    all_metrics(test, numbers, calibration.thresholds, protocol)
    seconds = {"validation": calibrating, "test": measuring, "numbers": clock.lap(), "making": clock.paused_seconds}
    kept = sum(getattr(own, field.name).nbytes for own in test.methods.values() for field in fields(Measurements))
    return {
        "seconds": {part: taken.tolist() for part, taken in seconds.items()},
        # Not `getrusage`: that of a process begins with what its parent had.
        "peak_bytes": 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]),
        "kept_bytes": kept / len(test.patients),
        "lesions": len(test.methods[EVALUATED].lesion_score),
        "false": len(test.methods[EVALUATED].false_score),
    }


def measure_scale(options: argparse.Namespace) -> None:
    full, tenth = (options.slices, options.side), max(1, options.patients // 10)
    print(
        "of seconds the second number is processor time; kB kept are of a patient, all methods together\n"
        "patients            grid        making    validation          test       numbers           all"
        "  peak GB  kB kept  lesions    false"
    )
    for patients, (slices, side) in [
        (tenth, full),
        (options.patients, full),
        (tenth, SMALL_GRID),
        (options.patients, SMALL_GRID),
        (10 * options.patients, SMALL_GRID),
    ]:
        costs = evaluate_alone(patients, slices, side)
        parts = ("making", "validation", "test", "numbers")
        making, *counted = (np.array(costs["seconds"][part]) for part in parts)
        shown = [f"{wall:6.1f} {processor:6.1f}" for wall, processor in (making, *counted, np.sum(counted, axis=0))]
        print(
            f"{patients:8} {slices:4} × {side:3} × {side:3} {' '.join(shown)} {costs['peak_bytes'] / 1e9:8.2f} "
            f"{costs['kept_bytes'] / 1e3:8.1f} {costs['lesions']:8} {costs['false']:8}",
            flush=True,
        )


def evaluate_alone(patients: int, slices: int, side: int) -> dict[str, Any]:
    sizes = ["--patients", str(patients), "--slices", str(slices), "--side", str(side)]
    command = [sys.executable, "-m", "benchmarks.evaluation", *sizes, "--alone"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def compare_components(cohort: SyntheticCohort, rounds: int) -> None:
    """In each slice by itself, every component with its area, centroid and largest map value."""
    patient = cohort.test_patients[0]
    maps, foreground = cohort.maps(patient), (cohort.images(patient) != 0).any(axis=1)
    for kind, sigma in (("of the map", 0.0), ("of the map smoothed", 4.0)):
        shown = ndimage.gaussian_filter(maps, (0, sigma, sigma))
        mask = binarize(shown, foreground)
        found, expected = our_components(mask, shown), their_components(mask, shown)
        np.testing.assert_allclose(in_order(found), in_order(expected), rtol=1e-6)
        print(f"components {kind}, {len(maps)} slices of {maps.shape[1]} px: {len(found) / len(maps):.0f} each")
        ways = {"find_components": our_components, "scikit-image": their_components}
        print_ratios({name: partial(way, mask, shown) for name, way in ways.items()}, rounds)


def in_order(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(np.round(rows, 6).T[::-1])]


def our_components(mask: np.ndarray, maps: np.ndarray) -> np.ndarray:
    found = find_components(mask, maps, min_size=0)
    return np.column_stack([found.slices, found.sizes, found.centroids[:, 1:], found.peaks])


def their_components(mask: np.ndarray, maps: np.ndarray) -> np.ndarray:
    rows = []
    for number, (chosen, own) in enumerate(zip(mask, maps, strict=True)):
        table = regionprops_table(label(chosen, connectivity=2), own, properties=("area", "centroid", "intensity_max"))
        rows.append(np.column_stack([np.full(len(table["area"]), number), *table.values()]))
    return np.concatenate(rows)


def compare_quantization(cohort: SyntheticCohort, rounds: int) -> None:
    values = cohort.maps(cohort.test_patients[0])[cohort.grid[0] // 2]

    def k_means(starts: int | str) -> float:
        """The largest value of the lower level."""
        found = KMeans(2, n_init=starts, random_state=0).fit(values.reshape(-1, 1))
        return float(values.ravel()[found.labels_ == np.argmin(found.cluster_centers_)].max())

    def squares(cut: float) -> float:
        return sum(float(((level - level.mean()) ** 2).sum()) for level in (exact[exact <= cut], exact[exact > cut]))

    exact = values.astype(float)
    ours, *theirs = (squares(cut) for cut in (quantization_cuts(values)[0], k_means("auto"), k_means(10)))
    print(f"two levels of a map of {values.shape[0]} × {values.shape[1]} pixels")
    print(f"  squares within levels, relative to ours: {', '.join(f'1 + {own / ours - 1:.0e}' for own in theirs)}")
    ways = {
        "quantization_cuts": lambda: quantization_cuts(values),
        "KMeans, n_init auto": lambda: k_means("auto"),
        "KMeans, n_init 10": lambda: k_means(10),
    }
    # One thread, as ours: where others keep the processors busy, threads that wait for each other take a hundred times.
    with threadpool_limits(1):
        print_ratios(ways, rounds)


def compare_froc(rounds: int) -> None:
    random = np.random.default_rng(0)
    lesions, false, images = 1000, 10_000, 1550
    hit = random.beta(5, 2, lesions)
    hit[: lesions // 5] = -np.inf
    alarms = random.beta(2, 5, false)
    found = np.maximum(hit, 0)  # MONAI's word for a missed lesion
    curve = froc_curve(hit, alarms, images)
    rates, sensitivities = compute_froc_curve_data(alarms, found, lesions, images)
    np.testing.assert_allclose(curve.false_positives_per_image, rates[::-1])
    np.testing.assert_allclose(curve.sensitivity, sensitivities[::-1])
    print(f"FROC curve and score of {lesions} lesions and {false} false candidates")
    print_ratios(
        {
            "froc_curve, froc_score": lambda: froc_score(froc_curve(hit, alarms, images)),
            "MONAI": lambda: compute_froc_score(
                *compute_froc_curve_data(alarms, found, lesions, images), eval_thresholds=FROC_LIMITS
            ),
        },
        rounds,
    )


def print_ratios(ways: dict[str, Callable[[], object]], rounds: int) -> None:
    """Median times of ways to do a thing, the first ours, and how many times as long each other one takes."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if round_number:  # the first warms up
                seconds[name].append(time.perf_counter() - started)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    own = next(iter(medians.values()))
    for name, median in medians.items():
        print(f"  {name:<24} {1000 * median:10.2f} ms  {median / own:8.1f}", flush=True)


def profile(cohort: SyntheticCohort) -> None:
    profiler = cProfile.Profile()
    profiler.enable()
    evaluate(cohort)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("cumulative").print_stats(70)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(40)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=100)
    parser.add_argument("--slices", type=int, default=155)
    parser.add_argument("--side", type=int, default=240, help="height and width of a slice in pixels")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison")
    parser.add_argument("--profile", action="store_true", help="evaluate one patient and tell where the time goes")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
