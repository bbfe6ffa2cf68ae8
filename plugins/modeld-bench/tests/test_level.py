# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio

import pytest
from bench_runs import answered, failed
from modeld_bench import level as level_module
from modeld_bench.level import End, Level
from modeld_bench.outcome import Outcome
from modeld_bench.prompts import Text, Words


@pytest.mark.parametrize(("clients", "requests"), [(1, 5), (3, 7), (8, 2)])
def test_exactly_so_many_requests_are_sent_and_never_more_at_once_than_clients(clients, requests):
    under_way, most = 0, 0

    async def send() -> Outcome:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return answered(1.0)

    level = Level(clients, End(requests=requests), send)
    asyncio.run(level.run(lambda _: None))
    assert len(level.outcomes) == level.begun == requests
    assert most == min(clients, requests)
    assert level.complete


def test_a_client_waits_after_a_failure_so_that_refusals_are_no_flood(monkeypatch):
    pauses = []

    async def send() -> Outcome:
        return failed("429") if len(pauses) < 2 else answered(1.0)

    async def sleep(delay_s: float) -> None:
        if delay_s == level_module.PAUSE_S:
            pauses.append(delay_s)
        else:
            await asyncio.Event().wait()

    monkeypatch.setattr(level_module.asyncio, "sleep", sleep)
    level = Level(1, End(requests=4), send)
    asyncio.run(level.run(lambda _: None))
    assert len(pauses) == 2
    assert len(level.outcomes) == 4


def test_what_has_ended_before_an_interruption_is_kept():
    async def scenario() -> Level:
        stuck = asyncio.Event()

        async def send() -> Outcome:
            if level.begun > 2:
                stuck.set()
                await asyncio.Event().wait()
            return answered(1.0)

        level = Level(2, End(requests=9), send)
        running = asyncio.create_task(level.run(lambda _: None))
        await stuck.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return level

    level = asyncio.run(scenario())
    assert len(level.outcomes) == 2
    assert level.begun == 4
    assert not level.complete


def test_the_end_by_the_clock_has_a_bound_on_requests():
    end = End(duration_s=10)
    assert not end.reached(5, 9.9)
    assert end.reached(5, 10.0)
    assert end.reached(level_module.MAX_REQUESTS, 1.0)
    assert end.fraction(5, 2.5) == 0.25
    assert end.fraction(5, 99.0) == 1.0


def test_the_end_by_a_number_of_requests_does_not_look_at_the_clock():
    end = End(requests=4)
    assert not end.reached(3, 1e9)
    assert end.reached(4, 0.0)
    assert end.fraction(1, 1e9) == 0.25


def test_made_prompts_differ_from_their_first_words_on():
    prompts = [Words(tokens=50, shared=0, seed=1).prompt(number) for number in range(200)]
    assert len({tuple(prompt.split()[:8]) for prompt in prompts}) == 200
    assert {len(prompt.split()) for prompt in prompts} == {50}


def test_a_shared_prefix_is_common_and_the_rest_is_not():
    prompts = [Words(tokens=50, shared=30, seed=1).prompt(number) for number in range(50)]
    assert len({tuple(prompt.split()[:30]) for prompt in prompts}) == 1
    assert len({tuple(prompt.split()[30:38]) for prompt in prompts}) == 50


def test_the_same_seed_makes_the_same_prompts_again():
    first, again, other = (Words(tokens=20, shared=5, seed=seed) for seed in (1, 1, 2))
    assert first.prompt(3) == again.prompt(3) != other.prompt(3)
    assert first.prompt(3).split()[:5] != other.prompt(3).split()[:5]


def test_a_given_prompt_is_sent_as_it_is():
    assert Text(text="a\n").prompt(1) == Text(text="a\n").prompt(2) == "a\n"
