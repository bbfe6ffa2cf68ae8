# SPDX-License-Identifier: GPL-3.0-only
from collections.abc import Iterator

from modeld import Backend, Engine, EngineHost, ModelSpec, Options, hookimpl


class Animal(Backend):
    def __init__(self, name: str) -> None:
        self.name = name

    def can_load(self, spec: ModelSpec) -> bool:
        return False

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        raise NotImplementedError


@hookimpl
def modeld_register_backends() -> list[Backend]:
    return [Animal("cat"), Animal("dog")]


class GoodClass:
    """Each application gets an instance of its own, and so a backend of its own."""

    def __init__(self) -> None:
        self._backend = Animal("fox")

    @hookimpl
    def modeld_register_backends(self) -> tuple[Backend, ...]:
        return (self._backend,)


class Generator:
    @hookimpl
    def modeld_register_backends(self) -> Iterator[Backend]:
        yield Animal("bee")
        yield Animal("ant")
