# SPDX-License-Identifier: GPL-3.0-only
"""Writes docs/reference/openapi.json, the OpenAPI document of a server as it is installed.

    python -m tests.openapi_document            writes the file
    python -m tests.openapi_document --check    compares it; exit code 1 where it differs

The plugins are the built-in ones and the llama.cpp backend.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import httpx
from msgspec.structs import replace

from modeld import Settings
from modeld.httpapi.app import create_app
from modeld.plugins.host import PluginHost

FILE = Path(__file__).parents[1] / "docs" / "reference" / "openapi.json"
COMMAND = ".venv/bin/python -m tests.openapi_document"
PLUGINS = {"cost-aware", "gguf-folder", "lru", "ndjson", "sse", "plain-json", "prometheus"}
PLUGINS |= {"llama-cpp"}


def document(keys: str = "", more: Collection[str] = ()) -> dict[str, Any]:
    """Return the document that the application serves, whatever else is installed here.

    With ``keys``, the content of a file of keys, it is that of a server that wants one; ``more``
    are the plugins whose routes are in it too.
    """
    settings = Settings(models_dir="/nowhere")
    others = (
        {status.name for status in PluginHost.discover(settings).statuses()} - PLUGINS - {*more}
    )
    settings = Settings(models_dir="/nowhere", block_plugins=tuple(sorted(others)))
    if not keys:
        return _served(settings, {})
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(keys)
        file.flush()
        guarded = replace(settings, api_key_file=file.name)
        return _served(guarded, {"X-API-Key": keys.split(maxsplit=1)[0]})


def _served(settings: Settings, headers: dict[str, str]) -> dict[str, Any]:
    app = create_app(settings, PluginHost.discover(settings))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await client.get("/openapi.json", headers=headers)

    response = asyncio.run(ask())
    response.raise_for_status()
    described: dict[str, Any] = response.json()
    return described


def text() -> str:
    """Return the document as it stands in the file, in the order in which it is served."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def difference() -> list[str]:
    """Return the diff of the file and the document; nothing if they are equal."""
    written = FILE.read_text(encoding="utf-8") if FILE.exists() else ""
    names = (str(FILE.name), "what the server says")
    return list(
        difflib.unified_diff(written.splitlines(), text().splitlines(), *names, lineterm="", n=1)
    )


def main(arguments: list[str]) -> int:
    if arguments == ["--check"]:
        lines = difference()
        if lines:
            print(*lines[:40], f"docs/reference/openapi.json is old; write it: {COMMAND}", sep="\n")
        return 1 if lines else 0
    if arguments:
        print(__doc__)
        return 2
    FILE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
