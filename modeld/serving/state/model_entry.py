# SPDX-License-Identifier: GPL-3.0-only
"""All that is known of one model: what is in memory, who waits, what went wrong before."""

from __future__ import annotations

import math
from collections.abc import Collection

from modeld.capabilities import PLAIN, Capability
from modeld.device_bytes import NOTHING
from modeld.errors import LoadFailedError
from modeld.interfaces import Backend, Engine
from modeld.serving.request_meter import Tally
from modeld.serving.state import phases
from modeld.serving.state.cooldown import Cooldown
from modeld.serving.state.demand import Demand
from modeld.serving.state.instance import Instance
from modeld.serving.state.memory_need import MemoryNeed
from modeld.serving.state.model_queue import ModelQueue
from modeld.serving.state.phases import Leaving, Ready
from modeld.serving.state.residence import Residence
from modeld.status import Fitting, InstanceState, InstanceStatus
from modeld.values import ModelSpec, Options


class ModelEntry:
    """One model while the server runs, in memory or not.

    ``instances`` are what there is of it in memory, at most one today. ``victims`` are those of
    other models that go so that this one fits. ``start_tag`` and ``left_s`` say where it stands
    among those that wait for memory, see :mod:`modeld.serving.scheduling.waiting_order`;
    ``claim_rank`` after whose its bytes are on their way. ``max_idle_s`` is how long it stays in
    memory unused where no request has said that. ``was_gone`` says that it has vanished, which has
    unpinned it, since it was last asked for.
    """

    def __init__(
        self,
        spec: ModelSpec,
        backend: Backend,
        options: Options,
        need: MemoryNeed,
        *,
        max_queue_depth: int,
        max_idle_s: float = math.inf,
        capabilities: Collection[Capability] = PLAIN,
        pinned: bool = False,
    ) -> None:
        self.spec = spec
        self.backend = backend
        self.options = options
        self.need = need
        self.capabilities = capabilities
        self.max_idle_s = max_idle_s
        self.queue = ModelQueue(spec.id, options.slots or 1, max_queue_depth)
        self.cooldown = Cooldown()
        self.generation = 0
        self.demand = Demand()
        self.instances: list[Instance] = []
        self.victims: set[Instance] = set()
        self.claim_rank = math.inf
        self.pinned = pinned
        self.was_gone = False
        self.failure_code = LoadFailedError.code
        self.overtaken_since_s: float | None = None
        self.left_s = -math.inf
        self.start_tag = 0
        self.load_seconds = 0.0
        self.loads_total = 0
        self.tally = Tally()
        self.last_used_unix = 0
        self.last_error: str | None = None
        self.log_tail: tuple[str, ...] = ()

    @property
    def priority(self) -> int:
        """Return how much sooner than others it gets memory, and how much later it leaves it."""
        return self.options.priority

    def renew(self, fresh: ModelEntry) -> None:
        """Go on with another file or options; what is loaded stays what it is until it goes."""
        self.generation += 1
        self.spec, self.backend, self.options = fresh.spec, fresh.backend, fresh.options
        self.need, self.cooldown = fresh.need, fresh.cooldown
        self.capabilities, self.max_idle_s = fresh.capabilities, fresh.max_idle_s
        self.pinned = self.pinned or fresh.pinned  # what was gone for a while was unpinned

    @property
    def has_claim(self) -> bool:
        """Return whether its bytes are on their way."""
        return self.claim_rank < math.inf

    @property
    def waits_since_s(self) -> float:
        """Return since when it waits for memory: its oldest request came, or it left memory.

        The later counts: a model that had its term stands behind all that had not, however old its
        requests are.
        """
        return max(self.queue.oldest_s, self.left_s)

    @property
    def wants_load(self) -> bool:
        """Return whether somebody waits for a model that is not in memory."""
        # One that is still leaving counts as there: two of them would not fit beside each other.
        return bool(self.queue.waiting) and not self.instances

    @property
    def is_idle(self) -> bool:
        """Return whether the model is in memory and nobody runs on it or waits for it."""
        return self.queue.is_empty and any(
            isinstance(instance.phase, Ready) for instance in self.instances
        )

    def is_outdated(self, instance: Instance) -> bool:
        """Return whether file or options have changed since the load of ``instance`` began."""
        return instance.generation != self.generation

    def ready(self) -> list[Residence]:
        """Return what takes requests of it."""
        return [each.phase.residence for each in self.instances if isinstance(each.phase, Ready)]

    def expires_s(self, residence: Residence, now_s: float) -> float:
        """Return when it leaves memory if nobody uses it from now on; infinite for never."""
        if self.pinned:
            return math.inf
        unused_since_s = residence.last_used_s if self.queue.is_empty else now_s
        match residence.keep_alive_s:
            case None:
                return unused_since_s + self.max_idle_s
            case "forever":
                return math.inf
            case keep_alive_s:
                return unused_since_s + keep_alive_s

    @property
    def has_nothing_left(self) -> bool:
        """Return whether the model is absent and nothing is asked of it."""
        is_absent = not self.instances and not self.need.is_being_measured
        return is_absent and self.queue.is_empty and not self.pinned

    @property
    def has_state(self) -> bool:
        """Return whether there is something to tell: what it does, or how it has failed."""
        return not self.has_nothing_left or self.cooldown.has_record

    def state(self, now_s: float) -> InstanceState:
        """Return where the model is now; ``failed`` while its cool-down lasts."""
        states = {phases.public_state(instance.phase) for instance in self.instances}
        for state in (InstanceState.READY, InstanceState.LOADING, InstanceState.DRAINING):
            if state in states:
                return state
        is_cooling = self.cooldown.remaining_s(now_s) > 0
        return InstanceState.FAILED if is_cooling else InstanceState.ABSENT

    @property
    def fitting(self) -> Fitting | None:
        """Return what the model goes without to fit: the one in memory, or else the next one."""
        for instance in self.instances:
            if not isinstance(instance.phase, Leaving):
                return instance.fitting
        return self.need.fitting

    def status(self, now_s: float) -> InstanceStatus:
        """Return the model as ``/status`` shows it."""
        engines = self._engines()
        held = sum((instance.held for instance in self.instances), NOTHING)
        return InstanceStatus(
            model_id=self.spec.id,
            state=self.state(now_s),
            last_used_unix=self.last_used_unix,
            held_bytes=held.total_bytes,
            held_on_gpus=held.on_gpus,
            queue_len=len(self.queue.waiting),
            inflight=len(self.queue.running),
            max_queue_depth=self.queue.max_depth,
            slots=self.queue.slots,
            pinned=self.pinned,
            priority=self.priority,
            expires_in_s=self._expires_in_s(now_s),
            pid=engines[0].pid if engines else None,
            loads_total=self.loads_total,
            prompt_tokens_total=self.tally.prompt_tokens,
            completion_tokens_total=self.tally.completion_tokens,
            reason=self._reason(now_s),
            last_error=self.last_error,
            log_tail=engines[0].log_tail() if engines else self.log_tail,
            fitting=self.fitting,
        )

    def _reason(self, now_s: float) -> str | None:
        """Return why it leaves, or why it is left alone."""
        match self.state(now_s):
            case InstanceState.DRAINING:
                reasons = map(phases.reason_of, (each.phase for each in self.instances))
                return next((reason for reason in reasons if reason is not None), None)
            case InstanceState.FAILED:
                return self.failure_code
            case _:
                return None

    def _expires_in_s(self, now_s: float) -> float | None:
        expires_s = min((self.expires_s(each, now_s) for each in self.ready()), default=math.inf)
        return max(0.0, expires_s - now_s) if expires_s < math.inf else None

    def _engines(self) -> list[Engine]:
        return [each for instance in self.instances for each in phases.engines(instance.phase)]
