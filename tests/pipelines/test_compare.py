"""`fpgan compare` through the command line: paired differences of evaluations, and what it refuses."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.numbers import UNDEFINED_BECAUSE
from pipelines.reporting.titles import NUMBER_TITLES
from tests.pipelines.mapped import FEW, SOME, TEST, Mapped, evaluate_maps, metrics_of, write_masks
from tests.pipelines.spoiled import check_refused, tree


def compared(fpgan: Callable[..., Any], output: Path, *evaluations: Path) -> tuple[dict[str, Any], str]:
    """`comparison.json` of a comparison, and what the command says."""
    result = fpgan("compare", *evaluations, "--output", output)
    assert result.exit_code == 0, result.output
    comparison = json.loads((output / "comparison.json").read_text(encoding="utf-8"))
    for part in ("numbers", "differences"):
        comparison[part] = {name: flattened(groups) for name, groups in comparison[part].items()}
    return comparison, result.output


def flattened(groups: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Numbers by group as numbers by their whole name."""
    return {f"{group}.{key}": value for group, numbers in groups.items() for key, value in numbers.items()}


@pytest.fixture(scope="session")
def noise(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], str, Path]:
    """`noisier` compared with `noisy`, what the command says, and where it wrote."""
    output = tmp_path_factory.mktemp("noise") / "out"
    return *compared(fpgan, output, mapped.noisy, mapped.noisier), output


def test_numbers_and_intervals_are_those_of_the_evaluations(
    noise: tuple[dict[str, Any], str, Path], mapped: Mapped
) -> None:
    comparison, _, _ = noise
    assert comparison["reference"] == "noisy"
    assert set(comparison["numbers"]) == {"noisy", "noisier"}
    for name, folder in (("noisy", mapped.noisy), ("noisier", mapped.noisier)):
        metrics = metrics_of(folder)
        for number in UNDEFINED_BECAUSE:
            group, key = number.split(".")
            assert comparison["numbers"][name][number] == metrics[group][key], number
            assert comparison["numbers"][name][f"{number}_ci95"] == metrics[group][f"{key}_ci95"], number


def test_differences_are_the_other_minus_the_first(
    fpgan: Callable[..., Any], noise: tuple[dict[str, Any], str, Path], mapped: Mapped, tmp_path: Path
) -> None:
    comparison, _, _ = noise
    assert set(comparison["differences"]) == {"noisier"}
    turned, _ = compared(fpgan, tmp_path / "out", mapped.noisier, mapped.noisy)
    defined = 0
    for number in UNDEFINED_BECAUSE:
        first, other = (comparison["numbers"][name][number] for name in ("noisy", "noisier"))
        difference = comparison["differences"]["noisier"][number]
        low, high = comparison["differences"]["noisier"][f"{number}_ci95"]
        if difference is None:
            continue
        assert difference == other - first
        assert low is high is None or low <= high
        assert turned["differences"]["noisy"][number] == -difference
        if low is not None:
            assert turned["differences"]["noisy"][f"{number}_ci95"] == pytest.approx([-high, -low])
        defined += 1
    assert defined >= 15


def test_pairing_makes_intervals_narrow(noise: tuple[dict[str, Any], str, Path]) -> None:
    comparison, _, _ = noise

    def width(numbers: dict[str, Any], number: str) -> float:
        low, high = numbers[f"{number}_ci95"]
        return float(high - low)

    for number in ("pixels.average_precision", "pixels.dice", "slices.auc"):
        one, other = (width(comparison["numbers"][name], number) for name in ("noisy", "noisier"))
        paired = width(comparison["differences"]["noisier"], number)
        assert 0 < paired < math.hypot(one, other) / 3, number


def test_an_evaluation_does_not_differ_from_its_copy(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    shutil.copytree(mapped.noisy, tmp_path / "copy")
    comparison, output = compared(fpgan, tmp_path / "out", mapped.noisy, tmp_path / "copy")
    differences = comparison["differences"]["copy"]
    for number in UNDEFINED_BECAUSE:
        # Means of Hausdorff distances are over those patients that each method finds something in.
        nothing = comparison["numbers"]["noisy"][number] is None or number == "pixels.hausdorff95_mm"
        unknown = nothing or comparison["numbers"]["noisy"][f"{number}_ci95"] == [None, None]
        assert differences[number] == (None if nothing else 0), number
        assert differences[f"{number}_ci95"] == ([None, None] if unknown else [0, 0]), number
    assert ")*" not in output


def test_a_model_is_compared_with_maps(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    maps = write_masks(tmp_path / "maps", tiny.brats, ("P3", "P4", "P5"))
    evaluate_maps(fpgan, maps, tiny.cohort, tmp_path / "masks", FEW)
    comparison, output = compared(fpgan, tmp_path / "out", tiny.evaluation, tmp_path / "masks")
    differences = comparison["differences"]["masks"]
    model, masks = metrics_of(tiny.evaluation), metrics_of(tmp_path / "masks")
    for group, key in (("slices", "peak_hit"), ("pixels", "average_precision"), ("lesions", "froc_score")):
        assert differences[f"{group}.{key}"] == masks[group][key] - model[group][key] > 0
    assert differences["fixed_point.same_domain_l1"] is None  # which maps do not have
    assert "warning" not in output


def test_the_table_marks_what_differs(noise: tuple[dict[str, Any], str, Path]) -> None:
    comparison, output, _ = noise
    differences = comparison["differences"]["noisier"]
    marks = 0
    for number in UNDEFINED_BECAUSE:
        low, high = differences[f"{number}_ci95"]
        marks += low is not None and (low > 0 or high < 0)
    assert 0 < marks < len(UNDEFINED_BECAUSE)
    assert output.count(")*") == marks
    assert "minus that of noisy" in output
    assert NUMBER_TITLES["slices.auc"] in output


def test_comparison_csv_has_a_row_for_each_number_and_method(noise: tuple[dict[str, Any], str, Path]) -> None:
    comparison, _, output = noise
    assert {path.name for path in output.iterdir()} == {"comparison.csv", "comparison.json", ".fpgan"}
    with (output / "comparison.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["number"], row["method"]) for row in rows] == [
        (number, name) for number in UNDEFINED_BECAUSE for name in ("noisy", "noisier")
    ]
    for row in rows:
        number, name = row["number"], row["method"]
        expected = {
            "value": comparison["numbers"][name][number],
            **dict(zip(("low", "high"), comparison["numbers"][name][f"{number}_ci95"], strict=True)),
        }
        differences = comparison["differences"].get(name)
        if differences:
            expected["difference"] = differences[number]
            expected |= dict(zip(("difference_low", "difference_high"), differences[f"{number}_ci95"], strict=True))
        found = {column: float(value) for column, value in row.items() if column in expected and value}
        assert found == {column: value for column, value in expected.items() if value is not None}


def test_only_patients_of_all_evaluations_are_compared(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path
) -> None:
    kept = [name for name in TEST if name != "P7"]
    maps = mapped.noisy.parent / "noisy_maps"
    shutil.copytree(maps, tmp_path / "maps")
    (tmp_path / "maps" / "P7.nii.gz").unlink()
    evaluate_maps(fpgan, tmp_path / "maps", mapped.cohort, tmp_path / "fewer", SOME)
    comparison, output = compared(fpgan, tmp_path / "out", mapped.noisy, tmp_path / "fewer")
    warnings = [line for line in output.splitlines() if line.startswith("warning")]
    assert warnings == ["warning: noisy: 1 of its patients are not in all evaluations, left out"]
    # Without P7 both are the same maps of the same patients, resampled alike.
    assert comparison["numbers"]["noisy"] == comparison["numbers"]["fewer"]
    assert comparison["numbers"]["noisy"]["slices.auc"] == metrics_of(tmp_path / "fewer")["slices"]["auc"]
    assert metrics_of(tmp_path / "fewer")["patients"]["n"] == len(kept)


def test_evaluations_with_no_patient_in_common_are_refused(
    fpgan: Callable[..., Any], tiny: Any, mapped: Mapped, tmp_path: Path
) -> None:
    result = fpgan("compare", mapped.exact, tiny.evaluation, "--output", tmp_path / "out")
    assert check_refused(result) == "exact and the others have no test patient in common"
    assert not (tmp_path / "out").exists()


def test_other_lesions_are_said(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    evaluate_maps(fpgan, mapped.masks, mapped.cohort, tmp_path / "big", FEW, "--set=min_size_px=50")
    comparison, output = compared(fpgan, tmp_path / "out", mapped.exact, tmp_path / "big")
    assert "warning: big was measured on other slices or lesions of the patients than exact" in output
    assert "warning: big was measured by other choices than exact: min_size_px" in output
    assert comparison["numbers"]["big"]["lesions.sensitivity"] == 1


def test_the_first_says_how_patients_are_resampled(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    maps = mapped.noisy.parent / "noisy_maps"
    evaluate_maps(fpgan, maps, mapped.cohort, tmp_path / "other", FEW, "--set=seed=5")
    comparison, _ = compared(fpgan, tmp_path / "out", mapped.noisy, tmp_path / "other")
    assert comparison["differences"]["other"]["slices.auc_ci95"] == [0, 0]
    assert comparison["numbers"]["other"] == comparison["numbers"]["noisy"]


def test_three_are_each_compared_with_the_first_by_the_shortest_names(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        shutil.copytree(mapped.noisier, tmp_path / name / "evaluation")
    evaluations = [tmp_path / "one" / "evaluation", tmp_path / "two" / "evaluation", mapped.noisy]
    comparison, _ = compared(fpgan, tmp_path / "out", *evaluations)
    noisy = f"{mapped.noisy.parent.name}/noisy"
    assert comparison["reference"] == "one/evaluation"
    assert list(comparison["differences"]) == ["two/evaluation", noisy]
    assert comparison["differences"]["two/evaluation"]["pixels.dice"] == 0
    assert comparison["differences"][noisy]["pixels.dice"] != 0


def test_names_are_shown_as_they_are(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    shutil.copytree(mapped.noisy, tmp_path / "run[old]")
    result = fpgan("compare", tmp_path / "run[old]", mapped.noisier)
    assert result.exit_code == 0
    assert "minus that of run[old]" in " ".join(result.output.split())
    assert result.output.count("run[old]") == 2


def test_a_file_of_an_evaluation_stands_for_its_folder(
    fpgan: Callable[..., Any], noise: tuple[dict[str, Any], str, Path], mapped: Mapped
) -> None:
    result = fpgan("compare", mapped.noisy / "metrics.json", mapped.noisier / "index.html")
    assert result.exit_code == 0
    assert result.output.splitlines()[:20] == noise[1].splitlines()[:20]


def test_nothing_is_overwritten_unasked(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    command = ["compare", mapped.noisy, mapped.noisier, "--output"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    for folder, options, words in (
        (tmp_path / "thesis", [], "already exists; give `--overwrite` to replace it"),
        (tmp_path / "thesis", ["--overwrite"], "was not written by `fpgan compare`; give another folder"),
        (mapped.noisy, ["--overwrite"], "was not written by `fpgan compare`; give another folder"),
    ):
        before = tree(folder)
        result = fpgan(*command, folder, *options)
        assert result.exit_code == 2
        assert result.output.splitlines()[-1] == f"fpgan: {folder}: {words}"
        assert tree(folder) == before
    assert fpgan(*command, tmp_path / "out").exit_code == 0
    written = tree(tmp_path / "out")
    assert fpgan(*command, tmp_path / "out").exit_code == 2
    assert fpgan(*command, tmp_path / "out", "--overwrite").exit_code == 0
    assert tree(tmp_path / "out") == written


def test_too_few_or_the_same_are_refused(fpgan: Callable[..., Any], mapped: Mapped) -> None:
    assert check_refused(fpgan("compare", mapped.noisy)) == "give at least two evaluations to compare"
    for same in (mapped.noisy, mapped.noisy / "metrics.json", mapped.noisy / ".." / "noisy"):
        check_refused(fpgan("compare", mapped.noisy, same), "the same evaluation was given twice")


@pytest.mark.parametrize("name", ["none", "none/metrics.json", "empty"])
def test_what_is_no_evaluation_is_named(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    line = check_refused(fpgan("compare", mapped.noisy, tmp_path / name))
    assert line == f"{tmp_path / name}: holds no measurements.npz; give a folder that `fpgan evaluate` wrote"


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def garbage(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04" + bytes(range(256)))


def nothing(path: Path) -> None:
    path.write_bytes(b"")


def bytes_changed(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2 : len(raw) // 2 + 64] = bytes(64)
    path.write_bytes(raw)


def another_npz(path: Path) -> None:
    np.savez(path, weights=np.zeros(3))


def an_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def objects(path: Path) -> None:
    np.savez(path, format=np.array([{"code": "runs"}], object))


@pytest.mark.parametrize("spoil", [cut_short, garbage, nothing, bytes_changed, another_npz, an_array, objects])
def test_damaged_measurements_are_named(
    fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    shutil.copytree(mapped.noisy, tmp_path / "damaged")
    spoil(tmp_path / "damaged" / "measurements.npz")
    line = check_refused(fpgan("compare", mapped.noisy, tmp_path / "damaged"))
    assert line == f"{tmp_path / 'damaged' / 'measurements.npz'}: is damaged; evaluate again"


def test_measurements_of_another_version_are_named(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    shutil.copytree(mapped.noisy, tmp_path / "other")
    path = tmp_path / "other" / "measurements.npz"
    with np.load(path) as arrays:
        kept = dict(arrays)
    np.savez(path, **kept | {"format": np.array(int(kept["format"]) + 1)})
    line = check_refused(fpgan("compare", mapped.noisy, tmp_path / "other"))
    assert line == f"{path}: has another format than this version reads; evaluate again"
