# SPDX-License-Identifier: GPL-3.0-only
"""The rig's backend: it loads GGUF files whose architecture is `rig`."""

from typing import ClassVar

from modeld import Backend, Engine, EngineHost, MemoryEstimate, ModelSpec, Options, hookimpl


class RigOptions(Options, frozen=True):
    """What the rig does on load: sizes in MiB, files to wait for, ways to fail."""

    slots: int = 2
    estimate_mb: int = 100
    held_mb: int = 0
    load_gate: str = ""
    load_fault: str = ""
    journal: str = ""


class Rig(Backend):
    name = "rig"
    options_type: ClassVar[type[Options]] = RigOptions
    warm_imports = ("modeld_rig.engine",)

    def can_load(self, spec: ModelSpec) -> bool:
        return spec.family == "rig"

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        assert isinstance(options, RigOptions)
        return MemoryEstimate(weights_bytes=options.estimate_mb << 20)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        return await host.start("modeld_rig.engine:RigEngine", spec, options)


@hookimpl
def modeld_register_backends() -> list[Backend]:
    return [Rig()]
