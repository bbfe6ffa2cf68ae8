# SPDX-License-Identifier: GPL-3.0-only
"""Two model servers inside a Starlette application, each under a prefix of its own.

Run it with ``uvicorn --factory mount_starlette:create_host``. Then, for example::

    curl localhost:8000/small/models
    curl -N localhost:8000/small/infer -H 'Content-Type: application/json' \\
      -d '{"model": "tiny.gguf", "prompt": "Hi"}'
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

import modeld
from modeld.httpapi.app import ModeldApp


async def home(_request: Request) -> PlainTextResponse:
    """A page of the host's own."""
    return PlainTextResponse("models are served under /small and /large")


def create_host(small: ModeldApp | None = None, large: ModeldApp | None = None) -> Starlette:
    """The host with both servers; entering their lifespans is optional, but starts them early."""
    small = small or modeld.create_app(modeld.Settings(models_dir="~/models/small"))
    large = large or modeld.create_app(modeld.Settings(models_dir="~/models/large"))

    @asynccontextmanager
    async def lifespan(_host: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in (small, large):
                await stack.enter_async_context(app.lifespan())
            yield

    return Starlette(
        routes=[Route("/", home), Mount("/small", small), Mount("/large", large)],
        lifespan=lifespan,
    )
