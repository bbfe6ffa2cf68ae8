# SPDX-License-Identifier: GPL-3.0-only
"""Engines of the fault rig, in real processes and threads."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import msgspec

from modeld import Done, Engine, GenerateRequest, ModelSpec, Options, Settings, Token
from modeld.hosting.host import Hosting, hosting
from modeld.requests import TokenizeRequest

HOSTS = ["process", "thread"]
RIG = "modeld_rig.engine:RigEngine"

SPEC = ModelSpec(id="rigged", name="rigged", path="/rigged.gguf", family="rig")


def options(**choices: Any) -> Options:
    from modeld_rig.plugin import RigOptions

    return msgspec.convert(choices, RigOptions)


@asynccontextmanager
async def a_hosting(kind: str = "process", **settings: Any) -> AsyncIterator[Hosting]:
    """Yield a hosting with no warm workers and long limits, unless the test says otherwise."""
    from modeld_rig.plugin import Rig

    defaults = {"warm_workers": 0, "stall_timeout_s": 60.0, "cancel_timeout_s": 60.0}
    owner = hosting(Settings(engine_host=kind, **(defaults | settings)), (Rig(),))
    await owner.start()
    try:
        yield owner
    finally:
        await owner.aclose()


async def start(owner: Hosting, **choices: Any) -> Engine:
    """Load the rig. ``choices`` are its options."""
    return await owner.engine_host(lambda _done: None).start(RIG, SPEC, options(**choices))


@asynccontextmanager
async def an_engine(
    kind: str = "process", settings: dict[str, Any] | None = None, **choices: Any
) -> AsyncIterator[Engine]:
    """Yield a loaded rig that is closed at the end."""
    async with a_hosting(kind, **(settings or {})) as owner:
        engine = await start(owner, **choices)
        try:
            yield engine
        finally:
            await engine.aclose()


def plan(**script: Any) -> GenerateRequest:
    """Return a request that tells the rig what to do."""
    return GenerateRequest(prompt=json.dumps(script))


def unary_plan(**script: Any) -> TokenizeRequest:
    """Return a unary request that tells the rig what to do."""
    return TokenizeRequest(text=json.dumps(script))


class Stream:
    """One request in a task of its own, and what came of it so far."""

    def __init__(self, engine: Engine, request: GenerateRequest) -> None:
        self.text = ""
        self.done: Done | None = None
        self.came = asyncio.Event()
        self.task = asyncio.create_task(self._run(engine, request))

    async def _run(self, engine: Engine, request: GenerateRequest) -> None:
        async with aclosing(engine.generate(request)) as chunks:
            async for chunk in chunks:
                assert self.done is None, "something follows the end"
                if isinstance(chunk, Token):
                    self.text += chunk.text
                    self.came.set()
                else:
                    self.done = chunk

    async def end(self) -> None:
        """Wait for the end, and raise what the stream has raised."""
        await self.task
        assert self.done is not None, "the stream ended without saying so"

    async def leave(self) -> None:
        """The client goes away."""
        self.task.cancel()
        await asyncio.wait([self.task])


def tokens(count: int) -> str:
    """Return what the rig says in ``count`` tokens."""
    return "".join(f"t{number} " for number in range(count))


async def ask(engine: Engine, **script: Any) -> str:
    """Return the whole response."""
    stream = Stream(engine, plan(**script))
    await stream.end()
    return stream.text
