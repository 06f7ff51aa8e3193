"""From one patient's files to that patient's folder of results, in any process."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import ValidationError

from anomaly_fpgan.model import FixedPointGAN
from data_prep.case import Case
from data_prep.errors import DataError, without_private_text
from data_prep.neighbors import neighbor_rows
from data_prep.patient import fingerprint, read_and_prepare, read_labels
from data_prep.preparation import Preparation, PreparedSlices
from data_prep.readers.foreign import bounded_by_memory
from data_prep.settings import CohortSettings
from data_prep.slicing import slice_spacing_mm
from data_prep.volume import Volume
from evaluation.maps import MapSettings
from evaluation.scores import patient_score
from pipelines.clock import Clock
from pipelines.inference import map_settings, maps_of, model_preparation
from pipelines.input_range import InputRange, check_inputs, inputs_of, unusual_inputs
from pipelines.localize import compare_with_truth, localize, shown_volumes
from pipelines.modality import check_modality
from pipelines.operating_point import OperatingPoint, read_operating_point
from pipelines.patient_folder import PatientResult, write_patient
from pipelines.pseudonyms import NamedCase
from pipelines.reporting.index_page import PatientRow
from pipelines.reporting.record import REPORT_FORMAT, PatientReport, SourceRecord
from pipelines.reporting.report_files import ReportFiles
from pipelines.reporting.settings import ReportSettings
from pipelines.screen import counted
from pipelines.seen_scans import seen_before
from pipelines.standing import standing_of

if TYPE_CHECKING:
    from data_prep.readers.dicom_headers import SeriesHeaders


@dataclass(frozen=True, kw_only=True)
class ReportTask:
    """What a process needs to report on patients; it loads the model itself, once.

    `digest` is the sha256 of the model file, `threads` how many it computes in; None: as many as torch takes.
    """

    run: Path
    digest: str
    output: Path
    settings: ReportSettings
    threads: int | None = None


def report_one(named: NamedCase, task: ReportTask) -> PatientRow:
    """Report on one patient, unless an earlier report on the same files by the same model and settings is there.

    Raises:
        DataError: when a file of the patient cannot be used.
    """
    path = named.case.first.name
    if task.threads is not None:  # in a process of several; the one that started them keeps its own
        torch.set_num_threads(task.threads)
    with _ONE_AT_A_TIME, bounded_by_memory(path):
        reporter = loaded(task)
        try:
            return PatientRow.of(reporter.finished(named) or reporter.report(named))
        except torch.OutOfMemoryError as error:
            raise MemoryError from error


_ONE_AT_A_TIME = Lock()
"""Threads of one Dask worker share a model, and the network fills all cores anyway."""


@lru_cache(maxsize=1)
def loaded(task: ReportTask) -> Reporter:
    """The reporter of a task, loaded once in each process.

    Raises:
        ModelError: as `Reporter.load`.
    """
    return Reporter.load(task)


@dataclass(frozen=True, kw_only=True)
class Reporter:
    """A loaded model, and all that its reports have in common."""

    model: FixedPointGAN
    operating_point: OperatingPoint
    maps: MapSettings
    task: ReportTask

    @classmethod
    def load(cls, task: ReportTask) -> Reporter:
        """Load the model of `task.run`.

        Raises:
            ModelError: when the run has no usable model, or one without an operating point.
        """
        model = FixedPointGAN.load(task.run)
        operating_point, maps = read_operating_point(model, task.run), map_settings(model, task.run)
        return cls(model=model, operating_point=operating_point, maps=maps, task=task)

    @property
    def preparation(self) -> Preparation:
        """How images are prepared for the model."""
        return model_preparation(self.model, self.task.run)

    @property
    def inputs(self) -> InputRange | None:
        """What the model's training patients looked like."""
        return inputs_of(self.model.metadata)

    def finished(self, named: NamedCase) -> PatientReport | None:
        """An earlier report on the same files, by the same model, with the same settings; None when there is none."""
        files = self._files(named.name)
        try:
            report = PatientReport.model_validate_json((self.task.output / files.folder / files.record).read_bytes())
            mark = self._fingerprint(named.case)
        except (OSError, DataError, ValidationError):  # missing, of another version; a file is gone: reading says so
            return None
        return report if is_by(report, self.task) and report.source.fingerprint == mark else None

    def report(self, named: NamedCase) -> PatientReport:
        """Write one patient's folder, whole or not at all, and return what its `report.json` holds.

        Raises:
            DataError: when a file of the patient cannot be used.
        """
        clock, case, preparation = Clock(), named.case, self.preparation
        with clock("read"):
            headers, problems = _headers(case)
            volume, prepared = read_and_prepare(case, preparation, skull_strip=self.task.settings.skull_strip)
            check_inputs(volume, preparation, self.inputs)
        with clock("translate"):
            images = np.asarray(prepared.images, np.float32)
            healthy = self.model.translate(images, "healthy", neighbors=self._neighbors(volume, prepared))
        with clock("localize"):
            maps = maps_of(images, healthy, self.maps)
            found = localize(volume, prepared, maps, preparation, threshold=self.operating_point.candidate)
            mask, mask_problems = _lesion_mask(named, volume)
            truth = None
            if mask is not None:
                found, truth = compare_with_truth(volume, found, mask, preparation)
        shown = shown_volumes(volume, prepared, found, mask, preparation, self.maps)
        score = round(patient_score(maps.scores), 6)
        files = self._files(named.name)
        report = PatientReport(
            patient=named.name,
            folder=files.folder,
            study_date=_study_date(headers[0]) if headers and self.task.settings.keep_dates else None,
            created=datetime.now().astimezone().isoformat(timespec="seconds"),
            score=score,
            threshold=self.operating_point.patient,
            abnormal=score >= self.operating_point.patient,
            candidate_threshold=self.operating_point.candidate,
            standing=standing_of(score, self.model.metadata),
            lesions=tuple(found.lesions),
            lesion_volume_mm3=round(sum(lesion.volume_mm3 for lesion in found.lesions), 2),
            truth=truth,
            warnings=(
                *seen_before(volume.sha256, self.model.metadata),
                *_unknown_geometry(volume),
                *self.operating_point.warnings,
                *unusual_inputs(volume, prepared, preparation, self.inputs),
                *problems,
                *mask_problems,
            ),
            files={},
            channels=preparation.channels,
            shown_channel=shown.channel,
            **self._provenance(case, volume, clock),
        )
        result = PatientResult(report=report, volume=volume, found=found, shown=shown, headers=headers)
        return write_patient(self.task.output, files, result, clock, self.task.settings)

    def _neighbors(self, volume: Volume, prepared: PreparedSlices) -> np.ndarray:
        """Which of the slices the model sees beside each."""
        spacing, *_ = slice_spacing_mm(prepared.grid.spacing_mm, self.preparation.axis)
        known = spacing if volume.source.is_sized else None
        return neighbor_rows(prepared.indices, known, self.model.networks.neighbor_mm)

    def _provenance(self, case: Case, volume: Volume, clock: Clock) -> dict[str, Any]:
        """What a report was made of and by."""
        return {
            "source": _source_record(case, volume, self._fingerprint(case)),
            "preparation": self.preparation.model_dump(mode="json"),
            "model": {
                "run": self.task.run.resolve().name,
                "sha256": self.task.digest,
                **self.model.metadata["training"],
            },
            "maps": self.maps.model_dump(mode="json"),
            "settings": self.task.settings.model_dump(mode="json"),
            "device": _device_name(self.model),
            "seconds": clock.seconds,
            "versions": {
                name: version(name) for name in ("fpgan", "torch", "monai", "nibabel", "pydicom", "highdicom")
            },
        }

    def _files(self, name: str) -> ReportFiles:
        return ReportFiles.of(name, self.preparation.channels, bids=self.task.settings.bids)

    def _fingerprint(self, case: Case) -> str:
        try:
            return fingerprint(case, CohortSettings(preparation=self.preparation))
        except OSError as error:
            raise DataError(f"cannot be read ({error.strerror}); check the path", path=error.filename) from error


def is_by(report: PatientReport, task: ReportTask) -> bool:
    """Whether a report was made by the task's model with its settings, in the format of this version."""
    made_by = (report.format, report.model["sha256"], report.settings)
    return made_by == (REPORT_FORMAT, task.digest, task.settings.model_dump(mode="json"))


def _headers(case: Case) -> tuple[tuple[SeriesHeaders, ...], list[str]]:
    """What DICOM objects must know of the series of each channel, where all are DICOM; and what stands in the way.

    Raises:
        DataError: when a series is of another modality than its channel.
    """
    if any(source.format != "dicom" for source in case.images.values()):
        return (), []
    from data_prep.readers.dicom_headers import read_headers  # late: pydicom takes a while to import
    from data_prep.readers.dicom_summary import summarize

    for channel, source in case.images.items():
        summary = summarize(source.files[0])
        if summary is not None:
            check_modality(channel, summary.modality, source.name)
    try:
        return tuple(read_headers(source.files) for source in case.images.values()), []
    except DataError as error:
        return (), [f"No DICOM objects were written: the series {without_private_text(error.problem)}."]


def _unknown_geometry(volume: Volume) -> list[str]:
    if not volume.source.has_anatomy:
        return [
            "Pictures do not say how large they are, nor how the patient lies: what is called a mm is a pixel here."
        ]
    forms = (volume.source.qform, volume.source.sform)
    if all(form is not None and form[1] == 0 for form in forms):
        return [
            "The file does not say how the patient lies (qform_code and sform_code are 0): sides and planes are "
            "guessed, and may be wrong."
        ]
    return []


def _study_date(headers: SeriesHeaders) -> str | None:
    from pipelines.reporting.deidentify import study_date  # late, like all that imports highdicom

    return study_date(headers)


def _lesion_mask(named: NamedCase, volume: Volume) -> tuple[np.ndarray | None, list[str]]:
    """The patient's own lesions, (I, J, K) bool, where there are some; and why a mask could not be used."""
    case = named.case
    try:
        if case.mask_problem is not None:
            raise DataError(case.mask_problem)
        if case.mask is None:
            return None, []
        return read_labels(case.mask, volume, "lesion mask").channels[0] > 0, []
    except DataError as error:
        reason = "it cannot be used" if named.is_hidden else without_private_text(error.problem)
        return None, [f"Candidates were not compared with a lesion mask: {reason}."]


def _source_record(case: Case, volume: Volume, mark: str) -> SourceRecord:
    right, anterior, superior = (round(step, 3) for step in volume.spacing_mm)
    return SourceRecord(
        format=case.first.format,
        fingerprint=mark,
        sha256=dict(zip(case.images, volume.sha256, strict=True)),
        shape=volume.source.shape,
        spacing_mm=(right, anterior, superior),
        affine=tuple(tuple(row) for row in volume.source.affine.tolist()),
    )


def _device_name(model: FixedPointGAN) -> str:
    device = next(model.translator.parameters()).device
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {counted(torch.get_num_threads(), 'thread')}"
