"""Models scored on validation patients: from labels, against unannotated patients, and without any mask."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from anomaly_fpgan.networks.config import NetworkConfig
from data_prep.cohort import Cohort, open_cohort
from evaluation.difference import clean_map, difference_map, foreground_of
from evaluation.maps import MapSettings
from evaluation.matched import position_matched_auc
from evaluation.roc import auc_score, operating_threshold
from pipelines.config import ValidationSettings
from pipelines.errors import UsageError
from pipelines.screen import Screen
from pipelines.validation import validation_on

AUTO, MAPS = ValidationSettings(), MapSettings()
LABELED = ("H0", "D1", "D2", "H3", "D4")
"""Patients with a mask; H for healthy, D for diseased."""
UNANNOTATED = ("U5", "U6")
OPTIONS = ("--channels", "flair,t1ce", "--size", 32, "--field-of-view-mm", 110)


@pytest.fixture(scope="module")
def labeled(tmp_path_factory: pytest.TempPathFactory, fpgan: Callable[..., Any], write_patient: Any) -> Cohort:
    """Five patients labeled by their masks, all for validation."""
    root = tmp_path_factory.mktemp("labeled")
    for seed, name in enumerate(LABELED):
        write_patient(root / "brats", name, seed=seed, lesion=name.startswith("D"))
    return prepared(fpgan, root, LABELED)


@pytest.fixture(scope="module")
def partly_labeled(tmp_path_factory: pytest.TempPathFactory, fpgan: Callable[..., Any], write_patient: Any) -> Cohort:
    """Patients without masks: a table knows one that is healthy, one that is diseased, and nothing of the others."""
    root = tmp_path_factory.mktemp("partly_labeled")
    names = ("H0", "D1", *UNANNOTATED)
    for seed, name in enumerate(names):
        folder = write_patient(root / "brats", name, seed=seed, lesion=not name.startswith("H"))
        (folder / f"{name}_seg.nii.gz").unlink()
    rows = ["patient,slice,domain", "H0,,healthy", "D1,,diseased", *(f"{name},0," for name in UNANNOTATED)]
    (root / "labels.csv").write_text("\n".join(rows))
    return prepared(fpgan, root, names, "--labels", root / "labels.csv")


@pytest.fixture(scope="module")
def model() -> FixedPointGAN:
    """Untrained, which changes images all the more."""
    torch.manual_seed(0)
    networks = NetworkConfig(generator_width=4, residual_blocks=1, discriminator_width=4)
    return FixedPointGAN((2, 32, 32), DomainScheme(names=("healthy", "diseased")), networks, precision="float32")


def prepared(fpgan: Callable[..., Any], root: Path, names: Iterable[str], *options: object) -> Cohort:
    (root / "splits.csv").write_text("\n".join(["patient,split", *(f"{name},validation" for name in names)]))
    splits = ("--split-csv", root / "splits.csv")
    result = fpgan("prepare", root / "brats", "--output", root / "cohort", *OPTIONS, *splits, *options)
    assert result.exit_code == 0, result.output
    return open_cohort(root / "cohort")


def only(cohort: Cohort, *patients: str) -> Cohort:
    """The cohort without all others."""
    return replace(
        cohort,
        patients=cohort.patients[cohort.patients["patient"].isin(patients)],
        slices=cohort.slices[cohort.slices["patient"].isin(patients)],
    )


def measure(cohort: Cohort, model: FixedPointGAN, settings: ValidationSettings = AUTO) -> dict[str, float]:
    validation = validation_on(cohort, settings, Screen(mute=True), maps=MAPS)
    assert validation is not None
    return validation.score(model)


def spoken(screen: Screen) -> str:
    assert isinstance(screen.console.file, io.StringIO)
    return screen.console.file.getvalue()


@pytest.fixture
def screen() -> Screen:
    """One that can be read with `spoken`."""
    screen = Screen()
    screen.console.file = io.StringIO()
    return screen


def slow_numbers(cohort: Cohort, model: FixedPointGAN, *, gaussian_px: float = 0) -> dict[str, float]:
    """The same from all images at once, each translated twice."""
    slices = cohort.slices[cohort.slices["domains"] != ""]
    images = np.stack([cohort.images(row.patient)[row.row] for row in slices.itertuples()]).astype(np.float32)
    diseased = (slices["domains"] == "diseased").to_numpy()
    difference = difference_map(images, model.translate(images, "healthy"))
    scores = clean_map(difference, foreground_of(images), gaussian_px=gaussian_px).max(axis=(1, 2))
    same = model.translate_labels(images, np.eye(2, dtype=np.float32)[diseased.astype(int)])
    patients = slices["patient"].to_numpy(str)
    names = np.unique(patients)
    patient_diseased = np.array([diseased[patients == name].any() for name in names])
    patient_scores = np.array([scores[patients == name].max() for name in names])
    return {
        "auc": auc_score(diseased, scores),
        "auc_position_matched": position_matched_auc(diseased, scores, slices["height"].to_numpy()).auc,
        "patient_auc": auc_score(patient_diseased, patient_scores),
        "same_domain_l1": float(np.abs(images - same).mean()),
        "threshold": operating_threshold(diseased, scores),
        "patient_threshold": operating_threshold(patient_diseased, patient_scores),
    }


def test_labels_of_both_kinds_give_what_all_images_at_once_give(labeled: Cohort, model: FixedPointGAN) -> None:
    validation = validation_on(labeled, AUTO, Screen(mute=True), maps=MAPS)
    assert validation is not None
    assert validation.choose_by == "auc"
    numbers = validation.score(model)
    assert numbers == pytest.approx(slow_numbers(labeled, model), rel=1e-5)
    assert numbers["same_domain_l1"] > 0.01  # the model does change images, and differently for the two domains
    assert 0 < numbers["auc"] < 1


def test_scores_are_those_of_the_maps_that_are_asked_for(labeled: Cohort, model: FixedPointGAN) -> None:
    validation = validation_on(labeled, AUTO, Screen(mute=True), maps=MapSettings(gaussian_px=2))
    assert validation is not None
    numbers = validation.score(model)
    assert numbers == pytest.approx(slow_numbers(labeled, model, gaussian_px=2), rel=1e-5)
    assert numbers["threshold"] < measure(labeled, model)["threshold"]


def test_images_are_read_in_parts(labeled: Cohort, model: FixedPointGAN, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = slow_numbers(labeled, model)
    for count in (1, 7):  # parts of one kind only, and parts that end within a patient
        monkeypatch.setattr("pipelines.validation._SLICES_AT_ONCE", count)
        assert measure(labeled, model) == pytest.approx(expected, rel=1e-5)


def test_the_order_of_patients_does_not_matter(labeled: Cohort, partly_labeled: Cohort, model: FixedPointGAN) -> None:
    for cohort, settings in ((labeled, AUTO), (partly_labeled, ValidationSettings(choose_by="aucp"))):
        shuffled = replace(
            cohort,
            patients=cohort.patients.sample(frac=1, random_state=0),
            slices=cohort.slices.sample(frac=1, random_state=0),
        )
        assert measure(shuffled, model, settings) == measure(cohort, model, settings)


def test_no_mask_is_opened(labeled: Cohort, model: FixedPointGAN, tmp_path: Path) -> None:
    shutil.copytree(labeled.path, tmp_path / "cohort")
    shutil.rmtree(tmp_path / "cohort" / "masks")
    assert measure(open_cohort(tmp_path / "cohort"), model) == measure(labeled, model)


def test_only_validation_patients_are_measured(labeled: Cohort, model: FixedPointGAN) -> None:
    kept = ["H0", "D1", "D4"]
    split = labeled.slices["split"].where(labeled.slices["patient"].isin(kept), "train")
    assert measure(replace(labeled, slices=labeled.slices.assign(split=split)), model) == pytest.approx(
        slow_numbers(only(labeled, *kept), model), rel=1e-5
    )


def test_without_patients_of_both_kinds_the_slice_threshold_stands_in(labeled: Cohort, model: FixedPointGAN) -> None:
    numbers = measure(only(labeled, "D1", "D2", "D4"), model)  # diseased patients have healthy slices, too
    assert "patient_auc" not in numbers
    assert numbers["patient_threshold"] == numbers["threshold"]


def test_a_patient_of_unknown_domain_counts_by_slices_alone(labeled: Cohort, model: FixedPointGAN) -> None:
    unknown = labeled.patients["domain"].where(labeled.patients["patient"] != "H3", "")
    numbers = measure(replace(labeled, patients=labeled.patients.assign(domain=unknown)), model)
    expected = slow_numbers(labeled, model)
    assert numbers["auc"] == pytest.approx(expected["auc"])
    expected = slow_numbers(only(labeled, "H0", "D1", "D2", "D4"), model)
    assert numbers["patient_auc"] == pytest.approx(expected["patient_auc"])
    assert numbers["patient_threshold"] == pytest.approx(expected["patient_threshold"])


def test_patients_without_label_or_mask_keep_their_slices(partly_labeled: Cohort) -> None:
    unknown = partly_labeled.slices[partly_labeled.slices["domains"] == ""]
    assert set(unknown["patient"]) == set(UNANNOTATED)
    for name in UNANNOTATED:
        assert len(partly_labeled.images(name)) == (unknown["patient"] == name).sum() > 0


def test_unannotated_patients_choose_where_labels_cannot(partly_labeled: Cohort, model: FixedPointGAN) -> None:
    cohort = only(partly_labeled, "H0", *UNANNOTATED)
    validation = validation_on(cohort, AUTO, Screen(mute=True), maps=MAPS)
    assert validation is not None
    assert validation.choose_by == "aucp"
    assert validation.score(model) == pytest.approx(slow_aucp(cohort, model), rel=1e-5)


def slow_aucp(cohort: Cohort, model: FixedPointGAN) -> dict[str, float]:
    """Healthy against unannotated slices, all images at once."""
    parts = {}
    for kind, text in (("healthy", "healthy"), ("mixed", "")):
        rows = cohort.slices[cohort.slices["domains"] == text]
        images = np.stack([cohort.images(row.patient)[row.row] for row in rows.itertuples()]).astype(np.float32)
        parts[kind] = images, model.translate(images, "healthy")
    scores = {kind: difference_map(*images).max(axis=(1, 2)) for kind, images in parts.items()}
    won = scores["mixed"][:, None] > scores["healthy"]
    images, same = parts["healthy"]
    return {"aucp": float(won.mean()), "same_domain_l1": float(np.abs(images - same).mean())}


def test_labels_are_preferred_but_aucp_can_be_asked_for(partly_labeled: Cohort, model: FixedPointGAN) -> None:
    validation = validation_on(partly_labeled, AUTO, Screen(mute=True), maps=MAPS)
    assert validation is not None
    assert validation.choose_by == "auc"
    validation = validation_on(partly_labeled, ValidationSettings(choose_by="aucp"), Screen(mute=True), maps=MAPS)
    assert validation is not None
    assert validation.choose_by == "aucp"
    assert validation.score(model) == pytest.approx(slow_aucp(partly_labeled, model), rel=1e-5)  # without D1


def test_a_slice_that_is_left_out_of_a_labeled_patient_is_not_unannotated(
    partly_labeled: Cohort, model: FixedPointGAN
) -> None:
    skipped = (partly_labeled.slices["patient"] == "D1") & (partly_labeled.slices["row"] > 0)
    cohort = replace(
        partly_labeled,
        slices=partly_labeled.slices.assign(domains=partly_labeled.slices["domains"].where(~skipped, "")),
    )
    settings = ValidationSettings(choose_by="aucp")
    assert measure(cohort, model, settings) == measure(partly_labeled, model, settings)


def test_the_share_of_healthy_slices_corrects_aucp(partly_labeled: Cohort, model: FixedPointGAN) -> None:
    plain = measure(partly_labeled, model, ValidationSettings(choose_by="aucp"))
    corrected = measure(partly_labeled, model, ValidationSettings(choose_by="aucp", mixed_healthy_share=0.6))
    assert corrected["aucp"] == pytest.approx((plain["aucp"] - 0.3) / 0.4)
    assert corrected["same_domain_l1"] == plain["same_domain_l1"]


def test_a_slice_with_a_small_lesion_is_not_unannotated(labeled: Cohort, screen: Screen) -> None:
    """Its patient has a mask, and may have no other slice with a lesion."""
    cohort = only(labeled, "H0", "D1")
    small = (cohort.slices["patient"] == "D1") & (cohort.slices["domains"] == "diseased")
    assert small.any()
    cohort = replace(
        cohort,
        slices=cohort.slices.assign(domains=cohort.slices["domains"].where(~small, "")),
        patients=cohort.patients.assign(domain=cohort.patients["domain"].where(cohort.patients["patient"] != "D1", "")),
    )
    assert validation_on(cohort, AUTO, screen, maps=MAPS) is None
    without_mask = cohort.patients.assign(mask="")
    validation = validation_on(replace(cohort, patients=without_mask), AUTO, screen, maps=MAPS)
    assert validation is not None
    assert validation.choose_by == "aucp"


def test_last_measures_what_can_be_measured_and_chooses_nothing(
    labeled: Cohort, partly_labeled: Cohort, model: FixedPointGAN, screen: Screen
) -> None:
    last = ValidationSettings(choose_by="last")
    for cohort in (labeled, only(partly_labeled, "H0", *UNANNOTATED)):
        validation = validation_on(cohort, last, screen, maps=MAPS)
        assert validation is not None
        assert validation.choose_by is None
        assert validation.score(model) == measure(cohort, model)
    assert validation_on(only(labeled, "H0"), last, screen, maps=MAPS) is None
    assert spoken(screen) == ""


def kept_scores(cohort: Cohort, model: FixedPointGAN, settings: ValidationSettings = AUTO) -> dict[str, Any]:
    """What measuring a model leaves in it."""
    model.metadata.clear()
    measure(cohort, model, settings)
    scores: dict[str, Any] = model.metadata["validation_scores"]
    return scores


def slow_scores(cohort: Cohort, model: FixedPointGAN) -> pd.DataFrame:
    """The slices with their score, from all images at once."""
    slices = cohort.slices
    images = np.stack([cohort.images(row.patient)[row.row] for row in slices.itertuples()]).astype(np.float32)
    return slices.assign(score=difference_map(images, model.translate(images, "healthy")).max(axis=(1, 2)))


def test_scores_of_patients_and_slices_stay_in_the_model(labeled: Cohort, model: FixedPointGAN) -> None:
    slices = slow_scores(labeled, model)
    slices = slices[slices["domains"] != ""]
    of_patients = slices.groupby("patient")["score"].max()
    expected = {
        "patients": {"healthy": of_patients[["H0", "H3"]], "diseased": of_patients[["D1", "D2", "D4"]]},
        "slices": {kind: slices["score"][slices["domains"] == kind] for kind in ("healthy", "diseased")},
    }
    kept = kept_scores(labeled, model)
    assert kept == {
        of: {kind: pytest.approx(sorted(scores), abs=1e-5) for kind, scores in kinds.items()}
        for of, kinds in expected.items()
    }
    assert kept["patients"]["diseased"] == sorted(kept["patients"]["diseased"])


def test_without_a_healthy_patient_its_kind_is_empty(labeled: Cohort, model: FixedPointGAN) -> None:
    kept = kept_scores(only(labeled, "D1", "D2"), model)
    assert kept["patients"]["healthy"] == []
    assert len(kept["patients"]["diseased"]) == 2
    assert len(kept["slices"]["healthy"]) > 0


def test_without_a_known_patient_only_slices_have_scores(labeled: Cohort, model: FixedPointGAN) -> None:
    kept = kept_scores(replace(labeled, patients=labeled.patients.assign(domain="")), model)
    assert kept["patients"] == {"healthy": [], "diseased": []}
    assert kept["slices"] == kept_scores(labeled, model)["slices"]


def test_against_unannotated_patients_only_healthy_ones_have_scores(labeled: Cohort, model: FixedPointGAN) -> None:
    """Of the diseased ones no more than the healthy slices are scored."""
    unannotated = {"domain": "", "mask": ""}
    is_unannotated = labeled.patients["patient"] == "D4"
    cohort = replace(
        labeled,
        patients=labeled.patients.assign(
            **{c: labeled.patients[c].mask(is_unannotated, v) for c, v in unannotated.items()}
        ),
        slices=labeled.slices.assign(domains=labeled.slices["domains"].mask(labeled.slices["patient"] == "D4", "")),
    )
    slices = slow_scores(cohort, model)
    healthy = slices[slices["domains"] == "healthy"]
    kept = kept_scores(cohort, model, ValidationSettings(choose_by="aucp"))
    assert kept == {
        "patients": {
            "healthy": pytest.approx(sorted(healthy.groupby("patient")["score"].max()[["H0", "H3"]]), abs=1e-5),
            "diseased": [],
        },
        "slices": {"healthy": pytest.approx(sorted(healthy["score"]), abs=1e-5), "diseased": []},
    }
    assert set(healthy["patient"]) == {"H0", "D1", "D2", "H3"}


def test_a_trained_model_holds_the_scores_of_its_own_validation(tiny: Any) -> None:
    model = FixedPointGAN.load(tiny.run)
    scores = model.metadata["validation_scores"]
    assert scores == kept_scores(open_cohort(tiny.cohort), model)
    assert scores["patients"]["healthy"] + scores["patients"]["diseased"]
    assert scores["slices"]["healthy"]
    assert scores["slices"]["diseased"]


def test_the_same_training_writes_the_same_model_file(
    tiny: Any, tiny_training: list[str], fpgan: Callable[..., Any], tmp_path: Path
) -> None:
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", *tiny_training)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / MODEL_FILE).read_bytes() == (tiny.run / MODEL_FILE).read_bytes()


NO_HEALTHY = "none of the domains is the healthy one, so models cannot be scored; the last will be kept"
ONE_KIND = "the validation slices do not show both domains; the last model will be kept"


@pytest.mark.parametrize(
    ("patients", "changes", "warning"),
    [
        (("H0", "H3"), {}, ONE_KIND),
        ((), {}, ONE_KIND),
        (("H0", "D1"), {"healthy": None}, NO_HEALTHY),
    ],
)
def test_auto_warns_where_nothing_can_choose(
    labeled: Cohort, screen: Screen, patients: tuple[str, ...], changes: Mapping[str, Any], warning: str
) -> None:
    domains = labeled.settings.domains.model_copy(update=changes)
    cohort = replace(only(labeled, *patients), settings=labeled.settings.model_copy(update={"domains": domains}))
    assert validation_on(cohort, AUTO, screen, maps=MAPS) is None
    assert spoken(screen) == f"warning: {warning}\n"


@pytest.mark.parametrize(
    ("choose_by", "patients", "missing"),
    [
        ("auc", ("H0", *UNANNOTATED), "diseased"),
        ("auc", UNANNOTATED, "healthy and no diseased"),
        ("aucp", ("H0", "D1"), "unannotated"),
        ("aucp", UNANNOTATED, "healthy"),
        ("aucp", (), "healthy and no unannotated"),
    ],
)
def test_asking_for_the_impossible_says_what_is_missing(
    partly_labeled: Cohort, choose_by: Any, patients: tuple[str, ...], missing: str
) -> None:
    message = (
        f"setting `validation.choose_by`: {choose_by} cannot be measured, {partly_labeled.path} has no {missing} "
        "validation slice; choose auto, or prepare it with such patients"
    )
    with pytest.raises(UsageError) as caught:
        validation_on(
            only(partly_labeled, *patients),
            ValidationSettings(choose_by=choose_by),
            Screen(mute=True),
            maps=MAPS,
        )
    assert str(caught.value) == message


def test_attributes_are_healthy_where_none_holds(labeled: Cohort) -> None:
    scheme = DomainScheme(names=("edema", "core"), exclusive=False, healthy=None)
    torch.manual_seed(0)
    model = FixedPointGAN(
        (2, 32, 32), scheme, NetworkConfig(generator_width=4, residual_blocks=1, discriminator_width=4)
    )
    words = {"healthy": "none", "diseased": "edema;core"}
    domains = labeled.settings.domains.model_validate(scheme.model_dump())
    cohort = replace(
        labeled,
        settings=labeled.settings.model_copy(update={"domains": domains}),
        slices=labeled.slices.assign(domains=labeled.slices["domains"].replace(words)),
        patients=labeled.patients.assign(domain=labeled.patients["domain"].replace(words)),
    )
    slices = cohort.slices[cohort.slices["domains"] != ""]
    images = np.stack([cohort.images(row.patient)[row.row] for row in slices.itertuples()]).astype(np.float32)
    labels = np.repeat((slices["domains"] != "none").to_numpy(np.float32)[:, None], 2, axis=1)
    same = model.translate_labels(images, labels)
    assert measure(cohort, model)["same_domain_l1"] == pytest.approx(np.abs(images - same).mean(), rel=1e-5)
    assert pd.notna(measure(cohort, model)["patient_auc"])
