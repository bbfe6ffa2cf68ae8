# SPDX-License-Identifier: GPL-3.0-only
"""What can happen in a running server, as values that observers receive.

Durations are in seconds, sizes in bytes. ``reason`` and ``outcome`` are the stable codes of
:mod:`modeld.errors` or a word from a fixed set, so that they can be metric labels.
"""

from __future__ import annotations

from typing import TypeAlias

from modeld.status import EvictionReason, PlanOutcome
from modeld.values import Value


class HostEvent(Value, frozen=True, kw_only=True):
    """What happens where models are served; ``host`` is the one of a cluster, else empty."""

    host: str = ""


class ModelLoading(HostEvent, frozen=True, kw_only=True, tag=True):
    """A load has begun: room is made or the file is being read."""

    model: str


class ModelLoadProgress(HostEvent, frozen=True, kw_only=True, tag=True):
    """A load has come to ``fraction`` of its work, from 0.0 to 1.0."""

    model: str
    fraction: float


class ModelLoaded(HostEvent, frozen=True, kw_only=True, tag=True):
    """A model is ready; it works on ``slots`` requests at once.

    ``fit`` is the last step by which it was made to fit, and ``gives_up`` says what that means;
    both are empty where it is loaded as configured. ``warm_up_s`` of the ``seconds`` it has
    computed its warm-up, 0 where it had none.
    """

    model: str
    seconds: float
    held_bytes: int
    estimated_bytes: int
    slots: int = 1
    fit: str = ""
    gives_up: str = ""
    warm_up_s: float = 0.0


class ModelLoadFailed(HostEvent, frozen=True, kw_only=True, tag=True):
    """A load has failed; the next one is not tried before ``retry_after_s`` has passed."""

    model: str
    reason: str
    message: str
    retry_after_s: float


class ModelEvicted(HostEvent, frozen=True, kw_only=True, tag=True):
    """A model has left memory, and its bytes are free."""

    model: str
    reason: EvictionReason
    freed_bytes: int


class WorkerExited(HostEvent, frozen=True, kw_only=True, tag=True):
    """A worker ended by itself; ``cause`` is that of ``WorkerCrashedError``."""

    model: str
    cause: str
    detail: str


class RequestRefused(HostEvent, frozen=True, kw_only=True, tag=True):
    """A request was turned away, or its client left, before any model worked on it.

    ``reason`` is an error code, or ``cancelled`` where the client left. ``seconds`` counts from its
    arrival.
    """

    request_id: str
    model: str
    reason: str
    seconds: float = 0.0


class RequestStarted(HostEvent, frozen=True, kw_only=True, tag=True):
    """A request has a slot, after ``queue_wait_s`` in its model's queue.

    ``placement`` is where it stood as it came, in the words of a plan: the model was ``resident``,
    say, or others had to leave first.
    """

    request_id: str
    model: str
    queue_wait_s: float
    placement: PlanOutcome = PlanOutcome.RESIDENT


class RequestFinished(HostEvent, frozen=True, kw_only=True, tag=True):
    """A request that had started is over.

    ``outcome`` is a finish reason, ``answered`` (a unary one), ``cancelled`` or an error code.
    ``gaps_s`` holds the times between successive tokens in seconds, the first 8,192 of them;
    ``first_token_s`` and ``seconds`` count from the request's arrival. ``queue_wait_s`` of that it
    was in its model's queue, and ``load_s`` of this wait its model was being loaded.
    """

    request_id: str
    model: str
    outcome: str
    seconds: float
    first_token_s: float | None
    prompt_tokens: int
    completion_tokens: int
    gaps_s: tuple[float, ...] = ()
    queue_wait_s: float = 0.0
    load_s: float = 0.0


class HttpRequestStarted(Value, frozen=True, kw_only=True, tag=True):
    """An HTTP request has arrived at ``route``, a route's template, never a raw path."""

    route: str
    method: str


class HttpRequestFinished(Value, frozen=True, kw_only=True, tag=True):
    """An HTTP request has its response or its client has left."""

    route: str
    method: str
    status: int
    seconds: float


class ConnectionRefused(Value, frozen=True, kw_only=True, tag=True):
    """A connection was ended while a request was read from it, so there was no HTTP request.

    ``reason`` is a word of those that the API lists as refused before they are requests.
    """

    status: int
    reason: str


class LoopLag(Value, frozen=True, kw_only=True, tag=True):
    """How late the event loop was at its latest moment of the last second, once a second."""

    seconds: float


Event: TypeAlias = (
    ModelLoading
    | ModelLoadProgress
    | ModelLoaded
    | ModelLoadFailed
    | ModelEvicted
    | WorkerExited
    | RequestRefused
    | RequestStarted
    | RequestFinished
    | HttpRequestStarted
    | HttpRequestFinished
    | ConnectionRefused
    | LoopLag
)
