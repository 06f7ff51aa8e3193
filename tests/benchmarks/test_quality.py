"""The quality benchmark's page, its choice of checkpoints, and what is run anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.quality.__main__ import PAGE
from benchmarks.quality.configuration import Configuration, shortened
from benchmarks.quality.data import DATA_SETS, Fold, known
from benchmarks.quality.groups import CONFIGURATIONS, GROUPS, SHORT_GROUPS
from benchmarks.quality.plan import Store, make_run, stages
from benchmarks.quality.summary import choices, read_results
from benchmarks.quality.table import render
from data_prep.cohort import Cohort
from data_prep.preparation import Preparation
from data_prep.settings import CohortSettings


def result(configuration: str, seed: int, auc: float | None, *, data: str = "embedded-default") -> dict[str, Any]:
    checkpoints = [
        {"iteration": 1, "validation_auc": 0.9, "validation_auc_matched": 0.5, "label_free": 0.1, "test_auc": 0.7},
        {"iteration": 2, "validation_auc": 0.8, "validation_auc_matched": 0.6, "label_free": 0.2, "test_auc": 0.95},
        {"iteration": 3, "validation_auc": 0.8, "validation_auc_matched": 0.5, "label_free": 0.2, "test_auc": 0.9},
    ]
    for row in checkpoints:
        row["test_average_precision"] = None
    return {
        "data": data,
        "fold": 0,
        "test_patients": ["A"],
        "configuration": configuration,
        "words": "words",
        "seed": seed,
        "numbers": {"slices.auc": auc, "seconds": 10.0, "iterations": 600},
        "baselines": {"Brightest pixel": {"slices.auc": 0.5}},
        "trainings": {f"{configuration}{seed}": {"seconds": 10, "milestone_seconds": 1, "checkpoints": checkpoints}},
        "measuring_seconds": 1.0,
        "finished": "2026-01-01T00:00:00",
        "hardware": "one core",
        "versions": {"torch": "2"},
    }


def row_of(page: str, start: str) -> list[str]:
    """The cells of the first table row that starts so."""
    return [
        cell.strip() for cell in next(line for line in page.splitlines() if line.startswith(start)).split("|")[1:-1]
    ]


def test_the_page_is_what_the_kept_results_make() -> None:
    kept = read_results(PAGE.parent / "measured" / "full" / "results")
    assert kept
    assert render(kept) == PAGE.read_text(encoding="utf-8")


def test_cells_are_the_mean_and_the_range_over_seeds() -> None:
    page = render([result("base", 0, 0.8), result("base", 1, 0.9)])
    assert row_of(page, "| **base**: words")[1] == "0.850 [0.800–0.900]"
    assert row_of(page, "| *Brightest pixel*")[1] == "0.500"


def test_what_is_undefined_is_a_dash() -> None:
    assert row_of(render([result("base", 0, None)]), "| **base**: words")[1] == "–"


@pytest.mark.parametrize(("auc", "text"), [(0.95, "**+0.100**"), (0.87, "+0.020")])
def test_only_a_difference_beyond_the_range_over_seeds_is_bold(auc: float, text: str) -> None:
    results = [result("base", 0, 0.82), result("base", 1, 0.88)]
    results += [result("last", seed, auc) for seed in (0, 1)]
    assert row_of(render(results), "| last ")[1] == text


def test_where_the_base_was_not_run_baselines_and_patients_stand_beside_the_first_that_was() -> None:
    page = render([result(name, 0, 0.9, data="real-flair") for name in ("pretrained", "embedded-only")])
    assert row_of(page, "| *Brightest pixel*")[1] == "0.500"
    assert "Patients by themselves, embedded-only:" in page
    assert row_of(page, "| A ")[1] == "0.900"
    assert row_of(page, "| pretrained ")[1] == "+0.000"


def test_baselines_evaluated_otherwise_stand_there_once_and_only_where_that_makes_a_difference() -> None:
    results = [result(name, seed, 0.9) for name in ("base", "last", "gaussian-1", "median-3") for seed in (0, 1)]
    for own in results:
        if own["configuration"] in ("gaussian-1", "median-3"):
            own["baselines"] = {"Brightest pixel": {"slices.auc": 0.7}}
    page = render(results)
    assert row_of(page, "| *Brightest pixel*, median-3")[1] == "0.700"
    assert page.count("*Brightest pixel*,") == 1
    assert "Baselines evaluated" not in render(results[:4])


def test_rules_choose_the_latest_of_the_best_checkpoints() -> None:
    choice = choices([result("base", 0, 0.9)], "test_auc")
    assert list(choice.by_rule.values()) == [0.7, 0.95, 0.9, 0.9, 0.95]
    assert choice.last_below_best == pytest.approx(0.05)


def test_every_configuration_has_valid_settings_and_groups_name_what_there_is() -> None:
    names = {own.name for own in CONFIGURATIONS}
    assert len(names) == len(CONFIGURATIONS)
    for own in CONFIGURATIONS:
        assert own.training_config(1).seed == own.first_config(1).seed == 1
        own.evaluation_protocol()
        assert set(own.pretrained_on.values()) <= {data.name for data in DATA_SETS}
    for group in (*GROUPS.values(), *SHORT_GROUPS.values()):
        assert set(group.configurations) <= names
        assert len(known(group.data)) == len(group.data)


def test_the_short_form_trains_less_and_warms_up_less() -> None:
    warmup, base = (next(own for own in CONFIGURATIONS if own.name == name) for name in ("warmup", "base"))
    whole, short = warmup.training_config(0), shortened(warmup).training_config(0)
    assert short.iterations == whole.iterations // 3
    assert 0 < short.warmup_iterations == whole.warmup_iterations // 3
    assert short.model_copy(update={"iterations": 0, "critic_warmup": 0, "validate_every": 1}) == whole.model_copy(
        update={"iterations": 0, "critic_warmup": 0, "validate_every": 1}
    )
    assert shortened(base).training_config(0).warmup_iterations == 0


@pytest.mark.parametrize("name", ["embedded-only", "embedded-identity-start", "embedded-long"])
def test_what_saw_embedded_patients_alone_is_not_trained_on_real_ones(name: str) -> None:
    config = next(own for own in CONFIGURATIONS if own.name == name).training_config(0)
    assert not any(config.moves_generator(iteration + 1) for iteration in range(config.iterations))


def test_a_changed_configuration_is_run_anew(tmp_path: Path) -> None:
    store = Store(results=tmp_path / "results", trainings=tmp_path / "trainings")
    fold = Fold(data=DATA_SETS[0], number=0, cohort=_empty_cohort(tmp_path))
    configuration = Configuration(name="x", words="")
    done = make_run(configuration, fold, None, 0)
    path = store.result(done)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"digest": done.digest}))
    assert not any(stages([done], store))
    for changes in ({"training": {"iterations": 7}}, {"protocol": {"median_px": 3}}, {"choose_by": "last"}):
        (job,) = stages([make_run(replace(configuration, **changes), fold, None, 0)], store)[1]
        assert [str(run) for run in job.runs] == ["embedded-default x seed 0"]


def _empty_cohort(path: Path) -> Cohort:
    table = pd.DataFrame({"patient": np.array([], str), "sha256": [], "split": []})
    return Cohort(
        path=path, settings=CohortSettings(preparation=Preparation(channels=("flair",))), patients=table, slices=table
    )
