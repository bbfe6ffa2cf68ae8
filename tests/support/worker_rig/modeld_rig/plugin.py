# SPDX-License-Identifier: GPL-3.0-only
"""The rig's backend: it loads GGUF files whose architecture is `rig`."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from modeld import (
    Backend,
    BackendSampling,
    Engine,
    EngineHost,
    MemoryEstimate,
    ModelSpec,
    Options,
    hookimpl,
)
from modeld.capabilities import Capability

ENGINE = "modeld_rig.engine:RigEngine"


class RigOptions(Options, frozen=True):
    """What the rig does on load: sizes in MiB, files to wait for, ways to fail.

    ``measured_mb`` is what a dry run finds; at 0 there is none.
    """

    slots: int = 2
    estimate_mb: int = 100
    measured_mb: int = 0
    measure_gate: str = ""
    measure_fault: str = ""
    held_mb: int = 0
    load_gate: str = ""
    load_fault: str = ""
    close_fault: str = ""
    journal: str = ""
    instant: bool = False
    piece: int = 0
    pace_s: float = 0.0
    stubborn: bool = False


class RigSampling(BackendSampling, frozen=True):
    """What the rig knows about choosing words that no other engine does."""

    rig_case: Annotated[
        Literal["upper", "lower"] | None, Meta(description="how the words are written")
    ] = None
    rig_repeats: Annotated[
        Annotated[int, Meta(ge=1, le=3)] | None, Meta(description="how often each word comes")
    ] = None


class Rig(Backend):
    name = "rig"
    options_type: ClassVar[type[Options]] = RigOptions
    sampling_type = RigSampling
    warm_imports = ("modeld_rig.engine",)

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:
        return frozenset(Capability)

    def can_load(self, spec: ModelSpec) -> bool:
        return spec.family == "rig"

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        assert isinstance(options, RigOptions)
        return MemoryEstimate(weights_bytes=options.estimate_mb << 20)

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        assert isinstance(options, RigOptions)
        if not options.measured_mb:
            return None
        measured = await host.call("modeld_rig.dry_run:measure", spec, options)
        return msgspec.convert(measured, MemoryEstimate)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        assert isinstance(options, RigOptions)
        engine = "modeld_rig.instant:InstantEngine" if options.instant else ENGINE
        return await host.start(engine, spec, options)


@hookimpl
def modeld_register_backends() -> list[Backend]:
    return [Rig()]


@hookimpl
def modeld_choose_backend(spec: ModelSpec, backends: Sequence[Backend]) -> Backend | None:
    """Other backends may take any GGUF file for theirs."""
    mine = (backend for backend in backends if isinstance(backend, Rig))
    return next(mine, None) if spec.family == "rig" else None
