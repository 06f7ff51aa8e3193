"""Reports: geometry kept, files whole, pages safe."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image

from anomaly_fpgan import FixedPointGAN
from anomaly_fpgan.networks.config import NetworkConfig
from data_prep.layouts import find_cases
from data_prep.layouts.brats import find_brats_cases
from data_prep.layouts.channels import parse_channels
from data_prep.preparation import Preparation
from evaluation.maps import MapSettings
from pipelines.operating_point import OperatingPoint
from pipelines.pseudonyms import NamedCase
from pipelines.reporter import Reporter, ReportTask
from pipelines.reporting.settings import ReportSettings


class Darkener:
    """Stands in for a model: whatever is brighter than 0.8 becomes 0.5, all else stays exactly as it is."""

    def __init__(self, preparation: Preparation) -> None:
        self.metadata: dict[str, Any] = {
            "preparation": preparation.model_dump(mode="json"),
            "training": {"iteration": 1},
        }
        self.networks = NetworkConfig()
        self.translator = torch.nn.Linear(1, 1)  # says on which device it is

    def translate(self, images: np.ndarray, domain: str, *, neighbors: np.ndarray) -> np.ndarray:
        assert domain == "healthy"
        return np.where(images > 0.8, np.float32(0.5), images)


def report_on(
    folder: Path,
    output: Path,
    *,
    size: int = 64,
    axis: Any = "axial",
    model: type[Darkener] = Darkener,
    spacing_mm: tuple[float, float, float] | None = None,
    settings: ReportSettings | None = None,
) -> dict[str, Any]:
    preparation = Preparation(
        channels=("flair",), size=(size, size), axis=axis, field_of_view_mm=130, spacing_mm=spacing_mm
    )
    stand_in: Any = model(preparation)
    point = OperatingPoint(candidate=0.2, patient=0.3)
    (case,) = find_brats_cases(folder, parse_channels("flair")).cases
    reporter = Reporter(
        model=stand_in,
        operating_point=point,
        maps=MapSettings(),
        task=ReportTask(run=output, digest="", output=output, settings=settings or ReportSettings()),
    )
    return reporter.report(NamedCase(name=case.patient, case=case)).model_dump()


BLOCK = (slice(20, 29), slice(40, 48), slice(5, 8))
"""Voxels of the bright block in file order."""


def write_block_patient(root: Path, affine: np.ndarray, *, name: str = "Block") -> Path:
    """A gray ellipsoid with one bright block; half the gray is a little darker, so that percentiles have a range."""
    i, j, k = np.indices((60, 72, 12))
    head = ((i - 30) / 24) ** 2 + ((j - 36) / 30) ** 2 + ((k - 5.5) / 6) ** 2 < 1
    volume = np.where(head, 300 + 20 * (i % 2), 0).astype(np.int16)
    volume[BLOCK] = 900
    folder = root / name
    folder.mkdir(parents=True)
    image = nib.Nifti1Image(volume, affine)
    image.set_sform(affine, 2)
    image.to_filename(folder / f"{name}_flair.nii.gz")
    return folder


def reorient(affine: np.ndarray, codes: str) -> np.ndarray:
    """The affine of the same grid with its axes named by `codes`; a pure permutation with flips of `affine`."""
    ornt = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt(codes), nib.orientations.io_orientation(affine)
    )
    return affine @ nib.orientations.inv_ornt_aff(ornt, (60, 72, 12))


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("codes", ["RAS", "LPS", "LAS", "RPI"])
def test_a_known_block_is_found_again_in_the_source_geometry(
    axis: Any, codes: str, tmp_path: Path, rotated_anisotropic: np.ndarray
) -> None:
    affine = reorient(rotated_anisotropic, codes)
    folder = write_block_patient(tmp_path, affine)
    summary = report_on(folder, tmp_path / "out", size=96, axis=axis)

    (lesion,) = summary["lesions"]
    center_voxel = np.array([(s.start + s.stop - 1) / 2 for s in BLOCK])
    center_mm = affine[:3, :3] @ center_voxel + affine[:3, 3]
    # Half a voxel of the coarsest axis: slices are 4 mm apart.
    np.testing.assert_allclose(lesion["center_mm"], center_mm, atol=2.0)
    volume_mm3 = 9 * 8 * 3 * abs(np.linalg.det(affine[:3, :3]))
    assert lesion["volume_mm3"] == pytest.approx(volume_mm3, rel=0.35)
    assert lesion["brighter"]

    source = nib.load(folder / "Block_flair.nii.gz")
    for name in ("healthy", "difference", "lesions"):
        written = nib.load(tmp_path / "out" / "Block" / f"{name}.nii.gz")
        assert written.shape == source.shape
        np.testing.assert_array_equal(written.affine, source.affine)
        assert int(written.header["sform_code"]) == int(source.header["sform_code"]) == 2
    labels = np.asarray(nib.load(tmp_path / "out/Block/lesions.nii.gz").dataobj)
    inside = np.zeros(labels.shape, bool)
    inside[BLOCK] = True
    assert 2 * (inside & (labels == 1)).sum() / (inside.sum() + (labels == 1).sum()) > 0.8
    difference = nib.load(tmp_path / "out/Block/difference.nii.gz").get_fdata()
    assert difference[tuple(np.round(center_voxel).astype(int))] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 2.0), (1.2, 1.2, 4.5)])
def test_a_block_is_found_again_when_volumes_were_resampled(
    tmp_path: Path, rotated_anisotropic: np.ndarray, spacing_mm: tuple[float, float, float]
) -> None:
    affine = reorient(rotated_anisotropic, "LPS")
    folder = write_block_patient(tmp_path, affine)
    (lesion,) = report_on(folder, tmp_path / "out", size=96, spacing_mm=spacing_mm)["lesions"]
    center_mm = affine[:3, :3] @ [(s.start + s.stop - 1) / 2 for s in BLOCK] + affine[:3, 3]
    np.testing.assert_allclose(lesion["center_mm"], center_mm, atol=2.5)
    written = nib.load(tmp_path / "out" / "Block" / "lesions.nii.gz")
    source = nib.load(folder / "Block_flair.nii.gz")
    assert written.shape == source.shape
    np.testing.assert_array_equal(written.affine, source.affine)
    inside = np.zeros(written.shape, bool)
    inside[BLOCK] = True
    found = np.asarray(written.dataobj) == 1
    assert 2 * (inside & found).sum() / (inside.sum() + found.sum()) > 0.6
    # Slices are told as the file counts them.
    assert abs(lesion["first_slice"] - BLOCK[2].start) <= 1
    assert abs(lesion["last_slice"] - (BLOCK[2].stop - 1)) <= 1


def test_where_nothing_changes_the_healthy_volume_is_the_source_itself(
    tmp_path: Path, rotated_anisotropic: np.ndarray
) -> None:
    folder = write_block_patient(tmp_path, rotated_anisotropic)
    report_on(folder, tmp_path / "out")
    source = nib.load(folder / "Block_flair.nii.gz").get_fdata()
    healthy = nib.load(tmp_path / "out/Block/healthy.nii.gz").get_fdata()
    difference = nib.load(tmp_path / "out/Block/difference.nii.gz").get_fdata()
    np.testing.assert_array_equal(healthy[difference == 0], source[difference == 0])
    assert (difference == 0).mean() > 0.95
    # 900 is the top of the scale and becomes its middle: about (300 + 900) / 2.
    assert healthy[24, 44, 6] == pytest.approx(600, abs=30)


def test_slices_are_counted_in_the_file_also_when_it_runs_downwards(
    tmp_path: Path, rotated_anisotropic: np.ndarray
) -> None:
    for codes in ("LPS", "LPI"):
        folder = write_block_patient(tmp_path / codes, reorient(rotated_anisotropic, codes))
        summary = report_on(folder, tmp_path / codes / "out")
        assert (summary["lesions"][0]["first_slice"], summary["lesions"][0]["last_slice"]) == (5, 7)


def test_reports_hold_every_file_and_agree_with_each_other(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    result = fpgan("report", tiny.run, tiny.brats / "P1", tiny.brats / "P0", "--output", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    assert "2 patients reported" in result.output
    for name in ("P0", "P1"):
        folder = tmp_path / "reports" / name
        assert {path.name for path in folder.iterdir()} == {
            "report.html",
            "report.json",
            "lesions.csv",
            "preview.png",
            "healthy.nii.gz",
            "difference.nii.gz",
            "lesions.nii.gz",
        }
        summary = json.loads((folder / "report.json").read_text())
        with (folder / "lesions.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row["lesion"]) for row in rows] == [lesion["number"] for lesion in summary["lesions"]]
        labels = np.asarray(nib.load(folder / "lesions.nii.gz").dataobj)
        assert sorted(set(np.unique(labels)) - {0}) == [lesion["number"] for lesion in summary["lesions"]]
        assert summary["abnormal"] == (summary["score"] >= summary["threshold"])
    index = (tmp_path / "reports" / "index.html").read_text()
    assert "P0/report.html" in index
    assert "http" not in index


def test_an_interrupted_report_goes_on(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    assert fpgan("report", tiny.run, tiny.brats / "P1", "--output", output).exit_code == 0
    before = (output / "P1" / "report.html").stat().st_mtime_ns
    result = fpgan("report", tiny.run, tiny.brats / "P1", tiny.brats / "P2", "--output", output, "--resume")
    assert result.exit_code == 0
    assert (output / "P1" / "report.html").stat().st_mtime_ns == before
    assert "P1/report.html" in (output / "index.html").read_text()
    assert "P2/report.html" in (output / "index.html").read_text()


def test_a_report_by_another_model_or_of_changed_files_is_written_again(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    run, brats, output = tmp_path / "run", tmp_path / "brats", tmp_path / "reports"
    shutil.copytree(tiny.run, run)
    shutil.copytree(tiny.brats / "P1", brats / "P1")
    command = ["report", run, brats, "--output", output]
    assert fpgan(*command).exit_code == 0
    first = (output / "P1" / "report.html").stat().st_mtime_ns
    image = nib.load(brats / "P1" / "P1_flair.nii.gz")
    nib.Nifti1Image(np.asarray(image.dataobj) * 2, image.affine).to_filename(brats / "P1" / "P1_flair.nii.gz")
    assert fpgan(*command, "--resume").exit_code == 0
    second = (output / "P1" / "report.html").stat().st_mtime_ns
    assert second > first
    model = FixedPointGAN.load(run)
    model.metadata["training"]["threshold"] /= 2
    model.save(run / "model.safetensors")
    assert fpgan(*command, "--resume").exit_code == 0
    assert (output / "P1" / "report.html").stat().st_mtime_ns > second


def test_reports_among_the_patients_are_no_patients(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    brats = tmp_path / "brats"
    shutil.copytree(tiny.brats / "P1", brats / "P1")
    assert fpgan("report", tiny.run, brats, "--output", brats / "P1" / "reports").exit_code == 0
    finding = find_brats_cases(brats, parse_channels("flair"))
    assert [case.patient for case in finding.cases] == ["P1"]
    assert not finding.failures


def test_a_second_mask_does_not_disturb_a_report(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    folder = tmp_path / "P1"
    shutil.copytree(tiny.brats / "P1", folder)
    shutil.copy(folder / "P1_seg.nii.gz", folder / "P1_other_seg.nii.gz")
    assert fpgan("report", tiny.run, folder, "--output", tmp_path / "reports").exit_code == 0


def test_outside_the_foreground_nothing_changes_whatever_the_model_does(
    tmp_path: Path, rotated_anisotropic: np.ndarray
) -> None:
    class Brightener(Darkener):
        def translate(self, images: np.ndarray, domain: str, *, neighbors: np.ndarray) -> np.ndarray:
            return np.where(images == 0, np.float32(0.12), images)

    folder = write_block_patient(tmp_path, rotated_anisotropic)
    report_on(folder, tmp_path / "out", size=48, model=Brightener)
    source = nib.load(folder / "Block_flair.nii.gz").get_fdata()
    np.testing.assert_array_equal(nib.load(tmp_path / "out/Block/healthy.nii.gz").get_fdata(), source)


def test_a_patients_name_injects_no_markup(tmp_path: Path, rotated_anisotropic: np.ndarray) -> None:
    name = "<script>alert(1)&'"
    folder = write_block_patient(tmp_path, rotated_anisotropic, name=name)
    report_on(folder, tmp_path / "out")
    page = (tmp_path / "out" / name / "report.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_dask_cluster_writes_the_same_volumes(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the `cluster` extra is not installed")
    command = ["report", tiny.run, tiny.brats / "P0", tiny.brats / "P1", tiny.brats / "P2"]
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        result = fpgan(*command, "--output", tmp_path / "dask", "--scheduler", cluster.scheduler_address)
        assert result.exit_code == 0, result.output
    assert fpgan(*command, "--output", tmp_path / "alone").exit_code == 0
    volumes = sorted(path.relative_to(tmp_path / "alone") for path in (tmp_path / "alone").rglob("*.nii.gz"))
    assert len(volumes) == 9
    for volume in volumes:
        assert (tmp_path / "dask" / volume).read_bytes() == (tmp_path / "alone" / volume).read_bytes()


def test_a_file_that_does_not_say_how_the_patient_lies_is_warned_of(
    tmp_path: Path, rotated_anisotropic: np.ndarray
) -> None:
    folder = write_block_patient(tmp_path, rotated_anisotropic)
    path = folder / "Block_flair.nii.gz"
    assert not any("guessed" in warning for warning in report_on(folder, tmp_path / "known")["warnings"])
    image = nib.Nifti1Image(np.asarray(nib.load(path).dataobj), None)
    image.header.set_zooms((0.8, 1.5, 4))
    image.to_filename(path)
    (warning,) = (text for text in report_on(folder, tmp_path / "unknown")["warnings"] if "guessed" in text)
    assert "qform_code and sform_code are 0" in warning


def test_what_is_too_small_for_a_candidate_is_said_to_be(tmp_path: Path, rotated_anisotropic: np.ndarray) -> None:
    folder = write_block_patient(tmp_path, rotated_anisotropic)
    path = folder / "Block_flair.nii.gz"
    volume = np.asarray(nib.load(path).dataobj).copy()
    volume[BLOCK] = 320
    for i, j, k in ((20, 30, 4), (30, 45, 6), (36, 36, 8)):  # 2.4 × 4.5 mm in pixels of 1.35 mm
        volume[i : i + 3, j : j + 3, k] = 900
    nib.Nifti1Image(volume, rotated_anisotropic).to_filename(path)
    report = report_on(folder, tmp_path / "out", size=96)
    assert report["abnormal"]
    assert not report["lesions"]
    page = (tmp_path / "out" / "Block" / "report.html").read_text()
    assert "covers at most 10 pixels of a slice as the model sees it (18 mm²): too small for a candidate" in page
    assert "No candidate reaches" not in page


def test_pictures_are_given_no_sides_and_no_millimeters(tmp_path: Path) -> None:
    picture = np.zeros((48, 40), np.uint8)
    picture[6:42, 5:35] = np.random.default_rng(0).integers(90, 110, (36, 30))
    picture[12:20, 10:18] = 240
    for domain in ("healthy", "diseased"):
        (tmp_path / "pictures" / domain).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "pictures" / domain / f"{domain}.png")
    case = find_cases(tmp_path / "pictures").cases[0]
    stand_in: Any = Darkener(Preparation(channels=tuple(case.images), size=(48, 40), field_of_view_mm="whole"))
    reporter = Reporter(
        model=stand_in,
        operating_point=OperatingPoint(candidate=0.2, patient=0.3),
        maps=MapSettings(),
        task=ReportTask(run=tmp_path, digest="", output=tmp_path / "out", settings=ReportSettings()),
    )
    report = reporter.report(NamedCase(name="X", case=case))
    assert "a mm is a pixel" in report.warnings[0]
    (lesion,) = report.lesions
    assert lesion.volume_mm3 == 64
    assert lesion.hemisphere is lesion.height is None
    page = (tmp_path / "out" / "X" / "report.html").read_text()
    assert "patient's right is at the left" not in page
    assert re.search(r">\d+ px</text>", page)
    assert "fpganViewer" not in page  # of a single slice, the picture shows it all
    assert not re.search(r">\d+ mm</text>|>[RLAP]</text>", page)
