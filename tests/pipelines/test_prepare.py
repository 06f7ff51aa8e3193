"""`fpgan prepare` and `fpgan inspect`, through the command line: layouts, labels, splits, going on, killed runs."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.pipelines.spoiled import rows, tree

SMALL = ["--size", 32, "--field-of-view-mm", 110]


def succeed(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return result


def test_inspect_lists_what_prepare_uses_and_writes_nothing(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    brats = tmp_path / "brats"
    shutil.copytree(tiny.brats, brats)
    (brats / "P3" / "P3_flair.nii.gz").unlink()
    before = tree(brats)
    result = fpgan("inspect", brats, "--channels", "flair,t1ce")
    assert result.exit_code == 1
    assert "layout    brats: 8 folders hold files named as in BraTS" in result.output
    assert "channels  flair, t1ce" in result.output
    assert "patients  7 usable" in result.output
    for name in ("P1_flair.nii.gz", "P1_t1ce.nii.gz", "P1_seg.nii.gz"):
        assert str(brats / "P1" / name) in result.output
    assert f"P3: {brats / 'P3'}: no flair file" in result.output
    assert tree(brats) == before
    found = json.loads(fpgan("inspect", brats, "--json").output)
    assert [patient["patient"] for patient in found["patients"]] == ["P0", "P1", "P2", "P4", "P5", "P6", "P7"]
    assert found["channels"] == ["flair"]
    assert found["domains"]["names"] == ["healthy", "diseased"]
    assert [failure["patient"] for failure in found["failures"]] == ["P3"]


def test_attributes_come_from_the_labels_of_the_mask(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    cohort = tmp_path / "cohort"
    options = [*SMALL, "--attributes", "edema=2,enhancing=4", "--min-lesion-area", 3]
    succeed(fpgan("prepare", tiny.brats, "--output", cohort, *options))
    texts = {row["domains"] for row in rows(cohort / "slices.csv")}
    assert texts == {"", "none", "edema", "edema;enhancing"}
    healthy = {row["patient"] for row in rows(cohort / "patients.csv") if row["domain"] == "none"}
    assert healthy == {"P0", "P4"}
    header = json.loads((cohort / "cohort.json").read_text())
    assert header["settings"]["domains"] == {"names": ["edema", "enhancing"], "exclusive": False, "healthy": None}


def test_a_cohort_of_attributes_is_trained_and_evaluated(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    cohort, run = tmp_path / "cohort", tmp_path / "run"
    options = [*SMALL, "--attributes", "edema=2,enhancing=4", "--min-lesion-area", 0]
    succeed(fpgan("prepare", tiny.brats, "--output", cohort, *options))
    succeed(fpgan("train", cohort, "--output", run, *tiny_training))
    succeed(fpgan("evaluate", run, cohort, "--output", tmp_path / "evaluation"))
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert metrics["slices"]["n_diseased"] > 0
    assert metrics["lesions"]["n_lesions"] > 0
    with Image.open(tmp_path / "evaluation" / "attributes.png") as grid:
        assert grid.format == "PNG"
        assert min(grid.size) > 200
    assert "One attribute changed at a time" in (tmp_path / "evaluation" / "index.html").read_text()
    result = fpgan("train", cohort, "--output", tmp_path / "faces", "--preset", "faces")
    assert result.exit_code == 2
    assert "the cohort has edema, enhancing" in result.output


def test_a_table_labels_single_slices_by_their_place_in_the_file(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    table = tmp_path / "labels.csv"
    lines = [f"P{n},,healthy" for n in range(8)] + ["P2,4,diseased", "P2,5,diseased", "P9,,healthy"]
    table.write_text("\n".join(["patient,slice,domain", *lines]))
    cohort = tmp_path / "cohort"
    result = succeed(fpgan("prepare", tiny.brats, "--output", cohort, *SMALL, "--labels", table))
    assert "names 1 patient not among the images: P9" in result.output
    diseased = [
        (row["patient"], row["slice_index"]) for row in rows(cohort / "slices.csv") if row["domains"] == "diseased"
    ]
    assert diseased == [("P2", "4"), ("P2", "5")]
    # The masks are still there for evaluation.
    assert np.load(cohort / "masks" / "P1.npy").any()


def test_slices_of_a_file_that_runs_downwards_are_counted_in_the_file(
    fpgan: Callable[..., Any], write_patient: Callable[..., Path], tmp_path: Path, rotated_anisotropic: np.ndarray
) -> None:
    downwards = rotated_anisotropic @ np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 11], [0, 0, 0, 1]])
    write_patient(tmp_path / "brats", "P0", seed=1, affine=downwards)
    (tmp_path / "labels.csv").write_text("patient,slice,domain\nP0,,healthy\nP0,4,diseased\n")
    cohort = tmp_path / "cohort"
    succeed(fpgan("prepare", tmp_path / "brats", "-o", cohort, *SMALL, "--labels", tmp_path / "labels.csv"))
    assert [r["slice_index"] for r in rows(cohort / "slices.csv") if r["domains"] == "diseased"] == [str(11 - 4)]


def test_splits_come_from_a_table_and_folds_take_turns(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    table = tmp_path / "splits.csv"
    wanted = {f"P{n}": "train" if n < 5 else "validation" if n == 5 else "test" for n in range(8)}
    table.write_text("patient,split\n" + "\n".join(f"{name},{split}" for name, split in wanted.items()))
    cohort = tmp_path / "cohort"
    succeed(fpgan("prepare", tiny.brats, "--output", cohort, *SMALL, "--split-csv", table))
    assert {row["patient"]: row["split"] for row in rows(cohort / "patients.csv")} == wanted
    table.write_text(table.read_text().replace("P0,train", "P0,test"))
    written = (cohort / "images" / "P0.npy").stat().st_mtime_ns
    succeed(fpgan("prepare", tiny.brats, "--output", cohort, *SMALL, "--split-csv", table, "--resume"))
    assert {row["patient"]: row["split"] for row in rows(cohort / "patients.csv")} == wanted | {"P0": "test"}
    tested = []
    for fold in range(4):
        options = [*SMALL, "--folds", 4, "--fold", fold, "--resume"]
        succeed(fpgan("prepare", tiny.brats, "--output", cohort, *options))
        tested += [row["patient"] for row in rows(cohort / "patients.csv") if row["split"] == "test"]
    assert sorted(tested) == [f"P{n}" for n in range(8)]
    assert (cohort / "images" / "P0.npy").stat().st_mtime_ns == written  # nothing was prepared again


def test_other_settings_prepare_again_what_they_touch(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    cohort, fresh = tmp_path / "cohort", tmp_path / "fresh"
    succeed(fpgan("prepare", tiny.brats, "--output", cohort, *SMALL))
    changed = ["--size", 40, "--field-of-view-mm", 110, "--axis", "coronal"]
    succeed(fpgan("prepare", tiny.brats, "--output", cohort, *changed, "--resume"))
    succeed(fpgan("prepare", tiny.brats, "--output", fresh, *changed))
    assert tree(cohort) == tree(fresh)


def test_pictures_in_domain_folders_become_a_cohort(
    fpgan: Callable[..., Any], tmp_path: Path, tiny_training: list[str]
) -> None:
    random_values = np.random.default_rng(0)
    for domain in ("Normal", "pneumonia"):
        (tmp_path / "xray" / domain).mkdir(parents=True)
        for n in range(8):
            picture = random_values.integers(0, 200, (50, 70)).astype(np.uint8)
            picture[10:20, 40:60] += 55 * (domain == "pneumonia")
            Image.fromarray(picture).save(tmp_path / "xray" / domain / f"{domain}{n}.png")
    cohort = tmp_path / "cohort"
    result = succeed(fpgan("prepare", tmp_path / "xray", "--output", cohort, "--size", 32))
    assert "layout pictures" in result.output
    header = json.loads((cohort / "cohort.json").read_text())
    assert header["settings"]["domains"]["names"] == ["normal", "pneumonia"]
    assert header["settings"]["domains"]["healthy"] == "normal"
    assert header["settings"]["preparation"]["field_of_view_mm"] == "whole"
    image = np.load(cohort / "images" / "pneumonia3.npy")
    assert image.shape == (1, 1, 32, 32)
    # 70 by 50 pixels in 32 by 32: rows 5 to 26 hold it, and it stands upright: the bright block is above, right.
    assert np.flatnonzero((image[0, 0] > 0).any(axis=1)).tolist() == list(range(5, 27))
    assert image[0, 0, 9:13, 19:27].mean() > image[0, 0, 15:25, 2:15].mean() + 0.1
    result = succeed(fpgan("train", cohort, "--output", tmp_path / "run", *tiny_training))
    result = succeed(fpgan("evaluate", tmp_path / "run", cohort, "--output", tmp_path / "evaluation"))
    assert "warning: lesions.sensitivity is undefined: there is no lesion" in result.output
    metrics = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert metrics["slices"]["n_healthy"] > 0
    assert metrics["slices"]["n_diseased"] > 0
    assert 0 <= metrics["slices"]["auc"] <= 1
    assert metrics["lesions"]["sensitivity"] is None
    assert metrics["pixels"]["hausdorff95_mm"] is None
    assert not (tmp_path / "evaluation" / "attributes.png").exists()


def test_volumes_in_domain_folders_are_labeled_as_a_whole(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    for n in range(8):
        folder = tmp_path / "data" / ("control" if n % 4 == 0 else "glioma")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(tiny.brats / f"P{n}" / f"P{n}_flair.nii.gz", folder / f"P{n}.nii.gz")
    cohort = tmp_path / "cohort"
    succeed(fpgan("prepare", tmp_path / "data", "--output", cohort, *SMALL))
    domains = {row["patient"]: row["domain"] for row in rows(cohort / "patients.csv")}
    assert domains == {f"P{n}": "control" if n % 4 == 0 else "glioma" for n in range(8)}
    assert not list((cohort / "masks").iterdir())


def table_of(tiny: Any, folder: Path, *rows_of_table: str) -> Path:
    """A table of the tiny patients; `0 m healthy` is patient P0 with its mask and that domain, `-` for no mask."""
    lines = ["patient,flair,mask,domain"]
    for row in rows_of_table:
        number, mask, domain = row.split(" ", 2)
        files = {kind: tiny.brats / f"P{number}" / f"P{number}_{kind}.nii.gz" for kind in ("flair", "seg")}
        lines.append(f"P{number},{files['flair']},{files['seg'] if mask == 'm' else ''},{domain}")
    path = folder / "patients.csv"
    path.write_text("\n".join(lines))
    return path


def test_controls_without_a_mask_are_healthy_beside_patients_with_one(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    table = table_of(tiny, tmp_path, "1 m tumor", "0 - control", "4 - control", "2 - tumor")
    result = succeed(fpgan("prepare", table, "--output", tmp_path / "cohort", *SMALL))
    assert "1 diseased patient without a mask: all their slices count as diseased" in result.output
    found = {row["patient"]: row["domain"] for row in rows(tmp_path / "cohort" / "patients.csv")}
    assert found == {"P0": "healthy", "P1": "diseased", "P2": "diseased", "P4": "healthy"}
    slices = rows(tmp_path / "cohort" / "slices.csv")
    assert {row["domains"] for row in slices if row["patient"] == "P1"} > {"healthy", "diseased"}
    options = [*SMALL, "--attributes", "edema=2,enhancing=4"]
    assert fpgan("prepare", table, "--output", tmp_path / "attributes", *options).exit_code == 1
    found = {row["patient"]: row["domain"] for row in rows(tmp_path / "attributes" / "patients.csv")}
    assert found == {"P0": "none", "P1": "edema", "P4": "none"}
    assert [row["patient"] for row in rows(tmp_path / "attributes" / "failures.csv")] == ["P2"]


def test_a_word_that_is_not_known_to_mean_healthy_makes_nobody_diseased(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    table = table_of(tiny, tmp_path, "1 m patient", "0 - no tumor", "2 m patient", "3 m patient")
    result = fpgan("prepare", table, "--output", tmp_path / "cohort", *SMALL)
    assert result.exit_code == 1
    assert "none of the domains no tumor is known to mean healthy" in result.output
    assert [row["patient"] for row in rows(tmp_path / "cohort" / "failures.csv")] == ["P0"]


def test_too_few_patients_for_the_splits_are_said(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    table = table_of(tiny, tmp_path, "1 m x", "2 m x")
    result = succeed(fpgan("prepare", table, "--output", tmp_path / "cohort", *SMALL))
    assert "no healthy slice" not in result.output
    assert "warning: no patient is left for validation: add patients, or try --split-csv" in result.output
    result = fpgan("prepare", table, "--output", tmp_path / "folds", *SMALL, "--folds", 3)
    assert result.exit_code == 2
    assert "--folds 3 needs as many persons, there are 2" in result.output


def test_a_split_of_one_kind_of_slices_is_said(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    table = table_of(tiny, tmp_path, "0 - healthy", "4 - healthy", "1 - tumor", "2 - tumor")
    splits = tmp_path / "splits.csv"
    splits.write_text("patient,split\nP0,train\nP1,train\nP2,validation\nP4,test\n")
    options = [*SMALL, "--split-csv", splits]
    result = succeed(fpgan("prepare", table, "--output", tmp_path / "cohort", *options))
    assert "no healthy slice is left for validation; no diseased slice is left for test: add patients" in result.output


def test_a_second_run_says_what_it_did_not_prepare_again(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    command = ["prepare", tiny.brats, "--output", tmp_path / "cohort", *SMALL]
    assert "unchanged" not in succeed(fpgan(*command)).output
    assert "8 patients unchanged since the last run, not prepared again" in succeed(fpgan(*command, "--resume")).output


def test_one_domain_written_in_two_ways_is_refused(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    table = table_of(tiny, tmp_path, "0 - healthy", "1 - Tumor", "2 - tumor")
    result = fpgan("prepare", table, "--output", tmp_path / "cohort", *SMALL)
    assert result.exit_code == 2
    assert f"{table}: one domain is written 'Tumor' and 'tumor'; write it one way" in result.output


def test_patients_that_are_gone_are_said_when_they_are_removed(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    succeed(fpgan("prepare", tiny.brats, "--output", tmp_path / "cohort", *SMALL))
    table = table_of(tiny, tmp_path, *(f"{n} m x" for n in range(6)))
    result = succeed(fpgan("prepare", table, "--output", tmp_path / "cohort", *SMALL, "--resume"))
    assert "2 patients of an earlier run not found any more and removed" in result.output
    assert not (tmp_path / "cohort" / "images" / "P7.npy").exists()


def test_the_same_patients_in_other_formats_give_the_same_images(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    for n, ending in enumerate((".nii", ".hdr", ".mha", ".nrrd")):
        (other / f"P{n}").mkdir(parents=True)
        for kind in ("flair", "seg"):
            source, target = tiny.brats / f"P{n}" / f"P{n}_{kind}.nii.gz", other / f"P{n}" / f"P{n}_{kind}{ending}"
            convert(source, target)
    cohort = tmp_path / "cohort"
    succeed(fpgan("prepare", other, "--output", cohort, *SMALL))
    for n in range(4):
        for folder in ("images", "masks"):
            expected = (tiny.cohort / folder / f"P{n}.npy").read_bytes()
            assert (cohort / folder / f"P{n}.npy").read_bytes() == expected, (n, folder)


def convert(source: Path, target: Path) -> None:
    image = nib.load(source)
    if target.suffix in (".nii", ".hdr"):
        kind = nib.Nifti1Pair if target.suffix == ".hdr" else nib.Nifti1Image
        nib.save(kind(np.asarray(image.dataobj), image.affine), target)
        return
    import SimpleITK as sitk

    image = sitk.ReadImage(str(source))
    for key in image.GetMetaDataKeys():
        image.EraseMetaData(key)  # fields of NIfTI that the other formats do not know
    sitk.WriteImage(image, str(target), useCompression=True)


def test_a_dask_cluster_and_two_workers_write_the_same_bytes(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    distributed = pytest.importorskip("distributed", reason="the cluster extra is not installed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        options = [*SMALL, "--scheduler", cluster.scheduler_address]
        succeed(fpgan("prepare", tiny.brats, "--output", tmp_path / "dask", *options))
    succeed(fpgan("prepare", tiny.brats, "--output", tmp_path / "two", *SMALL, "--workers", 2))
    assert tree(tmp_path / "dask") == tree(tmp_path / "two") == tree(tiny.cohort)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred and twenty small patients."""
    source = tmp_path_factory.mktemp("many") / "brats"
    for n in range(120):
        random_values = np.random.default_rng(n)
        volume = np.zeros((32, 32, 10), np.int16)
        volume[6:26, 6:26, 1:9] = random_values.integers(100, 200, (20, 20, 8))
        mask = np.zeros(volume.shape, np.uint8)
        mask[10:15, 10:15, 4] = n % 3 > 0
        for kind, array in (("flair", volume), ("seg", mask)):
            path = source / f"P{n:03d}" / f"P{n:03d}_{kind}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(array, np.diag([4.0, 4, 4, 1])), path)
    return source


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_killed_ten_times_ends_as_if_undisturbed(
    fpgan: Callable[..., Any], many: Path, tmp_path: Path, workers: int
) -> None:
    options = ["--size", 32, "--field-of-view-mm", 128]
    succeed(fpgan("prepare", many, "--output", tmp_path / "undisturbed", *options))
    killed = tmp_path / "killed"
    command = [Path(sys.executable).with_name("fpgan"), "prepare", many, "-o", killed, *options, "--workers", workers]
    command = [str(word) for word in command]
    draw, done_at_kill = random.Random(workers), []
    for _ in range(10):
        with subprocess.Popen(
            [*command, *(["--resume"] if killed.exists() else [])],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            started = len(list(killed.glob("records/*.json")))
            wait_for_records(killed, started + draw.randrange(1, 4), process)
            time.sleep(draw.random() * 0.01)  # anywhere within the work on a patient
            process.kill()  # which is fine where the run was refused, as while a process of the last one still lives
        done_at_kill.append(len(list(killed.glob("records/*.json"))))
    assert done_at_kill[-1] < 120
    assert len(set(done_at_kill)) > 3  # it was killed at different places, and went on each time
    succeed(fpgan("prepare", many, "--output", killed, *options, "--resume"))
    assert tree(killed) == tree(tmp_path / "undisturbed")


def wait_for_records(cohort: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while len(list(cohort.glob("records/*.json"))) < count and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.001)
