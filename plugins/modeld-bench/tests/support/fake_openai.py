# SPDX-License-Identifier: GPL-3.0-only
"""A server with an API like OpenAI's on a real socket, which does as it is told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.http.live_server import serving

LENGTH = 4


class FakeOpenAI:
    """Answers with LENGTH pieces of text; ``behaviour`` is the word for how it goes wrong.

    From its request number ``stuck_from`` on it says nothing at all, and ``stuck`` is set.
    """

    def __init__(self, behaviour: str = "", models: tuple[str, ...] = ("m",)) -> None:
        self.behaviour = behaviour
        self.models = models
        self.stuck_from = 10**9
        self.stuck = threading.Event()
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.peers: list[int] = []
        self.app = Starlette(
            routes=[
                Route("/v1/models", self._list),
                Route("/v1/completions", self._respond, methods=["POST"]),
                Route("/v1/chat/completions", self._respond, methods=["POST"]),
            ]
        )

    async def _list(self, request: Request) -> Response:
        if self.behaviour == "loading":
            return JSONResponse({"error": {"message": "Loading model"}}, 503)
        models = [{"id": name, "object": "model"} for name in self.models]
        return JSONResponse({"object": "list", "data": models})

    async def _respond(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.paths.append(request.url.path)
        assert request.client is not None
        self.peers.append(request.client.port)
        if len(self.bodies) >= self.stuck_from:
            self.stuck.set()
            await asyncio.Event().wait()
        if self.behaviour == "429":
            error = {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}
            return JSONResponse({"error": error}, 429, {"Retry-After": "7"})
        if self.behaviour == "not a stream":
            return JSONResponse({"choices": [{"text": "hi"}]})
        return StreamingResponse(self._stream(), media_type="text/event-stream; charset=utf-8")

    async def _stream(self) -> AsyncIterator[bytes]:
        chat = self.paths[-1] == "/v1/chat/completions"
        yield b": hello\r\n\r\n"
        for number in range(LENGTH):
            if number == LENGTH // 2 and self.behaviour == "error":
                yield event(error={"message": "out of memory", "type": "server_error"})
                return
            if number == LENGTH // 2 and self.behaviour == "cut":
                raise ConnectionResetError("the fake was told to")
            if number == LENGTH // 2 and self.behaviour == "early end":
                return
            text = f"t{number} é"
            yield event(choices=[{"delta": {"content": text}} if chat else {"text": text}])
        yield event(choices=[{"text": "", "finish_reason": "length"}])
        if self.behaviour != "no usage":
            yield event(choices=[], usage={"prompt_tokens": 10, "completion_tokens": 2 * LENGTH})
        yield b"data: [DONE]\r\n\r\n"


def event(**document: object) -> bytes:
    return f"data: {json.dumps(document, ensure_ascii=False)}\r\n\r\n".encode()


@contextmanager
def running(fake: FakeOpenAI) -> Iterator[str]:
    """Serve the fake on a thread; the block gets its URL."""
    port: list[int] = []
    started, leave = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving(fake.app) as number:
            port.append(number)
            started.set()
            await asyncio.to_thread(leave.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(30)
        yield f"http://127.0.0.1:{port[0]}"
    finally:
        leave.set()
        thread.join()
