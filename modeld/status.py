# SPDX-License-Identifier: GPL-3.0-only
"""What can be seen of a running service: its own state, and that of each model."""

from __future__ import annotations

from enum import StrEnum

from modeld.values import Value


class InstanceState(StrEnum):
    """Where a model is on its way into and out of memory."""

    ABSENT = "absent"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class EvictionReason(StrEnum):
    """Why a loaded model was taken out of memory."""

    MAKE_ROOM = "make_room"
    IDLE = "idle"
    UNLOAD_REQUESTED = "unload_requested"
    FILE_CHANGED = "file_changed"
    FILE_REMOVED = "file_removed"
    WORKER_EXITED = "worker_exited"
    SHUTDOWN = "shutdown"


class InstanceStatus(Value, frozen=True, kw_only=True):
    """One model's state in memory, as ``/status`` shows it.

    ``held_bytes`` is the larger of the estimate and what was measured after the load.
    ``last_used_unix`` is in seconds; 0 means never. A ``pinned`` model makes room for no other.
    ``expires_in_s`` is in how many seconds it leaves memory if nobody uses it from now on; ``None``
    if it stays.
    The tokens are those since the start; ``completion_tokens_total`` grows while requests run.
    """

    model_id: str
    state: InstanceState
    last_used_unix: int
    held_bytes: int
    queue_len: int
    inflight: int
    max_queue_depth: int
    slots: int
    pinned: bool = False
    expires_in_s: float | None = None
    pid: int | None = None
    loads_total: int = 0
    prompt_tokens_total: int = 0
    completion_tokens_total: int = 0
    last_error: str | None = None
    log_tail: tuple[str, ...] = ()


class ServiceState(StrEnum):
    """What the service as a whole is doing."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    CLOSED = "closed"


class ServiceStatus(Value, frozen=True, kw_only=True):
    """Everything that ``/status`` shows. ``budget_bytes`` of ``None`` means unlimited.

    ``session_bytes`` is what models that have left memory have left behind; it is no part of
    ``held_bytes``, and goes for whoever needs it.

    ``instances`` are the models that have a state: in memory, waited for, pinned, or failed. The
    totals are of all models since the start, and never shrink. ``error`` is what is wrong now;
    ``last_error`` is the latest failure of any model.
    """

    state: ServiceState
    instances: tuple[InstanceStatus, ...]
    budget_bytes: int | None
    held_bytes: int
    margin_bytes: int
    loads_total: int
    evictions_total: int
    uptime_s: float
    warm_workers: int = 0
    error: str | None = None
    last_error: str | None = None
    prompt_tokens_total: int = 0
    completion_tokens_total: int = 0
    session_bytes: int = 0


class Readiness(Value, frozen=True, kw_only=True):
    """Whether requests can be served now; ``reason`` is one word for people and probes."""

    ready: bool
    reason: str
