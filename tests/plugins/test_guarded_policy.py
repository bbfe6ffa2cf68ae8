# SPDX-License-Identifier: GPL-3.0-only
"""A policy may do anything: another one decides in its place, and that is said."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from modeld import Candidate, EvictionPolicy, Settings
from modeld.builtin.lru import LeastRecentlyUsed
from modeld.plugins import guarded_policy
from modeld.plugins.faults import PluginFaults
from modeld.plugins.guarded_policy import GuardedPolicy
from modeld.plugins.host import PluginHost


def candidate(model: str, last_used_s: float, held_bytes: int = 10) -> Candidate:
    return Candidate(
        model=model,
        held_bytes=held_bytes,
        last_used_s=last_used_s,
        loaded_s=0.0,
        load_seconds=1.0,
    )


OLD, NEW = candidate("old", 1.0), candidate("new", 2.0)
BOTH = (OLD, NEW)
STRANGER = candidate("leased", 0.0, 1000)


class Chooser(EvictionPolicy):
    """Chooses what the test says."""

    name = "chooser"

    def __init__(self, choice: Callable[[], Any]) -> None:
        self.choice = choice
        self.asked = 0

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Any:
        self.asked += 1
        return self.choice()


class Guarded:
    """A guarded policy, and what was noted of it."""

    def __init__(
        self, choice: Callable[[], Any], fallback: EvictionPolicy | None = None, limit_s: float = 5
    ) -> None:
        self.policy = Chooser(choice)
        faults = PluginFaults({("eviction policy", "chooser"): "mine"})
        self.faults = faults
        self._guarded = GuardedPolicy(self.policy, fallback, faults.note, limit_s)

    def choose(self, needed_bytes: int = 10) -> list[str]:
        return [each.model for each in self._guarded.choose(BOTH, needed_bytes)]

    def noted(self) -> list[str]:
        return [each.message for each in self.faults.of("mine")]


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


WRONG: list[Callable[[], Any]] = [
    *map(
        raising,
        [
            ValueError("oops"),
            SystemExit("oops"),
            KeyboardInterrupt("oops"),
            GeneratorExit("oops"),
            asyncio.CancelledError("oops"),
            BaseExceptionGroup("oops", [KeyboardInterrupt()]),
        ],
    ),
    lambda: None,
    lambda: 5,
    lambda: [5],
    lambda: "abc",
    lambda: {1: 2},
    list,
    lambda: [STRANGER],
    lambda: [OLD, STRANGER],
    lambda: [candidate(None, 0.0)],  # type: ignore[arg-type]
    lambda: [candidate([], 0.0)],  # type: ignore[arg-type]
]


@pytest.mark.parametrize("choice", WRONG)
def test_where_a_policy_is_wrong_another_decides_and_that_is_said(
    choice: Callable[[], Any], caplog: pytest.LogCaptureFixture
) -> None:
    guarded = Guarded(choice, LeastRecentlyUsed())
    assert guarded.choose() == ["old"]
    (message,) = guarded.noted()
    assert message.startswith("eviction policy 'chooser' ")
    assert message.endswith("; 'lru' decides")
    assert caplog.messages == [f"plugin 'mine': {message}"]
    assert guarded.choose() == ["old"]
    assert guarded.policy.asked == 2, "it is asked again: it may be wrong about some alone"


@pytest.mark.parametrize("choice", WRONG)
def test_without_another_nobody_is_chosen(choice: Callable[[], Any]) -> None:
    guarded = Guarded(choice)
    assert guarded.choose() == []
    (message,) = guarded.noted()
    assert message.endswith("; nobody is evicted")


def test_a_choice_that_is_sound_is_taken() -> None:
    guarded = Guarded(lambda: [NEW], LeastRecentlyUsed())
    assert guarded.choose() == ["new"]
    assert guarded.noted() == []


def test_a_model_that_is_named_twice_counts_once() -> None:
    guarded = Guarded(lambda: [NEW, NEW], LeastRecentlyUsed())
    assert guarded.choose(10) == ["new"]
    assert guarded.noted() == []
    assert guarded.choose(20) == ["old", "new"], "one of them is not enough"
    assert guarded.noted() == ["eviction policy 'chooser' chose too little; 'lru' decides"]


def test_what_a_candidate_holds_is_not_for_the_policy_to_say() -> None:
    guarded = Guarded(lambda: [candidate("new", 2.0, 1000)], LeastRecentlyUsed())
    assert guarded.choose(20) == ["old", "new"]


def test_a_policy_that_hangs_is_not_asked_again() -> None:
    gate = threading.Event()
    guarded = Guarded(gate.wait, LeastRecentlyUsed(), limit_s=0.05)
    begun_s = time.monotonic()
    assert guarded.choose() == ["old"]
    assert guarded.choose() == ["old"]
    assert time.monotonic() - begun_s < 5
    gate.set()
    assert guarded.policy.asked == 1
    assert guarded.noted() == [
        (
            "eviction policy 'chooser' took longer than 0.05 s and is not asked again:"
            " 'lru' decides from now on"
        )
    ]


def test_where_no_other_is_there_one_that_hangs_is_not_asked_again_either() -> None:
    gate = threading.Event()
    guarded = Guarded(gate.wait, limit_s=0.05)
    assert guarded.choose() == []
    assert guarded.choose() == []
    gate.set()
    assert guarded.policy.asked == 1


def test_a_trusted_policy_and_the_fallback_run_on_no_thread_of_their_own() -> None:
    threads: list[str] = []

    class Watched(LeastRecentlyUsed):
        def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Any:
            threads.append(threading.current_thread().name)
            return super().choose(candidates, needed_bytes)

    lru = Watched()
    for fallback, is_trusted in ((lru, False), (LeastRecentlyUsed(), True)):
        guarded = GuardedPolicy(lru, fallback, PluginFaults({}).note, is_trusted=is_trusted)
        assert guarded.choose(BOTH, 10) == [OLD]
    assert threads == [threading.current_thread().name] * 2


@pytest.mark.parametrize("name", ["cost-aware", "lfu", "lru"])
def test_a_policy_of_modelds_own_is_trusted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("a thread for it would be for nothing")

    monkeypatch.setattr(guarded_policy, "guarded", fail)
    policy = PluginHost.discover(Settings(eviction_policy=name)).policy()
    assert policy.choose(BOTH, 10) == [OLD]
