# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from typing import get_args

import msgspec
import pytest
from modeld_dashboard.feed import HISTORY_S, MOST_EVENTS, Entry, Feed

from modeld.events import (
    Event,
    HttpRequestFinished,
    ModelEvicted,
    ModelLoaded,
    ModelLoadFailed,
    ModelLoading,
    ModelLoadProgress,
    RequestFinished,
    RequestRefused,
    WorkerExited,
)
from modeld.status import EvictionReason

NOW = 1_000_000.0


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def feed(clock: Clock) -> Feed:
    return Feed(clock)


def loaded(model: str = "m", held_bytes: int = 7) -> ModelLoaded:
    return ModelLoaded(model=model, seconds=0.12345, held_bytes=held_bytes, estimated_bytes=6)


def evicted(model: str = "m") -> ModelEvicted:
    return ModelEvicted(model=model, reason=EvictionReason.MAKE_ROOM, freed_bytes=7)


def refused(number: int = 0) -> RequestRefused:
    return RequestRefused(request_id=f"r{number}", model="m", reason="queue_full")


def finished() -> RequestFinished:
    return RequestFinished(
        request_id="r",
        model="m",
        outcome="stop",
        seconds=2.0,
        first_token_s=None,
        prompt_tokens=3,
        completion_tokens=4,
        gaps_s=(0.1, 0.2),
    )


def sequences(found: Entry) -> list[int]:
    return [entry["sequence"] for entry in found["events"]]


def test_an_empty_feed_says_so(feed: Feed) -> None:
    found = feed.after(0)
    assert found["sequence"] == 0
    assert found["events"] == []
    assert found["server_time_unix"] == NOW
    assert found["memory"] == {"history_s": HISTORY_S, "held_before": {}, "changes": []}


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (ModelLoading(model="m"), {"kind": "model_loading", "model": "m"}),
        (
            loaded(),
            {
                "kind": "model_loaded",
                "model": "m",
                "seconds": 0.123,
                "held_bytes": 7,
                "gives_up": "",
            },
        ),
        (
            ModelLoadFailed(model="m", reason="load_failed", message="no", retry_after_s=1.0),
            {
                "kind": "model_load_failed",
                "model": "m",
                "reason": "load_failed",
                "message": "no",
                "retry_after_s": 1.0,
            },
        ),
        (
            evicted(),
            {"kind": "model_evicted", "model": "m", "reason": "make_room", "freed_bytes": 7},
        ),
        (
            WorkerExited(model="m", cause="signal", detail="SIGKILL"),
            {"kind": "worker_exited", "model": "m", "cause": "signal", "detail": "SIGKILL"},
        ),
        (
            refused(),
            {
                "kind": "request_refused",
                "model": "m",
                "request_id": "r0",
                "reason": "queue_full",
            },
        ),
        (
            finished(),
            {
                "kind": "request_finished",
                "model": "m",
                "request_id": "r",
                "outcome": "stop",
                "seconds": 2.0,
                "first_token_s": None,
                "prompt_tokens": 3,
                "completion_tokens": 4,
            },
        ),
    ],
)
def test_an_event_is_kept_as_plain_data(feed: Feed, event: Event, expected: Entry) -> None:
    feed.notify(event)
    (entry,) = json.loads(json.dumps(feed.after(0), allow_nan=False))["events"]
    assert entry == {"sequence": 1, "time_unix": NOW, **expected}


def test_nothing_that_an_event_has_but_the_pages_do_not_show_is_kept(feed: Feed) -> None:
    feed.notify(HttpRequestFinished(route="/x", method="GET", status=200, seconds=1.0))
    feed.notify(ModelLoadProgress(model="m", fraction=0.5))
    assert feed.after(0)["events"] == []
    feed.notify(finished())
    assert "gaps_s" not in feed.after(0)["events"][0]


def test_no_event_of_modeld_could_carry_a_prompt() -> None:
    for kind in get_args(Event):
        for field in msgspec.structs.fields(kind):
            assert field.name not in {"prompt", "messages", "content", "text"}, kind


def test_only_what_is_newer_is_told_in_order(feed: Feed) -> None:
    for event in (ModelLoading(model="m"), refused(), loaded(), refused(), evicted()):
        feed.notify(event)
    assert sequences(feed.after(0)) == [1, 2, 3, 4, 5]
    assert sequences(feed.after(3)) == [4, 5]
    assert sequences(feed.after(5)) == []
    assert sequences(feed.after(10**15)) == []
    assert feed.after(3)["sequence"] == 5


def test_it_is_bounded_and_a_flood_of_requests_pushes_no_model_out(feed: Feed) -> None:
    feed.notify(evicted())
    for number in range(5 * MOST_EVENTS):
        feed.notify(refused(number))
    found = feed.after(0)
    kinds = [entry["kind"] for entry in found["events"]]
    assert kinds[0] == "model_evicted"
    assert len(kinds) == MOST_EVENTS + 1
    assert found["events"][-1]["sequence"] == found["sequence"]
    assert sequences(found) == sorted(sequences(found))


def test_the_memory_of_the_last_half_hour_is_told(feed: Feed, clock: Clock) -> None:
    feed.notify(loaded("old", 5))
    clock.now += HISTORY_S - 10
    feed.notify(loaded("new", 6))
    clock.now += 20
    memory = feed.after(0)["memory"]
    assert memory["held_before"] == {"old": 5}
    assert memory["changes"] == [
        {"time_unix": NOW + HISTORY_S - 10, "model": "new", "held_bytes": 6}
    ]
    feed.notify(evicted("old"))
    changes = feed.after(2)["memory"]["changes"]
    assert changes == [{"time_unix": clock.now, "model": "old", "held_bytes": 0}]


def test_what_is_endless_or_very_long_is_cut(feed: Feed) -> None:
    failed = ModelLoadFailed(
        model="m", reason="load_failed", message="x" * 10_000, retry_after_s=float("inf")
    )
    feed.notify(failed)
    (entry,) = feed.after(0)["events"]
    assert entry["retry_after_s"] is None
    assert len(entry["message"]) < 1000


def test_a_name_that_is_no_text_does_not_silence_the_feed(feed: Feed) -> None:
    feed.notify(loaded("caf\udce9.gguf", held_bytes=5))
    found = json.loads(json.dumps(feed.after(0), ensure_ascii=False).encode())
    assert found["events"][0]["model"] == "caf\\udce9.gguf"
    assert found["memory"]["changes"][0]["model"] == "caf\\udce9.gguf"
    later = json.dumps(feed.after(1), ensure_ascii=False).encode()
    assert json.loads(later)["memory"]["held_before"] == {"caf\\udce9.gguf": 5}


def test_two_feeds_can_be_told_apart() -> None:
    assert Feed().after(0)["feed"] != Feed().after(0)["feed"]


def test_in_a_cluster_memory_is_held_by_a_model_on_a_host(clock: Clock) -> None:
    feed = Feed(clock)
    for host in ("a", "b"):
        feed.notify(
            ModelLoaded(model="m", seconds=1.0, held_bytes=10, estimated_bytes=10, host=host)
        )
    feed.notify(ModelEvicted(model="m", reason=EvictionReason.IDLE, freed_bytes=10, host="a"))
    told = feed.after(0)
    assert [event["host"] for event in told["events"]] == ["a", "b", "a"]
    assert [(each["model"], each["held_bytes"]) for each in told["memory"]["changes"]] == [
        ("m @ a", 10),
        ("m @ b", 10),
        ("m @ a", 0),
    ]
