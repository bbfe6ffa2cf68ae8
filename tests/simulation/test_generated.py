# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from modeld.simulation.generated import GIB, KINDS, generated
from modeld.simulation.workload import Workload


def made(kind: str, requests: int = 20_000, seed: int = 1) -> Workload:
    return generated(kind, models=8, requests=requests, rate_per_s=0.5, seed=seed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_rate_that_was_asked_for_and_is_the_same_for_the_same_seed(
    kind: str,
) -> None:
    work = made(kind)
    assert len(work.arrivals) == 20_000
    assert 20_000 / work.arrivals[-1].arrived_s == pytest.approx(0.5, rel=0.15)
    times = [each.arrived_s for each in work.arrivals]
    assert times == sorted(times)
    assert {each.model for each in work.arrivals} <= set(work.models)
    assert made(kind, 500) == made(kind, 500)
    assert made(kind, 500) != made(kind, 500, seed=2)


def test_models_have_the_sizes_and_speeds_that_are_told() -> None:
    for facts in made("zipf", 1).models.values():
        size = facts.held_bytes / GIB
        assert 1.0 <= size <= 24.0
        speeds = [size / (facts.load_seconds - 1.0)]
        assert speeds[0] == pytest.approx(2.0, rel=1e-3) or speeds[0] == pytest.approx(
            0.25, rel=1e-3
        )


def test_by_zipf_the_first_is_asked_for_k_times_as_often_as_the_kth() -> None:
    counts = Counter(each.model for each in made("zipf").arrivals)
    for rank, model in enumerate(sorted(counts), 1):
        assert counts["model-01"] / counts[model] == pytest.approx(rank, rel=0.15)


def test_by_day_a_model_is_asked_for_more_often_than_by_night() -> None:
    hours: Counter[int] = Counter()
    for each in made("diurnal", 60_000).arrivals:
        if each.model == "model-01":
            hours[int(each.arrived_s // 3600) % 24] += 1
    assert max(hours.values()) > 4 * min(hours.values())


def test_the_requests_of_a_burst_are_for_one_model_and_those_of_agents_are_not() -> None:
    def same(kind: str) -> float:
        """Return how often a request is for the same model as the one before it."""
        work = generated(kind, models=50, requests=5_000, rate_per_s=0.01, seed=3)
        pairs = list(pairwise(each.model for each in work.arrivals))
        return sum(one == other for one, other in pairs) / len(pairs)

    assert same("bursty") > 0.8
    assert same("agents") < 0.2
