# SPDX-License-Identifier: GPL-3.0-only
import pytest

from modeld.serving.state.budget import Ledger
from modeld.serving.state.instance import Instance
from modeld.serving.state.phases import Loaded
from modeld.status import EvictionReason
from modeld.values import ModelSpec
from tests.support.serving.fakes import FakeEngine

SPEC = ModelSpec(id="a", name="a", path="/models/a")


def an_instance(ledger: Ledger, reserved_bytes: int) -> Instance:
    return Instance(SPEC, ledger.reserve("a", reserved_bytes), 1.0)


@pytest.mark.parametrize(("measured_bytes", "growth_bytes"), [(130, 30), (100, 0), (70, 0)])
def test_growth_is_what_was_measured_beyond_the_reservation(
    measured_bytes: int, growth_bytes: int
) -> None:
    ledger = Ledger(None)
    instance = an_instance(ledger, 100)
    assert instance.growth.total_bytes == 0, "nothing is measured while it loads"

    residence = instance.end_load(FakeEngine(held_bytes=measured_bytes), 3.0)

    assert instance.growth.total_bytes == growth_bytes
    assert instance.held_bytes == ledger.held_bytes == 100, "what has grown is not counted yet"
    assert instance.phase == Loaded(1.0, residence)
    instance.reservation.grow_to(measured_bytes)
    assert instance.growth.total_bytes == 0
    assert instance.held_bytes == ledger.held_bytes == max(100, measured_bytes)


def test_a_residence_knows_how_long_its_load_took_and_what_was_measured() -> None:
    engine = FakeEngine(held_bytes=70)
    residence = an_instance(Ledger(None), 100).end_load(engine, 3.5)
    engine.held_bytes = 5

    assert residence.load_seconds == 2.5
    assert residence.ready_s == residence.last_used_s == 3.5
    assert residence.measured.total_bytes == 70, "what an engine says later changes nothing"


def test_an_instance_goes_through_its_life_and_says_why_it_leaves() -> None:
    instance = an_instance(Ledger(None), 100)
    residence = instance.end_load(FakeEngine(), 2.0)
    instance.admit()

    leaving = instance.leave(EvictionReason.UNLOAD_REQUESTED, {})
    instance.give_to("b")
    closing = instance.close()

    assert leaving.reason is closing.reason is EvictionReason.UNLOAD_REQUESTED
    assert closing.residence is residence
    assert closing.owner == "b"
