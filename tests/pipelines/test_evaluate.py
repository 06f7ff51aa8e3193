"""`fpgan evaluate` through the command line: its files, numbers, tables, page and settings."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.protocol import Protocol
from pipelines.methods import TITLES
from tests.pipelines.mapped import (
    FEW,
    FILES,
    HEALTHY,
    OF_A_TRANSLATION,
    SOME,
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
)
from tests.pipelines.spoiled import tree


@pytest.fixture(scope="session", params=["model", "exact", "noisy"])
def evaluation(request: pytest.FixtureRequest, tiny: Any, mapped: Mapped) -> Path:
    """Folders of evaluations, one after another."""
    return {"model": tiny.evaluation, "exact": mapped.exact, "noisy": mapped.noisy}[request.param]


def test_an_evaluation_leaves_these_files(evaluation: Path) -> None:
    assert {path.name for path in evaluation.iterdir()} == FILES
    for name in ("curves.png", "cases.png"):
        assert (evaluation / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


SHARES = {
    "slices": ("auc", "auc_position_matched", "peak_hit", "sensitivity", "specificity"),
    "patients": ("auc",),
    "lesions": ("sensitivity", "froc_score", "froc_area"),
    "lesions_3d": ("sensitivity", "froc_score"),
    "pixels": ("average_precision", "dice", "dice_oracle"),
}
AMOUNTS = {
    "lesions": ("false_positives_per_image",),
    "lesions_3d": ("false_positives_per_patient",),
    "fixed_point": ("collateral_change",),
}


def test_metrics_json_keeps_its_contract(evaluation: Path) -> None:
    metrics = metrics_of(evaluation)
    for group, keys in SHARES.items():
        for key in keys:
            low, high = metrics[group][f"{key}_ci95"]
            assert 0 <= metrics[group][key] <= 1, key
            # Where a single patient decides a number, as in the model's cohort of two, there is no interval.
            assert (low is high is None and metrics["patients"]["n"] == 2) or 0 <= low <= high <= 1, key
    for group, keys in AMOUNTS.items():
        for key in keys:
            assert metrics[group][key] >= 0
    for group in ("slices", "patients", "lesions", "lesions_3d"):
        assert metrics[group]["threshold_source"] == "validation"
    assert isinstance(metrics["slices"]["threshold"], float)
    assert isinstance(metrics["pixels"]["dice_threshold"], float)
    for group in ("lesions", "lesions_3d"):
        # One that is infinite, and finds nothing, is null too.
        assert metrics[group]["threshold"] is not None or metrics[group]["sensitivity"] == 0
    for number in (
        metrics["slices"]["position_matched_pairs"],
        *(metrics[group][key] for group in ("slices", "patients") for key in ("n_healthy", "n_diseased")),
        metrics["lesions"]["n_lesions"],
        metrics["lesions_3d"]["n_lesions"],
    ):
        assert isinstance(number, int)
        assert number > 0
    for name in ("intensity", "local_contrast", "mirror_difference", "intensity_threshold"):
        own = metrics["baselines"][name]
        for group, key in (("slices", "auc"), ("slices", "peak_hit"), ("pixels", "average_precision")):
            assert 0 <= own[group][key] <= 1
            assert len(own[group][f"{key}_ci95"]) == 2
    for name in ("slice_position", "foreground_area", "intensity_percentile"):
        assert 0 <= metrics["baselines"][name]["slices"]["auc"] <= 1
        assert "pixels" not in metrics["baselines"][name]
        assert "lesions" not in metrics["baselines"][name]
    resamples = metrics["protocol"]["resamples"]
    assert metrics["protocol"] == Protocol(resamples=resamples).model_dump(mode="json")
    assert {"what", "name", "count", "reason"} == set(metrics["excluded"][0])


def test_only_a_model_has_numbers_of_reports_and_of_translations(tiny: Any, mapped: Mapped) -> None:
    metrics = metrics_of(tiny.evaluation)
    assert set(metrics["reports"]) == {
        "candidate_threshold",
        "lesion_sensitivity",
        "false_positives_per_image",
        "patient_threshold",
        "patient_sensitivity",
        "patient_specificity",
    }
    assert metrics["fixed_point"]["same_domain_l1"] > 0
    metrics = metrics_of(mapped.exact)
    assert "reports" not in metrics
    assert undefined_in(metrics) == OF_A_TRANSLATION
    assert table_of(mapped.exact, "slices")["same_domain_l1"].isna().all()


def test_differences_to_baselines_are_differences(evaluation: Path) -> None:
    metrics = metrics_of(evaluation)
    assert set(metrics["minus_baseline"]) == set(metrics["baselines"])
    for name, own in metrics["baselines"].items():
        for group, key in (("slices", "auc"), ("slices", "auc_position_matched")):
            difference = metrics["minus_baseline"][name][group][key]
            assert difference == pytest.approx(metrics[group][key] - own[group][key])


def test_numbers_of_slices_follow_from_the_table_of_slices(evaluation: Path) -> None:
    metrics, slices = metrics_of(evaluation)["slices"], table_of(evaluation, "slices")
    healthy, diseased = (slices[slices["domains"] == name] for name in ("healthy", "diseased"))
    both = pd.concat([healthy, diseased])
    assert metrics["n_healthy"] == len(healthy)
    assert metrics["n_diseased"] == len(diseased)
    assert metrics["auc"] == pytest.approx(roc_auc_score(both["domains"] == "diseased", both["score"]))
    pairs = [
        (sick["score"] > well["score"]) + (sick["score"] == well["score"]) / 2
        for (_, sick), (_, well) in product(diseased.iterrows(), healthy.iterrows())
        if abs(sick["height"] - well["height"]) <= 0.025
    ]
    assert metrics["position_matched_pairs"] == len(pairs)
    assert metrics["auc_position_matched"] == pytest.approx(np.mean(pairs))
    assert metrics["peak_hit"] == pytest.approx(diseased["peak_in_lesion"].astype(float).mean())
    assert slices.loc[~slices.index.isin(diseased.index), "peak_in_lesion"].isna().all()
    assert metrics["sensitivity"] == pytest.approx((diseased["score"] >= metrics["threshold"]).mean())
    assert metrics["specificity"] == pytest.approx((healthy["score"] < metrics["threshold"]).mean())
    brightest = metrics_of(evaluation)["baselines"]["intensity"]["slices"]["auc"]
    assert brightest == pytest.approx(roc_auc_score(both["domains"] == "diseased", both["brightest_pixel"]))


def test_numbers_of_patients_follow_from_the_table_of_patients(evaluation: Path) -> None:
    metrics, patients = metrics_of(evaluation)["patients"], table_of(evaluation, "patients")
    assert metrics["n"] == len(patients)
    assert metrics["auc"] == pytest.approx(roc_auc_score(patients["domain"] == "diseased", patients["score"]))
    slices = table_of(evaluation, "slices").groupby("patient")
    assert dict(slices["score"].max()) == pytest.approx(dict(zip(patients["patient"], patients["score"], strict=True)))
    assert dict(slices.size()) == dict(zip(patients["patient"], patients["slices"], strict=True))
    assert patients["score"].is_monotonic_decreasing


def test_numbers_of_lesions_follow_from_each_table(evaluation: Path) -> None:
    metrics, cohort_slices = metrics_of(evaluation)["lesions"], table_of(evaluation, "slices")
    lesions, patients = table_of(evaluation, "lesions"), table_of(evaluation, "patients")
    assert metrics["n_lesions"] == len(lesions) == patients["lesions"].sum()
    assert metrics["sensitivity"] == pytest.approx(lesions["detected"].mean())
    assert lesions["detected"].sum() == patients["lesions_found"].sum()
    assert (lesions["detected"] == (lesions["best_score"] >= metrics["threshold"])).all()
    false = cohort_slices["false_candidates"].sum()
    assert metrics["false_positives_per_image"] == pytest.approx(false / len(cohort_slices))
    by_patient = cohort_slices.groupby("patient")["false_candidates"].sum()
    assert dict(by_patient) == dict(zip(patients["patient"], patients["false_candidates"], strict=True))
    # Each lesion lies in a row of the table of slices, and there is one lesion a slice here.
    places = cohort_slices.set_index(["patient", "slice_index"])["lesion_area_px"]
    areas = places.loc[list(zip(lesions["patient"], lesions["slice_index"], strict=True))]
    assert areas.tolist() == lesions["size_px"].tolist()
    assert sum(size["lesions"] for size in metrics["by_size"]) == len(lesions)
    for size in metrics["by_size"]:
        above = lesions["size_px"] >= size["from_px"]
        inside = lesions[above & (lesions["size_px"] < (np.inf if size["to_px"] is None else size["to_px"]))]
        assert size["lesions"] == len(inside)
        if len(inside):
            assert size["sensitivity"] == pytest.approx(inside["detected"].mean())
        else:
            assert size["sensitivity"] is None


def test_noise_makes_false_candidates_that_the_tables_count(mapped: Mapped) -> None:
    # What the tables are held against above would be little with none of them.
    assert table_of(mapped.noisy, "patients")["false_candidates"].sum() >= 5
    assert 0 < table_of(mapped.noisy, "lesions")["detected"].mean() < 1


def test_there_is_a_row_for_each_test_slice(mapped: Mapped) -> None:
    cohort, slices = table_of(mapped.cohort, "slices"), table_of(mapped.exact, "slices")
    test = cohort[cohort["split"] == "test"]
    pd.testing.assert_frame_equal(slices[list(cohort.columns)], test[list(cohort.columns)].reset_index(drop=True))
    assert set(table_of(mapped.exact, "patients")["patient"]) == set(TEST)


def test_lesion_masks_as_maps_find_every_lesion_and_nothing_else(mapped: Mapped) -> None:
    metrics = metrics_of(mapped.exact)
    for group, key in (
        ("slices", "auc"),
        ("slices", "auc_position_matched"),
        ("slices", "peak_hit"),
        ("slices", "sensitivity"),
        ("slices", "specificity"),
        ("patients", "auc"),
        ("patients", "sensitivity"),
        ("patients", "specificity"),
        ("lesions", "sensitivity"),
        ("lesions", "froc_score"),
        ("lesions", "froc_area"),
        ("lesions_3d", "sensitivity"),
        ("lesions_3d", "froc_score"),
    ):
        assert metrics[group][key] == 1, (group, key)
        assert metrics[group][f"{key}_ci95"] == [1, 1], (group, key)
    assert metrics["lesions"]["false_positives_per_image"] == 0
    assert metrics["lesions_3d"]["false_positives_per_patient"] == 0
    assert metrics["lesions_3d"]["n_lesions"] == len(set(TEST) - set(HEALTHY))
    # Not 1: masks go to the cohort by the nearest voxel and maps smoothly, so they differ at borders.
    assert metrics["pixels"]["dice"] > 0.97
    assert metrics["pixels"]["average_precision"] > 0.99
    assert metrics["pixels"]["hausdorff95_mm"] < 110 / 64  # one pixel


def test_maps_beside_the_model_are_named_as_what_they_are(mapped: Mapped, tiny: Any) -> None:
    assert "These maps" in (mapped.exact / "index.html").read_text()
    assert "This model" in (tiny.evaluation / "index.html").read_text()


def test_a_page_needs_nothing_else_and_names_every_baseline(evaluation: Path) -> None:
    page = (evaluation / "index.html").read_text()
    assert "http" not in page
    assert "<script" not in page
    assert page.count('src="data:image/png;base64,') == page.count("src=") == 2
    for name in metrics_of(evaluation)["baselines"]:
        assert f"<td>{TITLES[name]}</td>" in page


def test_sagittal_slices_have_no_mirror(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    cohort = prepare(fpgan, mapped.brats, tmp_path / "cohort", mapped.splits, "--axis", "sagittal")
    evaluate_maps(fpgan, mapped.masks, cohort, tmp_path / "out", FEW)
    names = set(metrics_of(tmp_path / "out")["baselines"])
    assert names == set(TITLES) - {"mirror_difference"}
    assert TITLES["mirror_difference"] not in (tmp_path / "out" / "index.html").read_text()


def test_settings_change_numbers_and_are_recorded(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    def evaluate(*settings: str) -> dict[str, Any]:
        output = tmp_path / ",".join(settings)
        evaluate_maps(
            fpgan, mapped.masks, mapped.cohort, output, FEW, "--quiet", *(f"--set={setting}" for setting in settings)
        )
        metrics = metrics_of(output)
        changed = {key for key, value in metrics["protocol"].items() if value != Protocol().model_dump()[key]}
        assert changed == {setting.split("=")[0] for setting in settings} | {"resamples"}
        for setting in settings:
            key, value = setting.split("=")
            assert str(metrics["protocol"][key]) == value
            assert f"{key} {value}" in (output / "index.html").read_text()
        return metrics

    default = metrics_of(mapped.exact)
    assert "min_size_px" not in (mapped.exact / "index.html").read_text()
    metrics = evaluate("min_size_px=50")
    big = (table_of(mapped.exact, "lesions")["size_px"] > 50).sum()
    assert metrics["lesions"]["n_lesions"] == big < default["lesions"]["n_lesions"]

    metrics = evaluate("score=percentile", "score_percentile=50.0", "binarization=otsu", "hit=iou", "min_iou=0.98")
    # A lesion fills less than half of any slice, so the median sees none; not all candidates equal their lesion.
    assert metrics["slices"]["auc"] == 0.5
    assert metrics["slices"]["sensitivity"] == 0  # at an infinite threshold
    assert metrics["slices"]["threshold"] is None
    assert 0 < metrics["lesions"]["sensitivity_at_false_positives"]["8"] < 1

    metrics = evaluate("binarization=percentile", "binarization_percentile=100.0")
    assert metrics["lesions"]["sensitivity"] == 0  # no pixel is above the highest
    metrics = evaluate("binarization=fixed", "binarization_threshold=1.5")
    assert metrics["lesions"]["sensitivity"] == 0
    assert metrics["lesions"]["false_positives_per_image"] == 0
    metrics = evaluate("binarization=validation", "false_positive_rate=0.01")
    assert metrics["lesions"]["sensitivity"] == 1  # masks are 0 in all healthy slices, so the cut is there


def test_the_seed_changes_intervals_and_nothing_else(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    maps = mapped.noisy.parent / "noisy_maps"
    evaluate_maps(fpgan, maps, mapped.cohort, tmp_path / "same", "--quiet", SOME)
    assert tree(tmp_path / "same") == tree(mapped.noisy)
    evaluate_maps(fpgan, maps, mapped.cohort, tmp_path / "other", "--quiet", SOME, "--set", "seed=1")
    for name in ("slices.csv", "patients.csv", "lesions.csv", "curves.png", "cases.png"):
        assert (tmp_path / "other" / name).read_bytes() == (mapped.noisy / name).read_bytes()
    one, other = (metrics_of(folder) for folder in (mapped.noisy, tmp_path / "other"))
    assert one["slices"]["auc_ci95"] != other["slices"]["auc_ci95"]
    assert one["protocol"].pop("seed") == 0
    assert other["protocol"].pop("seed") == 1
    assert without_intervals(one) == without_intervals(other)


def test_scans_of_one_person_are_resampled_together(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    persons = {"P10": "A", "P11": "A", "P5": "B", "P6": "B", "P7": "B"}
    lines = ["patient,subject,flair,mask"]
    for folder in sorted(mapped.brats.iterdir()):
        name = folder.name
        lines.append(f"{name},{persons.get(name, name)},{folder}/{name}_flair.nii.gz,{folder}/{name}_seg.nii.gz")
    (tmp_path / "patients.csv").write_text("\n".join(lines))
    cohort = prepare(fpgan, tmp_path / "patients.csv", tmp_path / "cohort", mapped.splits)
    evaluate_maps(fpgan, mapped.noisy.parent / "noisy_maps", cohort, tmp_path / "out", SOME)
    together, apart = metrics_of(tmp_path / "out"), metrics_of(mapped.noisy)
    assert together["patients"].pop("n_persons") == 4  # A, B, P8 and P9
    assert apart["patients"].pop("n_persons") == len(TEST)
    assert without_intervals(together) == without_intervals(apart)
    assert together["pixels"]["dice_ci95"] != apart["pixels"]["dice_ci95"]


def without_intervals(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: without_intervals(inner) for key, inner in values.items() if not key.endswith("_ci95")}
    return [without_intervals(inner) for inner in values] if isinstance(values, list) else values


def test_names_that_html_and_mathematics_would_read(fpgan: Callable[..., Any], mapped: Mapped, tmp_path: Path) -> None:
    names = {"P1": "P1", "P2": "P2", "P4": "P4", "P5": "<b>five", "P6": "$x^$6", "P8": "P8"}
    lines = ["patient,flair,mask,domain"]
    splits = ["patient,split"]
    for patient, name in names.items():
        folder = mapped.brats / patient
        lines.append(f"{name},{folder / f'{patient}_flair.nii.gz'},{folder / f'{patient}_seg.nii.gz'},")
        splits.append(f"{name},{'train' if patient == 'P1' else 'validation' if patient in VALIDATION else 'test'}")
        if patient != "P5":
            write_map(tmp_path / "<i>maps", mapped.brats, patient, lesion_of(mapped.brats, patient), name=name)
    (tmp_path / "patients.csv").write_text("\n".join(lines))
    (tmp_path / "splits.csv").write_text("\n".join(splits))
    cohort = prepare(fpgan, tmp_path / "patients.csv", tmp_path / "cohort", tmp_path / "splits.csv")
    evaluate_maps(fpgan, tmp_path / "<i>maps", cohort, tmp_path / "out", FEW)
    page = (tmp_path / "out" / "index.html").read_text()
    assert "<b>five" not in page
    assert "<i>maps" not in page
    assert "patient &lt;b&gt;five" in page
    assert "maps of &lt;i&gt;maps" in page
    assert table_of(tmp_path / "out", "patients")["patient"].tolist() == ["$x^$6", "P8"]
