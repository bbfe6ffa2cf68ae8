# SPDX-License-Identifier: GPL-3.0-only
"""The latest events and the history of memory, for pages that ask again and again."""

from __future__ import annotations

import math
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from heapq import merge
from operator import itemgetter
from typing import Any, TypeAlias

from modeld import Observer
from modeld.events import (
    Event,
    ModelEvicted,
    ModelLoaded,
    ModelLoadFailed,
    ModelLoading,
    RequestFinished,
    RequestRefused,
    WorkerExited,
)
from modeld_dashboard.memory_history import Change, MemoryHistory

HISTORY_S = 1800.0
"""How far back the history of memory goes, in seconds."""

MOST_EVENTS = 512
"""How many events of models are kept, and as many of requests."""

MOST_CHANGES = 2048
"""How many changes of held memory are kept."""

_LONGEST_TEXT = 600

_SHOWN: Mapping[type[Event], tuple[str, tuple[str, ...]]] = {
    ModelLoading: ("model_loading", ("model",)),
    ModelLoaded: ("model_loaded", ("model", "seconds", "held_bytes", "gives_up")),
    ModelLoadFailed: ("model_load_failed", ("model", "reason", "message", "retry_after_s")),
    ModelEvicted: ("model_evicted", ("model", "reason", "freed_bytes")),
    WorkerExited: ("worker_exited", ("model", "cause", "detail")),
    RequestRefused: ("request_refused", ("model", "request_id", "reason")),
    RequestFinished: (
        "request_finished",
        (
            "model",
            "request_id",
            "outcome",
            "seconds",
            "first_token_s",
            "prompt_tokens",
            "completion_tokens",
        ),
    ),
}

Entry: TypeAlias = dict[str, Any]


class Feed(Observer):
    """Remembers what the pages show; prompts and generations are not in any event.

    Events of models and of requests are kept apart, so that a flood of refused requests does not
    push the last eviction out. Each has a number; the numbers of one feed only grow.
    """

    name = "dashboard"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._id = uuid.uuid4().hex
        self._sequence = 0
        self._models: deque[Entry] = deque(maxlen=MOST_EVENTS)
        self._requests: deque[Entry] = deque(maxlen=MOST_EVENTS)
        self._memory = MemoryHistory(span_s=HISTORY_S, limit=MOST_CHANGES)

    def notify(self, event: Event) -> None:
        """Keep one event if the pages show it."""
        facts = _facts(event)
        if facts is None:
            return
        self._sequence += 1
        now_unix = self._clock()
        ring = self._requests if "request_id" in facts else self._models
        ring.append({"sequence": self._sequence, "time_unix": round(now_unix, 3), **facts})
        if isinstance(event, ModelLoaded):
            self._memory.note(Change(self._sequence, now_unix, _where(facts), event.held_bytes))
        elif isinstance(event, ModelEvicted):
            self._memory.note(Change(self._sequence, now_unix, _where(facts), 0))

    def after(self, sequence: int) -> Entry:
        """Return what is newer than ``sequence``, oldest first, as plain data.

        ``feed`` is another one after a restart: numbers of the feed before it mean nothing then.
        """
        now_unix = self._clock()
        self._memory.trim(now_unix)
        before, changes = self._memory.after(sequence)
        return {
            "feed": self._id,
            "sequence": self._sequence,
            "server_time_unix": round(now_unix, 3),
            "events": [
                entry
                for entry in merge(self._models, self._requests, key=itemgetter("sequence"))
                if entry["sequence"] > sequence
            ],
            "memory": {
                "history_s": HISTORY_S,
                "held_before": before,
                "changes": [
                    {
                        "time_unix": round(change.time_unix, 3),
                        "model": change.model,
                        "held_bytes": change.held_bytes,
                    }
                    for change in changes
                ],
            },
        }


def _facts(event: Event) -> Entry | None:
    """Return what the pages show of an event; ``None`` for those that they do not show."""
    if type(event) not in _SHOWN:
        return None
    kind, names = _SHOWN[type(event)]
    facts = {"kind": kind, **{name: _plain(getattr(event, name)) for name in names}}
    host = getattr(event, "host", "")
    return {**facts, "host": host} if host else facts


def _where(facts: Entry) -> str:
    """Return what holds memory: a model, and in a cluster the host that it is on."""
    return f"{facts['model']} @ {facts['host']}" if "host" in facts else str(facts["model"])


def _plain(value: object) -> object:
    """Return a member of an event as JSON can say it, rounded to milliseconds and cut."""
    if isinstance(value, float):
        return round(value, 3) if math.isfinite(value) else None
    if isinstance(value, str):
        # What comes from file names may be no text; one such event must not silence the feed.
        return value[:_LONGEST_TEXT].encode("utf-8", "backslashreplace").decode()
    return value
