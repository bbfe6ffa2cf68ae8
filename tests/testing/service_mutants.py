# SPDX-License-Identifier: GPL-3.0-only
"""Services that are each wrong in one way, around the local one with a toy in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from modeld import (
    Backend,
    Chunk,
    Done,
    GenerateRequest,
    ModelService,
    ModelSpec,
    RegistrySource,
    Settings,
    create_app,
    hookimpl,
)
from modeld.errors import InternalError, ModeldError, ModelNotFoundError
from modeld.requests import AnyUnaryRequest, KeepAliveSeconds
from modeld.responses import AnyUnaryResponse, EmbedResponse, Usage
from modeld.status import ModelPlan, Readiness, ServiceStatus
from modeld.testing import ServiceContract
from modeld.testing.doubles.application import NEEDED
from modeld.values import PluginStatus
from tests.testing.toys import SimpleToy, spec_of, write_toy

MUTANTS: list[tuple[type[ModelService], str]] = []
"""Each with the name of its check."""


class OneModel(RegistrySource):
    """Lists the toy."""

    name = "one-model"

    def __init__(self, path: Path) -> None:
        self.path = path

    async def list_models(self) -> Sequence[ModelSpec]:
        return [spec_of(self.path)]


class ToyPlugin:
    """Brings the toy and its model."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @hookimpl
    def modeld_register_backends(self) -> list[Backend]:
        return [SimpleToy()]

    @hookimpl
    def modeld_register_sources(self) -> list[RegistrySource]:
        return [OneModel(self.path)]


def local_service(path: Path) -> ModelService:
    """Return the local service with nothing but the toy."""
    others = sorted({entry.name for entry in entry_points(group="modeld")} - NEEDED)
    settings = Settings(engine_host="thread", warm_workers=0, block_plugins=tuple(others))
    return create_app(settings, {"toy": ToyPlugin(path)}).service


class Wrapped(ModelService):
    """Passes everything on."""

    def __init__(self, path: Path) -> None:
        self.inner = local_service(path)

    async def start(self) -> None:
        await self.inner.start()

    async def drain(self, timeout_s: float) -> None:
        await self.inner.drain(timeout_s)

    async def aclose(self) -> None:
        await self.inner.aclose()

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        return self.inner.generate(request)

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        return await self.inner.submit(request)

    async def models(self) -> Sequence[ModelSpec]:
        return await self.inner.models()

    async def default_model(self) -> str:
        return await self.inner.default_model()

    async def refresh(self) -> Sequence[ModelSpec]:
        return await self.inner.refresh()

    async def load(
        self, model: str, *, keep_alive_s: KeepAliveSeconds | None = None, fit: bool = True
    ) -> None:
        await self.inner.load(model, keep_alive_s=keep_alive_s)

    async def unload(self, model: str) -> None:
        await self.inner.unload(model)

    async def pin(self, model: str, *, pinned: bool) -> None:
        await self.inner.pin(model, pinned=pinned)

    async def plan(self, model: str) -> ModelPlan:
        return await self.inner.plan(model)

    async def status(self) -> ServiceStatus:
        return await self.inner.status()

    async def ready(self, model: str | None = None) -> Readiness:
        return await self.inner.ready(model)

    async def plugins(self) -> Sequence[PluginStatus]:
        return await self.inner.plugins()


class OfService(ServiceContract):
    """The contract on one of these."""

    limit_s = 3.0

    def __init__(self, kind: Callable[[Path], ModelService], folder: Path) -> None:
        self._kind = kind
        self._path = Path(write_toy(folder).path)
        self.model = self._path.name

    def make_service(self) -> ModelService:
        return self._kind(self._path)


def fails(check: str) -> Callable[[type], type]:
    """Note which check must find the mutant, and only that."""

    def note(mutant: Any) -> type:
        MUTANTS.append((mutant, check))
        return mutant  # type: ignore[no-any-return]

    return note


@fails("test_it_starts_twice_and_closes_twice")
class StartsOnce(Wrapped):
    is_started = False

    async def start(self) -> None:
        if self.is_started:
            raise InternalError("it runs already")
        self.is_started = True
        await super().start()


@fails("test_it_tells_of_its_models")
class ForgetsOnRefresh(Wrapped):
    async def refresh(self) -> Sequence[ModelSpec]:
        return []


@fails("test_it_tells_how_it_is")
class CountsInText(Wrapped):
    async def status(self) -> ServiceStatus:
        return replace(await super().status(), uptime_s="long")


@fails("test_a_plan_is_what_then_happens")
class LoadsToPlan(Wrapped):
    async def plan(self, model: str) -> ModelPlan:
        plan = await super().plan(model)
        await self.load(model)
        return plan


@fails("test_a_plan_is_what_then_happens")
class PlansOnce(Wrapped):
    planned: ModelPlan | None = None

    async def plan(self, model: str) -> ModelPlan:
        plan = await super().plan(model)
        self.planned = self.planned or plan
        return self.planned


@fails("test_reads_load_nothing")
class LoadsToTell(Wrapped):
    async def ready(self, model: str | None = None) -> Readiness:
        if model is not None and await super().ready(model):
            await self.load(model)
        return await super().ready(model)


@fails("test_a_generation_ends_once")
class LosesTheText(Wrapped):
    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().generate(request):
            yield replace(chunk, content="") if isinstance(chunk, Done) else chunk


@fails("test_unknown_models_are_refused_by_every_verb")
class TakesAnotherModel(Wrapped):
    async def unload(self, model: str) -> None:
        try:
            await super().unload(model)
        except ModelNotFoundError:
            return


@fails("test_wrong_requests_are_refused_by_name")
class BoundsQuietly(Wrapped):
    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        most = max(1, request.max_tokens or 1)
        return super().generate(replace(request, max_tokens=most))


@fails("test_what_the_model_does_not_declare_is_refused")
class InventsVectors(Wrapped):
    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        if type(request).__name__ == "EmbedRequest":
            return EmbedResponse(vectors=((1.0,),), usage=Usage())
        return await super().submit(request)


@fails("test_a_model_comes_and_goes")
class LoadsLater(Wrapped):
    async def load(
        self, model: str, *, keep_alive_s: KeepAliveSeconds | None = None, fit: bool = True
    ) -> None:
        if model not in {spec.id for spec in await self.models()}:
            await super().load(model)


@fails("test_a_client_that_leaves_frees_its_slot")
class GoesOnForNobody(Wrapped):
    """Serves one at a time, and forgets those that leave."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.one = asyncio.Lock()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        await self.one.acquire()
        try:
            async for chunk in super().generate(request):
                yield chunk
        except ModeldError:
            self.one.release()
            raise
        self.one.release()


@fails("test_a_drained_service_takes_nothing")
class DrainsSlowly(Wrapped):
    async def drain(self, timeout_s: float) -> None:
        return


@fails("test_a_closed_service_ends_what_runs")
class TellsNobody(Wrapped):
    """Ends, and lets those wait who are served."""

    has_ended = False

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().generate(request):
            yield chunk
            if self.has_ended:
                await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.has_ended = True
        await super().aclose()


@fails("test_nothing_is_left_of_a_closed_service")
class LeavesAFileOpen(Wrapped):
    kept: list[Any] = []

    async def aclose(self) -> None:
        self.kept.append(Path("/dev/null").open("rb"))  # noqa: ASYNC230, SIM115  (the fault)
        await super().aclose()
