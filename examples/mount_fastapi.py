# SPDX-License-Identifier: GPL-3.0-only
"""A model server inside a FastAPI application, which also uses it from its own code.

Run it with ``uvicorn --factory mount_fastapi:create_host``. Then, for example::

    curl localhost:8000/llm/models
    curl -N localhost:8000/llm/infer -H 'Content-Type: application/json' \\
      -d '{"model": "tiny.gguf", "prompt": "Hi"}'
    curl 'localhost:8000/haiku?about=rain&model=tiny.gguf'
"""

from __future__ import annotations

from fastapi import FastAPI, HTTPException

import modeld
from modeld.httpapi.app import ModeldApp


def create_host(llm: ModeldApp | None = None) -> FastAPI:
    """The host; without ``lifespan=`` the server would start at its first request."""
    llm = llm or modeld.create_app(modeld.Settings(models_dir="~/models/llm"))
    host = FastAPI(lifespan=llm.lifespan)
    host.mount("/llm", llm)

    @host.get("/haiku")
    async def haiku(about: str, model: str = "") -> dict[str, str]:
        prompt = f"A haiku about {about}:\n"
        try:
            said = await llm.models.generate(model, prompt, max_tokens=40)
        except modeld.ModeldError as exc:
            raise HTTPException(status_code=503, detail=exc.message) from exc
        return {"haiku": said.content}

    return host
