# SPDX-License-Identifier: GPL-3.0-only
"""Generates workloads of four kinds; the same seed gives the same one.

Requests arrive whatever becomes of those before them (an open loop), so that every policy is given
the same ones. Model ``k`` of ``n`` has the weight 1 / k (Zipf's law with the exponent 1, which is
what caches see; Breslau et al., "Web Caching and Zipf-like Distributions", INFOCOM 1999).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, islice
from typing import Final, TypeAlias

from modeld.simulation.workload import Arrival, ModelFacts, Workload

GIB: Final = 1 << 30
SMALLEST_GIB: Final = 1.0
LARGEST_GIB: Final = 24.0
FAST_GIB_PER_S: Final = 2.0
SLOW_GIB_PER_S: Final = 0.25
OVERHEAD_S: Final = 1.0
SLOTS: Final = 4
SERVICE_S: Final = 3.0
SPREAD: Final = 0.8
ALIKE: Final = ModelFacts(held_bytes=8 * GIB, load_seconds=5.0, slots=SLOTS)

DAY_S: Final = 86_400.0
SWING: Final = 0.9
BURST: Final = 12.0
PAUSE_S: Final = 10.0
TEAM: Final = 3
STEPS: Final = 24.0
STEP_S: Final = 6.0

Moments: TypeAlias = Iterator[tuple[float, int]]
"""When which model is asked for, by its number; in no order."""


def generated(
    kind: str,
    *,
    models: int,
    requests: int,
    rate_per_s: float,
    seed: int,
    are_alike: bool = False,
) -> Workload:
    """Return a workload of one of :data:`KINDS`, with ``rate_per_s`` requests in a second.

    A model holds 1 to 24 GiB, log-uniformly. Its load takes a second, and what its bytes take at
    2 GiB/s (a fast disk, or the page cache) or at 0.25 (a slow disk, or a network), with equal
    chances. A request holds one of its four slots for a time that is log-normal (median 3 s,
    sigma 0.8). Models that ``are_alike`` hold 8 GiB each, and load in 5 s.
    """
    chance = random.Random(seed)  # noqa: S311  (the same workload each time)
    facts = [ALIKE if are_alike else _facts(chance) for _ in range(models)]
    # Bursts overlap, so the very end is a little thinner than the rest.
    moments = sorted(islice(KINDS[kind](chance, models, rate_per_s), requests))
    names = [f"model-{number + 1:02}" for number in range(models)]
    return Workload(
        models=dict(zip(names, facts, strict=True)),
        arrivals=[
            Arrival(at_s, names[model], SERVICE_S * math.exp(SPREAD * chance.gauss(0.0, 1.0)))
            for at_s, model in moments
        ],
    )


def zipf(chance: random.Random, models: int, rate_per_s: float) -> Moments:
    """Yield a Poisson process; each request is for a model by its weight, whatever came before."""
    totals = list(accumulate(_weights(models)))
    numbers = range(models)
    now_s = 0.0
    while True:
        now_s += chance.expovariate(rate_per_s)
        (model,) = chance.choices(numbers, cum_weights=totals)
        yield now_s, model


def diurnal(chance: random.Random, models: int, rate_per_s: float) -> Moments:
    """Yield what is wanted by day or by night: a Poisson process whose rate swings over 24 hours.

    The rate of each model is its share * (1 + 0.9 * sin(2π t / day + phase)), with phases that are
    drawn for each model: what is in demand changes in the course of a day. Made by thinning (Lewis
    and Shedler, "Simulation of Nonhomogeneous Poisson Processes by Thinning", Naval Research
    Logistics 26, 1979).
    """
    phases = [chance.uniform(0.0, 2 * math.pi) for _ in range(models)]
    for now_s, model in zipf(chance, models, rate_per_s * (1 + SWING)):
        swing = 1 + SWING * math.sin(2 * math.pi * now_s / DAY_S + phases[model])
        if chance.random() * (1 + SWING) < swing:
            yield now_s, model


def bursty(chance: random.Random, models: int, rate_per_s: float) -> Moments:
    """Yield conversations: they begin as a Poisson process, each with one model, by its weight.

    Each has a geometric number of requests, 12 on average, with exponential pauses of 10 s.
    """
    for began_s, model in zipf(chance, models, rate_per_s / BURST):
        now_s = began_s
        for _ in range(_geometric(chance, BURST)):
            yield now_s, model
            now_s += chance.expovariate(1 / PAUSE_S)


def agents(chance: random.Random, models: int, rate_per_s: float) -> Moments:
    """Yield agents, each of which alternates between three models: plan, write, review, plan …

    Tasks begin as a Poisson process. Each draws its models by their weights, without repetition,
    and has a geometric number of steps, 24 on average, every 6 s on average (exponential).
    """
    weights = _weights(models)
    now_s = 0.0
    while True:
        now_s += chance.expovariate(rate_per_s / STEPS)
        team = _drawn(chance, weights, min(TEAM, models))
        step_s = now_s
        for step in range(_geometric(chance, STEPS)):
            yield step_s, team[step % len(team)]
            step_s += chance.expovariate(1 / STEP_S)


KINDS: Final[Mapping[str, Callable[[random.Random, int, float], Moments]]] = {
    "zipf": zipf,
    "diurnal": diurnal,
    "bursty": bursty,
    "agents": agents,
}


def _facts(chance: random.Random) -> ModelFacts:
    size_gib = math.exp(chance.uniform(math.log(SMALLEST_GIB), math.log(LARGEST_GIB)))
    speed = chance.choice((FAST_GIB_PER_S, SLOW_GIB_PER_S))
    return ModelFacts(
        held_bytes=int(size_gib * GIB), load_seconds=OVERHEAD_S + size_gib / speed, slots=SLOTS
    )


def _weights(models: int) -> list[float]:
    return [1 / (rank + 1) for rank in range(models)]


def _drawn(chance: random.Random, weights: Sequence[float], count: int) -> list[int]:
    """Return ``count`` different numbers by their weights (Efraimidis and Spirakis, 2006)."""
    keys = [(chance.random() ** (1 / weight), number) for number, weight in enumerate(weights)]
    return [number for _, number in sorted(keys, reverse=True)[:count]]


def _geometric(chance: random.Random, mean: float) -> int:
    """Return a number from 1 on, ``mean`` on average."""
    return 1 + int(math.log(1.0 - chance.random()) / math.log(1.0 - 1.0 / mean))
