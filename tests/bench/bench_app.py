# SPDX-License-Identifier: GPL-3.0-only
"""The two servers that the streaming benchmark compares, each a process of its own.

    python -m tests.bench.bench_app bare|modeld TOKENS [PACE_S]

With a pace, modeld's engine and the bare app take so long for each token. Both run on uvicorn with
modeld's protocol class, and print their port when they listen.
"""

import asyncio
import gc
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from modeld import Settings, create_app
from modeld.httpapi.server.protocol import protocol_class
from tests.support.gguf.tiny_gguf import write_gguf

LINE = b'{"token":" token"}\n'
MODEL = "instant.gguf"
STREAMS = 32


def bare_app(tokens: int, pace_s: float) -> Starlette:
    """Return a Starlette app that streams constant lines and does nothing else."""

    async def lines() -> AsyncIterator[bytes]:
        for _ in range(tokens):
            if pace_s:
                await asyncio.sleep(pace_s)
            yield LINE

    async def infer(request: Request) -> StreamingResponse:
        await request.body()
        return StreamingResponse(lines(), media_type="application/x-ndjson")

    return Starlette(routes=[Route("/infer", infer, methods=["POST"])])


def modeld_app(folder: Path, pace_s: float) -> ASGIApp:
    """modeld with an instant engine in a child process."""
    write_gguf(folder / MODEL, "rig")
    return create_app(
        Settings(
            models_dir=str(folder),
            default_model=MODEL,
            models={"*": {"instant": True, "slots": STREAMS, "pace_s": pace_s}},
            warm_workers=0,
        )
    )


def main() -> None:
    kind, tokens = sys.argv[1], int(sys.argv[2])
    pace_s = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    sys.path.insert(0, str(Path(__file__).parents[1] / "support" / "worker_rig"))
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.create_server(("127.0.0.1", 0)) as listener,
    ):
        app = bare_app(tokens, pace_s) if kind == "bare" else modeld_app(Path(folder), pace_s)
        config = uvicorn.Config(
            app, http=protocol_class(Settings()), log_level="error", access_log=False
        )
        gc.collect()
        gc.freeze()  # as modeld's own server does: an application has more objects than a bare one
        print(listener.getsockname()[1], flush=True)
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()
