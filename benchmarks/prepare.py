"""Times and memory of `fpgan prepare`: `python -m benchmarks.prepare`, a part of `make bench`.

Three ratios, each of things that alternate in one run, so that a noisy machine slows both alike:

- preparing one patient (four channels of 240 × 240 × 155, and its mask) against only inflating and decoding its four
  images, by isal and nibabel, to float32 and to nibabel's own float64;
- two worker processes against one, on the same patients, start of the processes included and not;
- the parent's memory after many small patients against that after a quarter of them.

Absolute numbers are for orientation.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip

from data_prep.case import Case
from data_prep.cohort_writer import start_cohort, write_patient
from data_prep.layouts.brats import find_brats_cases
from data_prep.layouts.channels import parse_channels
from data_prep.patient import prepare_patient
from data_prep.preparation import Preparation
from data_prep.readers.nifti import write_nifti
from data_prep.settings import CohortSettings
from pipelines.parallel import for_each

CHANNELS = ("flair", "t1", "t1ce", "t2")
SHAPE = (240, 240, 155)
LPS = np.diag([-1.0, -1, 1, 1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--worker-patients", type=int, default=200, help="patients of the comparison of workers")
    parser.add_argument("--small-patients", type=int, default=1000, help="patients of the comparison of memory")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_patient_files(folder / "brats" / "P0000", SHAPE)
        (case,) = find_brats_cases(folder / "brats", parse_channels(",".join(CHANNELS))).cases
        settings = CohortSettings(preparation=Preparation(channels=CHANNELS, size=(128, 128)))
        compare_with_decoding(case, settings, options.rounds, folder)
        compare_workers(case, settings, options.worker_patients, folder)
        compare_parent_memory(options.small_patients, folder)


def compare_with_decoding(case: Case, settings: CohortSettings, rounds: int, folder: Path) -> None:
    files = [source.files[0] for source in case.images.values()]
    output = folder / "one"
    start_cohort(output, settings)

    def write() -> None:
        (output / "records" / f"{case.patient}.json").unlink(missing_ok=True)
        write_patient(case, settings, output)

    ways: dict[str, Callable[[], object]] = {
        "inflate only": lambda: [igzip.decompress(path.read_bytes()) for path in files],
        "decode to float32": lambda: [decode(path).get_fdata(dtype=np.float32) for path in files],
        "decode to float64": lambda: [decode(path).get_fdata() for path in files],
        "prepare": lambda: prepare_patient(case, settings),
        "prepare and write": write,
    }
    times: dict[str, list[float]] = {way: [] for way in ways}
    for round_number in range(rounds + 1):
        for way, work in ways.items():
            started = time.perf_counter()
            work()
            if round_number:  # the first warms up
                times[way].append(time.perf_counter() - started)
    seconds = {way: statistics.median(values) for way, values in times.items()}
    print(f"one patient of {len(CHANNELS)} channels {SHAPE} to 128 px, median of {rounds} rounds")
    for way, value in seconds.items():
        print(f"  {way:<18} {1000 * value:6.1f} ms")
    for way in ("prepare", "prepare and write"):
        for base in ("decode to float32", "decode to float64"):
            print(f"  {way} / {base}: {seconds[way] / seconds[base]:.2f}")


def decode(path: Path) -> nib.Nifti1Image:
    return nib.Nifti1Image.from_bytes(igzip.decompress(path.read_bytes()))


def compare_workers(case: Case, settings: CohortSettings, count: int, folder: Path) -> None:
    cases = [Case(patient=f"P{n:04d}", images=case.images, mask=case.mask) for n in range(count)]
    seconds: dict[tuple[int, str], list[float]] = {}
    for round_number in range(3):
        for workers in (1, 2):
            output = folder / f"workers-{workers}-{round_number}"
            start_cohort(output, settings)
            started = first = time.perf_counter()
            work = partial(write_patient, settings=settings, output=output)
            for done, (_, outcome) in enumerate(for_each(work, cases, workers=workers), start=1):
                assert outcome is True, outcome
                if done == workers:
                    first = time.perf_counter()
            ended = time.perf_counter()
            seconds.setdefault((workers, "with start"), []).append(ended - started)
            seconds.setdefault((workers, "running"), []).append((ended - first) / (count - workers))
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    print(f"{count} such patients, {os.cpu_count()} processors, median of 3 rounds")
    for kind in ("with start", "running"):
        one, two = (statistics.median(seconds[workers, kind]) for workers in (1, 2))
        print(f"  two workers against one, {kind}: {one / two:.2f}")
    print(f"  peak memory of a worker: {memory:.2f} GB")


def compare_parent_memory(count: int, folder: Path) -> None:
    for n in range(count):
        write_patient_files(folder / "small" / f"P{n:04d}", (48, 48, 12), seed=n, channels=("flair",))
    few = folder / "few"
    few.mkdir()
    for n in range(count // 4):
        (few / f"P{n:04d}").symlink_to(folder / "small" / f"P{n:04d}")
    peaks = {}
    for source in (few, folder / "small"):
        program = (
            "import sys\nfrom pipelines.cli import app\n"
            "try:\n    app(sys.argv[1:])\nexcept SystemExit as end:\n    assert end.code == 0, end.code\n"
            "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
        )
        arguments = [
            "prepare",
            str(source),
            "-o",
            str(folder / f"{source.name}-out"),
            "--size",
            "32",
            "--field-of-view-mm",
            "48",
            "--workers",
            "2",
            "--quiet",
        ]
        done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
        peaks[source.name] = float(done.stdout) / 1e3
    few_mb, many_mb = peaks["few"], peaks["small"]
    print(f"  peak memory of the parent: {few_mb:.1f} MB for {count // 4} patients, {many_mb:.1f} MB for {count}")
    print(f"  growth: {1000 * (many_mb - few_mb) / (count - count // 4):.1f} kB a patient")


def write_patient_files(
    folder: Path, shape: tuple[int, int, int], *, seed: int = 0, channels: tuple[str, ...] = CHANNELS
) -> None:
    """A noisy ellipsoid with a bright lesion, int16, background 0: it packs about as real brains do."""
    random = np.random.default_rng(seed)
    offsets = np.meshgrid(*[(np.arange(n) - n / 2) / (0.32 * n) for n in shape], indexing="ij", sparse=True)
    distance = sum(offset**2 for offset in offsets)
    head, lesion = distance < 1, sum((offset - 0.3) ** 2 for offset in offsets) < 0.08
    folder.mkdir(parents=True)
    for channel in channels:
        values = 300 + random.normal(0, 60, shape) + 200 * lesion
        write_nifti(folder / f"{folder.name}_{channel}.nii.gz", np.where(head, values, 0).astype(np.int16), LPS)
    write_nifti(folder / f"{folder.name}_seg.nii.gz", (lesion & head).astype(np.uint8), LPS)


if __name__ == "__main__":
    main()
