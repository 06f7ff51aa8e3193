"""`fpgan evaluate` where maps, masks, labels or settings are missing or wrong: what it leaves out, says and refuses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.numbers import UNDEFINED_BECAUSE
from tests.pipelines.mapped import (
    FEW,
    FILES,
    HEALTHY,
    OF_A_TRANSLATION,
    TEST,
    VALIDATION,
    Mapped,
    evaluate_maps,
    lesion_of,
    metrics_of,
    prepare,
    table_of,
    undefined_in,
    write_map,
    write_masks,
    write_patients,
)
from tests.pipelines.spoiled import check_refused, tree

AT_A_THRESHOLD = {
    "slices.sensitivity",
    "slices.specificity",
    "patients.sensitivity",
    "patients.specificity",
    "lesions.sensitivity",
    "lesions.false_positives_per_image",
    "lesions_3d.sensitivity",
    "lesions_3d.false_positives_per_patient",
    "pixels.dice",
    "pixels.hausdorff95_mm",
}
WITHOUT_LABELS_OF_ONE_KIND = {"slices.auc", "slices.auc_position_matched", "patients.auc"}
OF_LOCALIZATION = {name for name in UNDEFINED_BECAUSE if name.startswith(("lesions", "pixels"))} | {
    "slices.peak_hit",
    "fixed_point.collateral_change",
}


def check_said(output: str, undefined: set[str]) -> None:
    """Each undefined number has one line that names it and a reason, and no other number has."""
    said = [
        line for line in output.splitlines() if line.split(" is ")[0].removeprefix("warning: ") in UNDEFINED_BECAUSE
    ]
    assert sorted(said) == sorted(f"warning: {name} is undefined: {UNDEFINED_BECAUSE[name]}" for name in undefined)


@dataclass(frozen=True)
class Flawed:
    """An evaluation of maps of which some cannot be used."""

    maps: Path
    folder: Path
    output: str


@pytest.fixture(scope="session")
def flawed(fpgan: Callable[..., Any], mapped: Mapped, tmp_path_factory: pytest.TempPathFactory) -> Flawed:
    """No map of P7 and of the validation patient P2, two of P9, of P6 one on another grid, of P5 a negative one."""
    root = tmp_path_factory.mktemp("flawed")
    maps = write_masks(root / "maps", mapped.brats)
    for name in ("P2", "P7", "P9"):
        (maps / f"{name}.nii.gz").unlink()
    for name in ("first", "second"):
        write_map(maps / "P9", mapped.brats, "P9", lesion_of(mapped.brats, "P9"), name=name)
    write_map(maps, mapped.brats, "P6", np.zeros((60, 72, 13)))
    write_map(maps, mapped.brats, "P5", -lesion_of(mapped.brats, "P5"))
    return Flawed(maps, root / "out", evaluate_maps(fpgan, maps, mapped.cohort, root / "out", FEW))


def test_patients_without_a_usable_map_are_left_out_by_name(flawed: Flawed) -> None:
    reasons = {
        "P6": f"{flawed.maps / 'P6.nii.gz'}: has shape (60, 72, 13), but “P6_flair.nii.gz” has (60, 72, 12); "
        "write it on the source's grid",
        "P7": f"{flawed.maps}: holds no map of P7; write P7.nii.gz there",
        "P9": f"{flawed.maps / 'P9'}: holds 2 volumes, first.nii.gz, second.nii.gz; name the map difference.nii.gz",
    }
    metrics, page = metrics_of(flawed.folder), (flawed.folder / "index.html").read_text()
    excluded = [entry for entry in metrics["excluded"] if entry["what"] == "patient"]
    assert [entry["name"] for entry in excluded] == list(reasons)
    for entry in excluded:
        reason = reasons[entry["name"]]
        assert f"warning: left out {entry['name']}: {reason}" in flawed.output.splitlines()
        assert entry["count"] == 1
        assert entry["reason"] == f"no numbers: {reason}"
        assert f"<td>patient {entry['name']}</td>" in page
    for table in ("slices", "patients", "lesions"):
        assert not set(table_of(flawed.folder, table)["patient"]) & set(reasons)


def test_a_patient_left_out_is_in_no_number_of_any_method(flawed: Flawed, mapped: Mapped) -> None:
    metrics, slices = metrics_of(flawed.folder), table_of(mapped.exact, "slices")
    kept = slices[~slices["patient"].isin(("P6", "P7", "P9")) & slices["domains"].notna()]
    assert metrics["patients"]["n"] == 4
    assert metrics["slices"]["n_healthy"] + metrics["slices"]["n_diseased"] == len(kept)
    diseased = kept["domains"] == "diseased"
    for score, own in (("score", metrics), ("brightest_pixel", metrics["baselines"]["intensity"])):
        assert own["slices"]["auc"] == pytest.approx(roc_auc_score(diseased, kept[score]))


def test_a_validation_patient_without_a_map_is_said_once(flawed: Flawed) -> None:
    lines = [line for line in flawed.output.splitlines() if "P2" in line]
    reason = f"{flawed.maps}: holds no map of P2; write P2.nii.gz there"
    assert lines == [f"warning: no threshold knows of the validation patient P2: {reason}"]
    metrics = metrics_of(flawed.folder)
    known = {"what": "validation patient", "name": "P2", "count": 1, "reason": f"in no threshold: {reason}"}
    assert known in metrics["excluded"]
    assert "<td>validation patient P2</td>" in (flawed.folder / "index.html").read_text()
    assert metrics["lesions"]["sensitivity"] == 1  # at a threshold of the other two


def test_negative_values_count_by_their_size_which_is_said(flawed: Flawed) -> None:
    warning = "warning: maps hold negative values; their absolute values are used"
    assert flawed.output.splitlines().count(warning) == 1
    lesions = table_of(flawed.folder, "lesions")
    assert lesions.loc[lesions["patient"] == "P5", "detected"].all()


def test_maps_of_no_test_patient_are_refused_and_can_be_added(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path
) -> None:
    maps = write_masks(tmp_path / "maps", mapped.brats, VALIDATION)
    command = ["evaluate", "--maps", maps, mapped.cohort, "--output", tmp_path / "out", FEW, "--quiet"]
    line = check_refused(fpgan(*command))
    assert line == f"{maps}: holds no map of a test patient; write {TEST[0]}.nii.gz there"
    assert not (tmp_path / "out").exists()
    write_map(maps, mapped.brats, "P5", np.zeros((60, 72, 13)))  # is there, and cannot be used
    result = fpgan(*command)
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == (
        "fpgan: no test patient has a map that can be used; nothing was evaluated"
    )
    assert set(tree(tmp_path / "out")) == {".fpgan"}
    write_masks(maps, mapped.brats, ("P5", "P8"))
    assert fpgan(*command).exit_code == 0
    assert set(table_of(tmp_path / "out", "patients")["patient"]) == {"P5", "P8"}
    assert "give `--overwrite` to replace it" in check_refused(fpgan(*command))
    assert fpgan(*command, "--overwrite").exit_code == 0


def test_a_folder_of_maps_that_is_none_is_refused(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    result = fpgan("evaluate", "--maps", tmp_path / "none", mapped.cohort, "--output", tmp_path / "out")
    line = check_refused(result)
    assert line == f"{tmp_path / 'none'}: is not a folder; give the one that holds a map for each patient"
    assert not (tmp_path / "out").exists()


def test_without_maps_of_validation_patients_there_is_no_number_at_a_threshold(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path
) -> None:
    maps = write_masks(tmp_path / "maps", mapped.brats, TEST)
    output = evaluate_maps(fpgan, maps, mapped.cohort, tmp_path / "out", FEW)
    for name in VALIDATION:
        assert f"no threshold knows of the validation patient {name}: {maps}: holds no map of {name}" in output
    metrics = metrics_of(tmp_path / "out")
    assert undefined_in(metrics) == AT_A_THRESHOLD | OF_A_TRANSLATION
    check_said(output, AT_A_THRESHOLD)  # that maps come without translations needs no saying
    for group in ("slices", "patients", "lesions", "lesions_3d"):
        assert metrics[group]["threshold"] is None
    assert metrics["pixels"]["dice_threshold"] is None
    for group, key in (("slices", "auc"), ("slices", "peak_hit"), ("lesions", "froc_score"), ("patients", "auc")):
        assert metrics[group][key] == 1
    # Baselines need no maps of validation patients.
    assert metrics["baselines"]["intensity"]["lesions"]["sensitivity"] > 0.9
    # What the numbers do not know, the tables do not pretend to.
    patients = table_of(tmp_path / "out", "patients")
    assert patients["lesions"].sum() == metrics["lesions"]["n_lesions"]
    for column in ("lesions_found", "false_candidates", "dice", "hausdorff95_mm"):
        assert patients[column].isna().all()
    assert table_of(tmp_path / "out", "slices")["false_candidates"].isna().all()
    assert table_of(tmp_path / "out", "lesions")["detected"].isna().all()


def domain(patient: str) -> str:
    return "healthy" if patient in HEALTHY else "tumor"


@pytest.fixture(scope="session")
def prepare_table(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, bool]], Path]:
    """`prepare_table({patient: has_mask})` makes a cohort of some of the patients, with labels from a table."""

    def make(patients: dict[str, bool]) -> Path:
        root = tmp_path_factory.mktemp("table")
        labeled = {name: (has_mask, domain(name)) for name, has_mask in patients.items()}
        table = write_patients(root / "patients.csv", mapped.brats, labeled)
        return prepare(fpgan, table, root / "cohort", mapped.splits)

    return make


def test_labels_alone_are_enough_for_roc(
    fpgan: Callable[..., Any], mapped: Mapped, prepare_table: Callable[..., Path], tmp_path: Path
) -> None:
    cohort = prepare_table({f"P{number}": False for number in range(12)})
    output = evaluate_maps(fpgan, mapped.masks, cohort, tmp_path / "out", FEW)
    metrics = metrics_of(tmp_path / "out")
    assert undefined_in(metrics) == OF_LOCALIZATION | OF_A_TRANSLATION
    check_said(output, OF_LOCALIZATION)
    # All slices of a diseased patient count as diseased, and masks show nothing in most of them.
    assert 0.5 < metrics["slices"]["auc"] < 1
    assert metrics["patients"]["auc"] == 1
    assert metrics["lesions"]["n_lesions"] == 0
    assert set(metrics["baselines"]["intensity"]) == {"slices", "patients", "thresholds"}
    without = {"what": "patients", "name": "", "count": 7, "reason": "no lesion mask: in no number of localization"}
    assert without in metrics["excluded"]
    assert "no lesion mask: in no number of localization" in (tmp_path / "out" / "index.html").read_text()
    assert table_of(tmp_path / "out", "lesions").empty
    patients, slices = table_of(tmp_path / "out", "patients"), table_of(tmp_path / "out", "slices")
    for column in ("lesions", "lesions_found", "false_candidates", "dice", "hausdorff95_mm"):
        assert patients[column].isna().all()
    for column in ("peak_in_lesion", "false_candidates"):
        assert slices[column].isna().all()


def test_patients_with_and_without_a_mask_mix(
    fpgan: Callable[..., Any], mapped: Mapped, prepare_table: Callable[..., Path], tmp_path: Path
) -> None:
    masked = {"P1", "P2", "P3", "P5", "P8", "P10"}
    cohort = prepare_table({f"P{number}": f"P{number}" in masked for number in range(12)})
    evaluate_maps(fpgan, mapped.masks, cohort, tmp_path / "out", FEW)
    metrics = metrics_of(tmp_path / "out")
    patients = table_of(tmp_path / "out", "patients").set_index("patient")
    assert undefined_in(metrics) == OF_A_TRANSLATION
    for column in ("lesions", "lesions_found", "false_candidates"):
        assert set(patients.index[patients[column].notna()]) == masked & set(TEST)
    assert metrics["patients"]["n"] == 7
    assert metrics["lesions"]["sensitivity"] == 1
    assert metrics["lesions"]["n_lesions"] == patients["lesions"].sum()
    without = {"what": "patients", "name": "", "count": 4, "reason": "no lesion mask: in no number of localization"}
    assert without in metrics["excluded"]
    slices = table_of(tmp_path / "out", "slices")
    assert slices.loc[slices["peak_in_lesion"].notna(), "patient"].isin(masked).all()
    # Masked patients give their healthy slices, the others are diseased as a whole.
    assert set(slices.loc[slices["patient"] == "P7", "domains"]) == {"diseased"}
    assert "healthy" in set(slices.loc[slices["patient"] == "P5", "domains"])


@pytest.mark.parametrize(
    ("kept", "undefined"),
    [
        ("tumor", {"slices.specificity", "patients.specificity"}),
        ("healthy", {"slices.sensitivity", "patients.sensitivity"}),
    ],
)
def test_test_patients_of_one_kind(
    fpgan: Callable[..., Any],
    mapped: Mapped,
    prepare_table: Callable[..., Path],
    tmp_path: Path,
    kept: str,
    undefined: set[str],
) -> None:
    everyone = [f"P{number}" for number in range(12)]
    cohort = prepare_table({name: False for name in everyone if name not in TEST or domain(name) == kept})
    output = evaluate_maps(fpgan, mapped.masks, cohort, tmp_path / "out", FEW)
    expected = WITHOUT_LABELS_OF_ONE_KIND | undefined | OF_LOCALIZATION
    metrics = metrics_of(tmp_path / "out")
    assert undefined_in(metrics) == expected | OF_A_TRANSLATION
    check_said(output, expected)
    assert metrics["slices"]["position_matched_pairs"] == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES


def test_a_cut_from_validation_needs_healthy_slices_with_maps(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path
) -> None:
    maps = write_masks(tmp_path / "maps", mapped.brats, TEST)
    options = ["--quiet", "--set", "binarization=validation"]
    result = fpgan("evaluate", "--maps", maps, mapped.cohort, "-o", tmp_path / "out", *options)
    check_refused(result, "validation")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("min_size=5", "unknown setting `min_size`; did you mean `min_size_px`?"),
        ("min_size_px=-1", "setting `min_size_px`: Input should be greater than or equal to 0, got -1"),
        ("binarization=fixed", "binarization `fixed` and `binarization_threshold` need each other"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_measured(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path, setting: str, message: str
) -> None:
    result = fpgan("evaluate", "--maps", mapped.masks, mapped.cohort, "-o", tmp_path / "out", "--set", setting)
    assert check_refused(result) == message
    assert not (tmp_path / "out").exists()


def test_a_channel_that_the_model_lacks_is_refused(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    result = fpgan("evaluate", tiny.run, tiny.cohort, "-o", tmp_path / "out", "--set", "reduction=1")
    assert check_refused(result) == "setting `reduction`: must be max, mean or a channel, 0 (flair), got 1"
    assert not (tmp_path / "out").exists()


def test_paths_are_a_run_and_a_cohort_or_maps_and_a_cohort(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    result = fpgan("evaluate", tiny.cohort, "-o", tmp_path / "out")
    assert check_refused(result) == "give two paths, a run and its cohort, or --maps DIR; got 1"
    result = fpgan("evaluate", "--maps", tmp_path, tiny.run, tiny.cohort, "-o", tmp_path / "out")
    assert check_refused(result) == "--maps takes one path, the cohort; got 2"


def test_a_folder_of_something_else_is_never_written_to(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").touch()
    for options in ([], ["--overwrite"]):
        check_refused(fpgan("evaluate", "--maps", mapped.masks, mapped.cohort, "-o", tmp_path, *options))
    assert set(tree(tmp_path)) == {"thesis.txt"}


def test_a_cohort_of_other_images_or_without_test_patients_is_refused(
    fpgan: Callable[..., Any], tiny: Any, mapped: Mapped, prepare_table: Callable[..., Path], tmp_path: Path
) -> None:
    result = fpgan("evaluate", tiny.run, mapped.cohort, "-o", tmp_path / "out")
    check_refused(result, str(mapped.cohort), "was prepared differently from the images the model was trained on")
    cohort = prepare_table(dict.fromkeys(("P0", "P1", *VALIDATION), True))
    result = fpgan("evaluate", "--maps", mapped.masks, cohort, "-o", tmp_path / "out")
    assert check_refused(result) == f"{cohort}: has no test patient; prepare three patients or more"
    shutil.copytree(mapped.cohort, tmp_path / "damaged")
    (tmp_path / "damaged" / "slices.csv").unlink()
    result = fpgan("evaluate", "--maps", mapped.masks, tmp_path / "damaged", "-o", tmp_path / "out")
    check_refused(result, f"{tmp_path / 'damaged'}: is damaged")
    assert not (tmp_path / "out").exists()
