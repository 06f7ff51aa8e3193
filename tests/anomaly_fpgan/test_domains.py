"""Encoding of domains and the draw of targets."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from anomaly_fpgan.domains import DomainScheme

EXCLUSIVE = DomainScheme(names=("healthy", "edema", "tumor"))
ATTRIBUTES = DomainScheme(names=("edema", "enhancing"), exclusive=False, healthy=None)


def test_exclusive_label_has_a_single_one() -> None:
    assert EXCLUSIVE.encode("edema").tolist() == [0, 1, 0]
    assert EXCLUSIVE.healthy_label().tolist() == [1, 0, 0]


def test_attributes_may_hold_together_and_none_of_them_is_healthy() -> None:
    assert ATTRIBUTES.encode(["edema", "enhancing"]).tolist() == [1, 1]
    assert ATTRIBUTES.healthy_label().tolist() == [0, 0]
    assert ATTRIBUTES.encode("healthy").tolist() == [0, 0]


@pytest.mark.parametrize("scheme", [EXCLUSIVE, ATTRIBUTES])
def test_a_target_always_differs_from_its_source(scheme: DomainScheme) -> None:
    random = torch.Generator().manual_seed(0)
    for _ in range(50):
        if scheme.exclusive:
            source = torch.eye(len(scheme))[torch.randint(len(scheme), (16,), generator=random)]
        else:
            source = torch.randint(2, (16, len(scheme)), generator=random).float()
        target = scheme.draw_target(source, random)
        assert (target != source).any(1).all()
        assert set(target.unique().tolist()) <= {0.0, 1.0}
        if scheme.exclusive:
            assert (target.sum(1) == 1).all()


def test_exclusive_targets_are_uniform_over_the_other_domains() -> None:
    source = torch.eye(3)[torch.zeros(3000, dtype=torch.long)]
    counts = EXCLUSIVE.draw_target(source, torch.Generator().manual_seed(1)).sum(0)
    assert counts[0] == 0
    assert counts[1].item() == pytest.approx(1500, abs=150)


def test_unknown_domain_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown domain 'ill'; this model knows healthy, edema, tumor"):
        EXCLUSIVE.encode("ill")


def test_names_must_be_distinct() -> None:
    with pytest.raises(ValidationError, match="must be distinct"):
        DomainScheme(names=("a", "a"))
