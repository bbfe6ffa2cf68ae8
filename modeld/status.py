# SPDX-License-Identifier: GPL-3.0-only
"""What can be seen of a running service: its own state, and that of each model."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from modeld.values import Value

MAIN: Final = "main"
"""The name of main memory among the devices; a GPU's is ``gpu`` and its number."""


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
    MEMORY_PRESSURE = "memory_pressure"
    SETTINGS_CHANGED = "settings_changed"
    WORKER_EXITED = "worker_exited"
    SHUTDOWN = "shutdown"


class Fitting(Value, frozen=True, kw_only=True):
    """The receipt of a model that fits with less than it is configured for, and not otherwise.

    ``step`` names the last of the steps that were taken, and ``gives_up`` says in words what all of
    them mean; ``options`` are those that are others now, with their values. ``full_bytes`` is what
    the model needs as it is configured.
    """

    step: str
    gives_up: str
    options: Mapping[str, Any]
    full_bytes: int


class InstanceStatus(Value, frozen=True, kw_only=True):
    """One model's state in memory, as ``/status`` shows it.

    ``held_bytes`` is the larger of the estimate and what was measured after the load, on all
    devices together; ``held_on_gpus`` is how much of it is on which GPU (``gpu0`` …), and the rest
    is in main memory.
    ``priority`` is the option of this name: the lower ones leave memory first, and wait longer for
    it. ``last_used_unix`` is in seconds; 0 means never. A ``pinned`` model makes room for no other.
    ``expires_in_s`` is in how many seconds it leaves memory if nobody uses it from now on; ``None``
    if it stays. ``reason`` is why a model that leaves does so, or the code of the error that one
    has failed with that is not tried for a while. ``fitting`` is what it goes without to fit.
    The tokens are those since the start; ``completion_tokens_total`` grows while requests run.
    In a cluster ``host`` and ``node`` say where the instance is; on one machine they are empty.
    """

    model_id: str
    state: InstanceState
    last_used_unix: int
    held_bytes: int
    held_on_gpus: Mapping[str, int] = {}
    queue_len: int
    inflight: int
    max_queue_depth: int
    slots: int
    pinned: bool = False
    priority: int = 0
    expires_in_s: float | None = None
    pid: int | None = None
    loads_total: int = 0
    prompt_tokens_total: int = 0
    completion_tokens_total: int = 0
    reason: str | None = None
    last_error: str | None = None
    log_tail: tuple[str, ...] = ()
    fitting: Fitting | None = None
    host: str = ""
    node: str = ""


class DeviceStatus(Value, frozen=True, kw_only=True):
    """What models may hold and do hold of one device: ``main`` memory, or a GPU (``gpu0`` …).

    ``budget_bytes`` of ``None`` means unlimited, ``budget_origin`` is how it came about, in words.
    ``margin_bytes`` of it stay free.
    """

    device: str
    budget_bytes: int | None
    held_bytes: int
    margin_bytes: int
    budget_origin: str = ""


class ServiceState(StrEnum):
    """What the service as a whole is doing."""

    STARTING = "starting"
    RUNNING = "running"
    DRAINING = "draining"
    CLOSED = "closed"


class HostStatus(Value, frozen=True, kw_only=True):
    """One host of a cluster, as ``/status`` shows it.

    ``error`` is why nothing is known of it now; the rest is then what it said last.
    """

    host: str
    node: str
    state: ServiceState
    budget_bytes: int | None
    held_bytes: int
    error: str | None = None


class ServiceStatus(Value, frozen=True, kw_only=True):
    """Everything that ``/status`` shows. ``budget_bytes`` of ``None`` means unlimited.

    ``budget_origin`` is how the budget came about, in words; with ``auto`` it moves.
    ``session_bytes`` is what models that have left memory have left behind; it is no part of
    ``held_bytes``, and goes for whoever needs it.

    These are of main memory; ``devices`` are all that models can be in, main memory first.

    ``instances`` are the models that have a state: in memory, waited for, pinned, or failed. The
    totals are of all models since the start, and never shrink. ``error`` is what is wrong now;
    ``last_error`` is the latest failure of any model. ``hosts`` are those of a cluster, whose sizes
    and totals are then the sums of theirs; on one machine there are none.
    """

    state: ServiceState
    instances: tuple[InstanceStatus, ...]
    budget_bytes: int | None
    held_bytes: int
    margin_bytes: int
    loads_total: int
    evictions_total: int
    uptime_s: float
    budget_origin: str = ""
    warm_workers: int = 0
    error: str | None = None
    last_error: str | None = None
    prompt_tokens_total: int = 0
    completion_tokens_total: int = 0
    session_bytes: int = 0
    hosts: tuple[HostStatus, ...] = ()
    devices: tuple[DeviceStatus, ...] = ()


class Readiness(Value, frozen=True, kw_only=True):
    """Whether requests can be served now; ``reason`` is one word for people and probes."""

    ready: bool
    reason: str


class PlanOutcome(StrEnum):
    """What a request for a model would bring about if it came now."""

    RESIDENT = "resident"
    LOADING = "loading"
    LOADS = "loads"
    EVICTS = "evicts"
    WAITS = "waits"
    REFUSED = "refused"
    NEVER = "never"


class ModelPlan(Value, frozen=True, kw_only=True):
    """What a request for one model would bring about if it came now.

    ``resident``: the model is in memory; ``loading``: it is on its way there; ``loads``: its load
    would begin at once; ``evicts``: once the models in ``evicts`` have left; ``waits``: others must
    finish first, or the model itself is leaving; ``refused``: the request would be refused now, and
    may be served later; ``never``: it is refused however long one waits.

    ``needed_bytes`` is what a load reserves. ``short_bytes`` is how much of that is not free now,
    or, with ``never``, how much more it is than there will ever be; ``short_on_gpus`` says how much
    of that is on which GPU, and the rest is main memory. ``wait_s`` is the forecast of
    when the request would be served, ``None`` where nobody can say. ``reason`` is the code of the
    error that the request would get, and ``message`` its words. ``fitting`` is what the model would
    go without to fit; ``needed_bytes`` is what it needs then. ``host`` is the one of a cluster
    that the request would go to, empty on one machine.
    """

    model: str
    outcome: PlanOutcome
    needed_bytes: int
    short_bytes: int = 0
    short_on_gpus: Mapping[str, int] = {}
    evicts: tuple[str, ...] = ()
    wait_s: float | None = None
    reason: str | None = None
    message: str | None = None
    fitting: Fitting | None = None
    host: str = ""
