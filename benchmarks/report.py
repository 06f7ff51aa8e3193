"""Where the time of `fpgan report` goes: `python -m benchmarks.report`, a part of `make bench`.

- One patient of 240 × 240 × 155 with one, and with four channels, from files to page, with the network of the paper
  (128², base width 64): seconds by part of the work, and the peak memory of a process that does nothing else. Weights
  are random, so the network is run in full, and a plain rule stands in for its result.
- Many small patients in one process: its memory after a tenth of them and after all.

Absolute numbers are for orientation.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.networks.config import NetworkConfig
from benchmarks.prepare import CHANNELS, SHAPE, write_patient_files
from data_prep.layouts.brats import find_brats_cases
from data_prep.layouts.channels import parse_channels
from data_prep.preparation import Preparation
from evaluation.maps import MapSettings
from pipelines.operating_point import OperatingPoint
from pipelines.pseudonyms import NamedCase
from pipelines.reporter import Reporter, ReportTask
from pipelines.reporting.settings import ReportSettings

BRIGHT = 0.8
SMALL_SHAPE = (64, 64, 12)


class Darkener(FixedPointGAN):
    """Runs its network and then takes what is bright back to the middle of the scale instead.

    `slices` is how many it was last given.
    """

    slices = 0

    def translate(self, slices: Any, domain: Any = "healthy", **how: Any) -> Any:
        self.slices = len(slices)
        super().translate(slices, domain, **how)
        return np.where(slices > BRIGHT, np.float32(0.5), slices)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small-patients", type=int, default=200)
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(report_full_size(options.alone, options.rounds)))
        return
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{os.cpu_count()} processors"
    print(f"{device}, Python {platform.python_version()}, torch {torch.__version__}")
    print(f"one patient of {SHAPE}, seconds, medians of {options.rounds} rounds after one to warm up")
    for channels in (1, len(CHANNELS)):
        # In a process of its own, for its memory.
        command = [sys.executable, "-m", "benchmarks.report", "--alone", str(channels), "--rounds", str(options.rounds)]
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        parts = "  ".join(f"{part} {seconds:.2f}" for part, seconds in result["seconds"].items())
        total = sum(result["seconds"].values())
        print(
            f"{channels} channels: {parts}\n"
            f"  all {total:.2f}, all but the network {total - result['seconds']['translate']:.2f}, "
            f"the first {result['first']:.2f}\n"
            f"  {result['slices']} slices, {result['lesions']} lesions, page {result['page_bytes'] / 1e6:.1f} MB, "
            f"peak {result['peak_bytes'] / 1e9:.2f} GB"
        )
    measure_growth(options.small_patients)


def report_full_size(channels: int, rounds: int) -> dict[str, Any]:
    """Seconds by part of one patient's report, the lesions it found, and the peak memory of this process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_patient_files(folder / "brats" / "P0000", SHAPE)
        reporter = make_reporter(folder / "out", CHANNELS[:channels], size=128, width=64, blocks=6)
        (case,) = find_brats_cases(folder / "brats", parse_channels(",".join(CHANNELS[:channels]))).cases
        seconds: list[dict[str, float]] = []
        totals = []
        for _ in range(rounds + 1):
            started = time.perf_counter()
            report = reporter.report(NamedCase(name="P0000", case=case))
            totals.append(time.perf_counter() - started)
            seconds.append(report.seconds)
        return {
            "seconds": {part: statistics.median(own[part] for own in seconds[1:]) for part in seconds[0]},
            "first": totals[0],
            "slices": reporter.model.slices,
            "lesions": len(report.lesions),
            "page_bytes": (folder / "out" / "P0000" / "report.html").stat().st_size,
            "peak_bytes": memory("VmHWM"),
        }


def measure_growth(patients: int) -> None:
    """Memory of one process after some and after all of many small patients."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_patient_files(folder / "brats" / "P0000", SMALL_SHAPE)
        (case,) = find_brats_cases(folder / "brats", parse_channels("flair")).cases
        reporter = make_reporter(folder / "out", ("flair",), size=32, width=4, blocks=1, field_of_view_mm=64)
        marks = {patients // 10: 0, patients: 0}
        for number in range(1, patients + 1):
            reporter.report(NamedCase(name=f"P{number:04d}", case=case))
            if number in marks:
                marks[number] = memory("VmRSS")
        print("  ".join(f"after {count} small patients {used / 1e6:.0f} MB" for count, used in marks.items()))


def make_reporter(
    output: Path, channels: tuple[str, ...], *, size: int, width: int, blocks: int, field_of_view_mm: float = 192
) -> Reporter:
    preparation = Preparation(channels=channels, size=(size, size), field_of_view_mm=field_of_view_mm)
    model = Darkener(
        (len(channels), size, size),
        DomainScheme(names=("healthy", "diseased")),
        NetworkConfig(generator_width=width, residual_blocks=blocks),
        metadata={"preparation": preparation.model_dump(mode="json"), "training": {"iteration": 0}},
    )
    if torch.cuda.is_available():
        model.translator.cuda()
    output.mkdir()
    return Reporter(
        model=model,
        operating_point=OperatingPoint(candidate=0.2, patient=0.3),
        maps=MapSettings(),
        task=ReportTask(run=output, digest="", output=output, settings=ReportSettings()),
    )


def memory(field: str) -> int:
    """Bytes of this process now (`VmRSS`), or at most so far (`VmHWM`)."""
    # Not `getrusage`: that of a process begins with what its parent had.
    return 1024 * int(Path("/proc/self/status").read_text().split(f"{field}:")[1].split()[0])


if __name__ == "__main__":
    main()
