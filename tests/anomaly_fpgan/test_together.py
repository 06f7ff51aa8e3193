"""Several datasets as one: items keep their place, names and labels, and each dataset is drawn as often."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from anomaly_fpgan.errors import TrainingError
from anomaly_fpgan.training.config import Augmentation, TrainingConfig
from anomaly_fpgan.training.draws import Draws
from anomaly_fpgan.training.together import Together

DOMAINS = TrainingConfig().domains


class Constant:
    """Images that are all `value`, `counts` of them healthy and diseased, all of one patient."""

    def __init__(self, value: float, counts: tuple[int, int]) -> None:
        self.value = value
        self.domains = np.repeat(np.eye(2, dtype=np.float32), counts, axis=0)
        self.patients = np.full(len(self.domains), "P")

    def __len__(self) -> int:
        return len(self.domains)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        assert 0 <= index < len(self)
        return np.full((1, 32, 32), self.value, np.float16), self.domains[index]


def test_items_follow_each_other_with_their_labels() -> None:
    together = Together([Constant(0.25, (2, 1)), Constant(0.5, (1, 1))], DOMAINS)
    assert len(together) == 5
    assert [float(together[index][0].max()) for index in range(5)] == [0.25, 0.25, 0.25, 0.5, 0.5]
    assert [int(together[index][1].argmax()) for index in range(5)] == [0, 0, 1, 0, 1]
    assert together.domains.argmax(1).tolist() == [0, 0, 1, 0, 1]
    assert together.sources.tolist() == [0, 0, 0, 1, 1]


def test_patients_of_the_same_name_are_two() -> None:
    together = Together([Constant(0, (1, 1)), Constant(0, (1, 1))], DOMAINS)
    assert len(set(together.patients)) == 2


def test_a_dataset_without_patients_has_one_for_each_image() -> None:
    few = Constant(0, (2, 1))
    del few.patients
    assert len(set(Together([few, Constant(0, (2, 1))], DOMAINS).patients)) == 4


def test_heights_are_those_of_all_datasets_or_of_none() -> None:
    first, second = Constant(0, (2, 1)), Constant(0, (1, 1))
    first.heights = np.array([0.1, 0.2, 0.3])
    assert not hasattr(Together([first, second], DOMAINS), "heights")
    second.heights = np.array([0.4, 0.5])
    assert Together([first, second], DOMAINS).heights.tolist() == [0.1, 0.2, 0.3, 0.4, 0.5]


def test_a_dataset_that_lacks_a_domain_is_refused() -> None:
    with pytest.raises(TrainingError, match="no training image is diseased"):
        Together([Constant(0, (1, 1)), Constant(0, (2, 0))], DOMAINS)


def drawn(together: Together, batch_size: int, steps: int) -> list[Counter[tuple[int, int]]]:
    """For each step how often a label of a source was drawn."""
    draws = Draws(
        together.domains,
        together.patients,
        together.sources,
        domains=DOMAINS,
        batch_size=batch_size,
        augmentation=Augmentation(),
        image_shape=(1, 32, 32),
        seed=0,
    )
    labels = together.domains.argmax(1)
    return [
        Counter((int(together.sources[item]), int(labels[item])) for item in draws(step).items) for step in range(steps)
    ]


def test_each_label_of_each_dataset_is_as_frequent_in_every_batch() -> None:
    together = Together([Constant(0, (3, 1)), Constant(0, (500, 90))], DOMAINS)
    every = {(source, label): 2 for source in (0, 1) for label in (0, 1)}
    assert all(step == every for step in drawn(together, batch_size=8, steps=10))


def test_small_batches_are_balanced_on_average() -> None:
    together = Together([Constant(0, (3, 1)), Constant(0, (500, 90))], DOMAINS)
    steps = drawn(together, batch_size=2, steps=400)
    assert all(sum(count for (_, label), count in step.items() if label == 0) == 1 for step in steps)
    # 400 fair draws of a source for each label: a deviation of 10.
    total = sum(steps, Counter())
    assert all(abs(total[source, label] - 200) < 50 for source in (0, 1) for label in (0, 1))
