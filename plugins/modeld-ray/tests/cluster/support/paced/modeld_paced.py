# SPDX-License-Identifier: GPL-3.0-only
"""A model that takes no processor and makes tokens at a pace, to measure what is around it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any

from msgspec import Meta

import modeld
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest
from modeld.sampling import COMMON

MODEL = "paced"


class Source(modeld.RegistrySource):
    """Has the one model, for which there is no file."""

    name = "paced"

    async def list_models(self) -> Sequence[modeld.ModelSpec]:
        """Return it."""
        return [modeld.ModelSpec(id=MODEL, name=MODEL, path="/", format=MODEL, source=self.name)]


class PacedOptions(modeld.Options, frozen=True):
    """What can be set of it."""

    per_s: Annotated[float, Meta(gt=0, description="tokens of each request in a second")] = 50.0
    at_once: Annotated[int, Meta(ge=1, description="requests at once")] = 16


class PacedEngine(modeld.StepEngine):
    """Gives each running request one token in a step. Each token is the time at which it came."""

    held_bytes = 1 << 20

    def __init__(self, pause_s: float, slots: int) -> None:
        self.slots = slots
        self._pause_s = pause_s
        self._due_s = 0.0
        self._left: dict[int, int] = {}

    @classmethod
    def open(
        cls, spec: modeld.ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> PacedEngine:
        """Return it."""
        progress(1.0)
        return cls(1 / options["per_s"], options["at_once"])

    def submit(self, request_id: int, request: AnyRequest) -> None:
        """Begin a generation."""
        assert isinstance(request, modeld.GenerateRequest)
        self._left[request_id] = request.max_tokens or 1

    def step(self) -> Sequence[tuple[int, modeld.StepChunk]]:
        """Wait for the time of the next token and give it to all."""
        now_s = time.monotonic()
        self._due_s = max(self._due_s + self._pause_s, now_s)
        time.sleep(self._due_s - now_s)
        made: list[tuple[int, modeld.StepChunk]] = []
        for request, left in list(self._left.items()):
            made.append((request, modeld.Token(text=f"{time.monotonic():.4f} ")))
            self._left[request] = left - 1
            if left == 1:
                del self._left[request]
                usage = modeld.Usage(prompt_tokens=1)
                made.append(
                    (request, modeld.Done(finish_reason=modeld.FinishReason.LENGTH, usage=usage))
                )
        return made

    def cancel(self, request_id: int) -> None:
        """End a generation."""
        self._left.pop(request_id, None)

    def close(self) -> None:
        """Give nothing back."""


class Paced(modeld.Backend):
    """Loads it."""

    name = "paced"
    options_type = PacedOptions
    unserved_sampling = tuple(row.name for row in COMMON)

    def can_load(self, spec: modeld.ModelSpec) -> bool:
        """Return whether it is the one."""
        return spec.format == MODEL

    def capabilities(self, *_: object) -> Collection[modeld.Capability]:
        """Return that it makes text."""
        return {modeld.Capability.TEXT}

    async def load(
        self, spec: modeld.ModelSpec, options: modeld.Options, host: modeld.EngineHost
    ) -> modeld.Engine:
        """Have modeld start the engine."""
        return await host.start("modeld_paced:PacedEngine", spec, options)


@modeld.hookimpl
def modeld_register_sources() -> Iterable[modeld.RegistrySource]:
    """Bring the source."""
    return [Source()]


@modeld.hookimpl
def modeld_register_backends() -> Iterable[modeld.Backend]:
    """Bring the backend."""
    return [Paced()]
