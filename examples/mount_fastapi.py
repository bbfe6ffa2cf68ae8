# SPDX-License-Identifier: GPL-3.0-only
"""A model server inside a FastAPI application, which also uses it from its own code.

Run it with ``uvicorn --factory mount_fastapi:create_host``. Then, for example::

    curl -N localhost:8000/llm/infer -H 'Content-Type: application/json' -d '{"prompt": "Hi"}'
    curl localhost:8000/haiku?about=rain
"""

from __future__ import annotations

from contextlib import aclosing

from fastapi import FastAPI

import modeld
from modeld.httpapi.app import ModeldApp


def create_host(llm: ModeldApp | None = None) -> FastAPI:
    """The host; without ``lifespan=`` the server would start at its first request."""
    llm = llm or modeld.create_app(modeld.Settings(models_dir="~/models/llm"))
    host = FastAPI(lifespan=llm.lifespan)
    host.mount("/llm", llm)

    @host.get("/haiku")
    async def haiku(about: str) -> dict[str, str]:
        await llm.start()
        request = modeld.GenerateRequest(prompt=f"A haiku about {about}:\n", max_tokens=40)
        async with aclosing(llm.service.infer(request)) as chunks:
            answer = [chunk.text async for chunk in chunks if isinstance(chunk, modeld.Token)]
        return {"haiku": "".join(answer)}

    return host
