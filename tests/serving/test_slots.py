# SPDX-License-Identifier: GPL-3.0-only
"""``slots`` is how many requests a loaded model works on at once, whoever says it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from modeld.errors import ConfigurationError
from tests.support.serving.counter import a_counter, a_shelf


async def slots_of(has: int, **options: Any) -> list[int]:
    """Return the slots of the model's instances, whose engine ``has`` so many."""
    async with a_counter(a_shelf(), models={"a": options}) as counter:
        counter.backend.has_slots = has
        try:
            await counter.ask("hi")
        except ConfigurationError:
            assert [engine.closed for engine in counter.backend.engines] == [True]
            raise
        return [instance.slots for instance in (await counter.service.status()).instances]


def test_unless_it_is_set_they_are_as_many_as_the_engine_has() -> None:
    assert asyncio.run(slots_of(3)) == [3]


def test_the_option_takes_some_of_those_that_the_engine_has() -> None:
    assert asyncio.run(slots_of(3, slots=2)) == [2]
    assert asyncio.run(slots_of(3, slots=3)) == [3]


def test_an_engine_that_has_fewer_than_were_asked_for_fails_its_load() -> None:
    said = (
        "the option slots is 4, and an engine of backend 'speaker' works on 3 at once;"
        " set it to 3 at most, or leave it out"
    )
    with pytest.raises(ConfigurationError, match=said):
        asyncio.run(slots_of(3, slots=4))
