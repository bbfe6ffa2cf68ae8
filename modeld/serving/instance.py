# SPDX-License-Identifier: GPL-3.0-only
"""A model's place in memory: what is there now, who stands in line, what went wrong before."""

from __future__ import annotations

import asyncio

from modeld.errors import LoadFailedError
from modeld.interfaces import Backend, Candidate, Engine
from modeld.serving.admission import Line
from modeld.serving.budget import Reservation
from modeld.serving.cooldown import Cooldown
from modeld.serving.meter import Tally
from modeld.serving.need import Need
from modeld.values import EvictionReason, InstanceState, InstanceStatus, ModelSpec, Options


class Instance:
    """One life of a model in memory: loading, then ready, then draining. It never goes back.

    ``engine`` is ``None`` until it is loaded; ``drain_reason`` until it is to leave memory.
    """

    def __init__(self, spec: ModelSpec, reservation: Reservation, now_s: float) -> None:
        self.spec = spec
        self.reservation = reservation
        self.state = InstanceState.LOADING
        self.engine: Engine | None = None
        self.started_s = now_s
        self.ready_s = now_s
        self.last_used_s = now_s
        self.measured_bytes = 0
        self.drain_reason: EvictionReason | None = None
        self.closing = False
        self.watch: asyncio.Task[None] | None = None

    @property
    def held_bytes(self) -> int:
        """What the ledger counts for it."""
        return self.reservation.size_bytes

    @property
    def growth_bytes(self) -> int:
        """What it was measured to hold beyond its reservation."""
        return max(0, self.measured_bytes - self.reservation.size_bytes)

    def drain(self, reason: EvictionReason) -> None:
        """Take no new request; the first reason stays."""
        if self.state is not InstanceState.DRAINING:
            self.state = InstanceState.DRAINING
            self.drain_reason = reason


class Place:
    """All that is known of one model while the server runs."""

    def __init__(
        self,
        spec: ModelSpec,
        backend: Backend,
        options: Options,
        need: Need,
        *,
        max_queue_depth: int,
    ) -> None:
        self.spec = spec
        self.backend = backend
        self.options = options
        self.need = need
        self.line = Line(spec.id, options.slots, max_queue_depth)
        self.cooldown = Cooldown()
        self.instance: Instance | None = None
        self.victims: set[Instance] = set()
        self.has_claim = False
        self.pinned = False
        self.failure_code = LoadFailedError.code
        self.overtaken_since_s: float | None = None
        self.load_seconds = 0.0
        self.loads_total = 0
        self.tally = Tally()
        self.last_used_unix = 0
        self.last_error: str | None = None
        self.log_tail: tuple[str, ...] = ()

    def renew(self, fresh: Place) -> None:
        """Go on with a new version of the file; what is loaded stays what it is until it goes."""
        self.spec, self.backend, self.options = fresh.spec, fresh.backend, fresh.options
        self.need, self.cooldown = fresh.need, fresh.cooldown

    def forecast_s(self) -> float:
        """In how many seconds a slot is likely to be free, the load included if there is one."""
        ready = self.instance is not None and self.instance.state is InstanceState.READY
        return self.line.forecast_s() + (0.0 if ready else self.load_seconds)

    @property
    def wants_load(self) -> bool:
        """Whether somebody waits for a model that is not in memory."""
        return bool(self.line.waiting) and self.instance is None

    @property
    def is_idle(self) -> bool:
        """Whether the model is in memory and nobody runs on it or waits for it."""
        ready = self.instance is not None and self.instance.state is InstanceState.READY
        return ready and self.line.is_empty

    def candidate(self) -> Candidate:
        """The model as an eviction policy sees it."""
        assert self.instance is not None
        return Candidate(
            model=self.spec.id,
            held_bytes=self.instance.held_bytes,
            last_used_s=self.instance.last_used_s,
            loaded_s=self.instance.ready_s,
            load_seconds=self.load_seconds,
        )

    def state(self, now_s: float) -> InstanceState:
        """Where the model is now; ``failed`` while its cool-down lasts."""
        if self.instance is not None:
            return self.instance.state
        cooling = self.cooldown.remaining_s(now_s) > 0
        return InstanceState.FAILED if cooling else InstanceState.ABSENT

    def status(self, now_s: float) -> InstanceStatus:
        """The model as ``/status`` shows it."""
        instance, engine = self.instance, self.instance.engine if self.instance else None
        return InstanceStatus(
            model_id=self.spec.id,
            state=self.state(now_s),
            last_used_unix=self.last_used_unix,
            held_bytes=instance.held_bytes if instance else 0,
            queue_len=len(self.line.waiting),
            inflight=len(self.line.running),
            max_queue_depth=self.line.max_depth,
            slots=self.line.slots,
            pinned=self.pinned,
            pid=engine.pid if engine else None,
            loads_total=self.loads_total,
            prompt_tokens_total=self.tally.prompt_tokens,
            completion_tokens_total=self.tally.completion_tokens,
            last_error=self.last_error,
            log_tail=engine.log_tail() if engine else self.log_tail,
        )
