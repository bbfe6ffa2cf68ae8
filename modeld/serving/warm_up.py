# SPDX-License-Identifier: GPL-3.0-only
"""Has a model compute a little before it takes requests, so that none of them is the slow first."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Final

from modeld.capabilities import Capability
from modeld.errors import LoadFailedError, ModeldError
from modeld.interfaces import Engine
from modeld.plugins.guard import described
from modeld.requests import AnyRequest, EmbedRequest, GenerateRequest, RerankRequest, Sampling
from modeld.serving.state.model_entry import ModelEntry

TEXT: Final = "Hello"
"""What is computed where the option has no text of its own."""

log = logging.getLogger("modeld.loader")


def text_of(entry: ModelEntry) -> str | None:
    """Return what a model computes once it is loaded; ``None`` for nothing.

    Unless its option says something, it does where its backend gains by that and no request waits:
    one that waits is served sooner without.
    """
    match entry.options.warm_up:
        case str(text):
            return text
        case None:
            is_waited_for = any(ticket.needs_slot for ticket in entry.queue.waiting)
            return TEXT if entry.backend.gains_by_warm_up is True and not is_waited_for else None
        case is_wanted:
            return TEXT if is_wanted else None


def request_of(model: str, text: str, capabilities: Collection[Capability]) -> AnyRequest | None:
    """Return the request of a warm-up, of a kind that the model serves; ``None`` if there is none.

    A text of one's own stays in the prefix cache, for requests that begin with it.
    """
    if Capability.TEXT in capabilities:
        return GenerateRequest(
            model=model,
            prompt=text,
            max_tokens=1,
            sampling=Sampling(temperature=0),
            cache_prompt=text != TEXT,
            request_id="warm-up",
        )
    if Capability.EMBED in capabilities:
        return EmbedRequest(model=model, inputs=(text,), request_id="warm-up")
    if Capability.RERANK in capabilities:
        return RerankRequest(model=model, query=text, documents=(text,), request_id="warm-up")
    return None


async def warm_up(entry: ModelEntry, engine: Engine, timeout_s: float) -> float:
    """Run the warm-up of a model that is loaded, if it has one; return how long that took.

    It is a part of the load, and no request: nobody counts it, and nobody is told of it.

    Raises:
        LoadFailedError: it failed, and the option asks for it, or the engine has died of it.
    """
    text = text_of(entry)
    request = None if text is None else request_of(entry.spec.id, text, entry.capabilities)
    if request is None:
        return 0.0
    clock = asyncio.get_running_loop().time
    began_s = clock()
    try:
        async with asyncio.timeout(timeout_s):
            await _run(engine, request)
    except TimeoutError as exc:
        raise LoadFailedError(f"the warm-up took longer than {timeout_s:g} s") from exc
    except Exception as exc:
        failure = f"the warm-up failed: {_said(exc)}"
        if entry.options.warm_up is not None or engine.failure() is not None:
            raise LoadFailedError(failure) from exc
        log.warning("%s: %s", entry.spec.id, failure)
    return clock() - began_s


async def _run(engine: Engine, request: AnyRequest) -> None:
    if isinstance(request, GenerateRequest):
        async for _ in engine.generate(request):
            pass
    else:
        await engine.submit(request)


def _said(exc: Exception) -> str:
    return exc.message if isinstance(exc, ModeldError) else described(exc)
