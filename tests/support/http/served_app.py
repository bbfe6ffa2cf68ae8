# SPDX-License-Identifier: GPL-3.0-only
"""A process that serves a scripted application, for tests that end it with real signals.

Its one argument is a JSON object: ``script`` says what goes wrong, the rest are settings. What
happens is told on standard output, one line each.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import resource
import sys
import threading
import time
from typing import Any

from modeld.errors import ConfigurationError, LoadFailedError
from modeld.httpapi.server.server import serve
from modeld.settings import Settings


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def goes_on() -> None:
    """Never end, whoever cancels it."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


class ScriptedApp:
    """``/stream`` sends a line when it begins and one when the drain begins, and ends on
    ``/finish``; ``/block`` blocks the event loop; anything else is answered at once."""

    def __init__(self, script: str) -> None:
        self.script = script
        self.draining = asyncio.Event()
        self.finish = asyncio.Event()
        self.finished = asyncio.Event()
        self.finished.set()

    async def start(self) -> None:
        match self.script:
            case "start refused":
                raise LoadFailedError("there is no memory left")
            case "start broken":
                raise RuntimeError("broken plugin")
            case "start waits":
                say("starting")
                await asyncio.Event().wait()
            case "thread hangs":
                asyncio.get_running_loop().run_in_executor(None, threading.Event().wait)
            case "task goes on":
                self.stubborn = asyncio.create_task(goes_on(), name="stubborn")
            case "start asks":
                say("starting")
                await asyncio.to_thread(sys.stdin.readline)

    async def drain(self, timeout_s: float) -> None:
        self.draining.set()
        if self.script == "drain broken":
            raise RuntimeError("broken drain")
        if self.script == "drain hurried":
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self.finished.wait()
        except TimeoutError:
            self.finish.set()
            await self.finished.wait()

    async def aclose(self) -> None:
        say("closing")
        match self.script:
            case "close waits":
                await asyncio.Event().wait()
            case "close blocks":
                time.sleep(3600)  # noqa: ASYNC251  (that is the fault)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        match scope["path"]:
            case "/stream":
                await self.stream(send)
            case "/block":
                say("blocking")
                time.sleep(3600)  # noqa: ASYNC251  (that is the fault)
            case "/finish":
                self.finish.set()
                await self.respond(send, b"finishing")
            case "/files":
                soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
                await self.respond(send, b"%d" % soft)
            case "/frozen":
                await self.respond(send, b"%d" % gc.get_freeze_count())
            case _:
                await self.respond(send, b"draining" if self.draining.is_set() else b"serving")

    async def stream(self, send: Any) -> None:
        self.finished.clear()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun\n", "more_body": True})
        await self.draining.wait()
        await send({"type": "http.response.body", "body": b"draining\n", "more_body": True})
        await self.finish.wait()
        await send({"type": "http.response.body", "body": b"finished\n"})
        self.finished.set()

    async def respond(self, send: Any, body: bytes) -> None:
        length = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": length})
        await send({"type": "http.response.body", "body": body})


def main() -> int:
    changes = json.loads(sys.argv[1])
    app = ScriptedApp(changes.pop("script", ""))
    try:
        return serve(app, Settings(**{"addr": ":0", **changes}), announce=say)
    except ConfigurationError as exc:
        sys.stderr.write(f"modeld: {exc.message}\n")
        return 2


if __name__ == "__main__":
    sys.exit(main())
