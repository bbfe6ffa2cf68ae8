# SPDX-License-Identifier: GPL-3.0-only
"""Two plugins that bring a backend of the same name."""

from modeld import Backend, Engine, EngineHost, ModelSpec, Options, hookimpl


class Twin(Backend):
    name = "twin"

    def can_load(self, spec: ModelSpec) -> bool:
        return False

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        raise NotImplementedError


class One:
    @hookimpl
    def modeld_register_backends(self) -> list[Backend]:
        return [Twin()]


class Two(One):
    pass
