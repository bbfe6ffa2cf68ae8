# SPDX-License-Identifier: GPL-3.0-only
"""A server whose engines cost nothing and live in its own process, for a thousand models in use.

    python -m tests.bench.growth_app cost|serve FOLDER USED

`cost` uses USED models of the folder in turn, without HTTP, and prints what it has measured as one
line of JSON. `serve` serves them with modeld's own server, and prints its port when it listens.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

import psutil

from modeld import (
    Backend,
    Chunk,
    Done,
    Engine,
    EngineHost,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    ModelSpec,
    Options,
    Settings,
    Token,
    Usage,
    create_app,
    hookimpl,
)
from modeld.capabilities import Capability
from modeld.httpapi.server.server import serve
from modeld.plugins.host import PluginHost
from modeld.serving.service import LocalService

SLOTS = 256
ROUNDS = 4000
EVERY_S = 0.1
"""How often a stream of more than one token has the next one."""

_TOKEN = Token(text=" token")


class FreeEngine(Engine):
    """Has a token whenever it is due, and computes nothing."""

    slots = SLOTS

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        for number in range(request.max_tokens or 1):
            if number:
                await asyncio.sleep(EVERY_S)
            yield _TOKEN
        yield Done(finish_reason=FinishReason.LENGTH, usage=Usage())

    async def aclose(self) -> None:
        pass


class FreeBackend(Backend):
    """Loads at once what needs a megabyte."""

    name = "free"

    def can_load(self, spec: ModelSpec) -> bool:
        return True

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:
        return frozenset({Capability.TEXT})

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=1 << 20)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        return FreeEngine()


class FreePlugin:
    """Brings the backend."""

    @hookimpl
    def modeld_register_backends(self) -> Iterable[Backend]:
        return (FreeBackend(),)


def settings_for(folder: str) -> Settings:
    """Return settings by which the models in a folder are served at no cost."""
    return Settings(
        addr="127.0.0.1:0",
        models_dir=folder,
        models={"*": {"backend": "free"}},
        memory_budget_mb=65_536,
        share_machine=True,
        source_timeout_s=60.0,
        warm_workers=0,
    )


async def _ask(service: LocalService, model: str) -> None:
    request = GenerateRequest(model=model, prompt="x", request_id="r", max_tokens=1)
    async with aclosing(service.generate(request)) as chunks:
        async for _ in chunks:
            pass


async def cost(folder: str, used: int) -> dict[str, float]:
    """Return what it costs to start, and what a request costs once all have been used."""
    settings = settings_for(folder)
    service = LocalService(settings, PluginHost.discover(settings, {"free": FreePlugin()}))
    begun_s = time.process_time()
    await service.start()
    start_s = time.process_time() - begun_s
    models = [spec.id for spec in await service.models()][:used]
    assert len(models) == used, f"{len(models)} models"
    begun_s = time.process_time()
    for model in models:
        await _ask(service, model)
    first_s = time.process_time() - begun_s
    begun_s = time.process_time()
    for number in range(ROUNDS):
        # Not in their order: what was used long ago and what was used just now take turns.
        await _ask(service, models[number * 7919 % used])
    later_s = time.process_time() - begun_s
    rss_bytes = psutil.Process().memory_info().rss
    return {
        "start_s": start_s,
        "first_us": first_s / used * 1e6,
        "later_us": later_s / ROUNDS * 1e6,
        "rss_mb": rss_bytes / 2**20,
    }


async def _print_cost(folder: str, used: int) -> None:
    print(json.dumps(await cost(folder, used)), flush=True)
    os._exit(0)  # a thousand engines would be closed one by one, which nobody asks about here


def _serve(folder: str) -> int:
    settings = settings_for(folder)
    app = create_app(settings, {"free": FreePlugin()})

    async def announce(url: str) -> None:
        print(url.rpartition(":")[2].strip("/"), flush=True)

    return serve(app, settings, announce=announce, notify=app.plugins.notify)


def main() -> int:
    what, folder, used = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "serve":
        return _serve(folder)
    asyncio.run(_print_cost(folder, used))
    return 0


if __name__ == "__main__":
    sys.exit(main())
