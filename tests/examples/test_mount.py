# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from modeld.httpapi.app import ModeldApp
from tests.support.http.fake_service import FakeService, make_app
from tests.support.http.live_server import serving

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def responses(host: Any, lifespan: str, *paths: str) -> list[httpx.Response]:
    """Return what a host under a real server sends: ``POST`` for paths that end with ``/infer``."""
    async with serving(host, lifespan) as port, httpx.AsyncClient() as client:
        base = f"http://127.0.0.1:{port}"
        return [
            await client.post(base + path, json={"prompt": "hi"})
            if path.endswith("/infer")
            else await client.get(base + path)
            for path in paths
        ]


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_two_servers_live_in_one_starlette_host(lifespan: str) -> None:
    services = [FakeService(), FakeService()]
    small, large = (make_app(service) for service in services)
    host = example("mount_starlette").create_host(small, large)

    async def go() -> None:
        paths = ("/", "/small/infer", "/large/infer", "/large/infer", "/small/metrics")
        home, *streams, metrics = await responses(host, lifespan, *paths)
        assert "/small" in home.text
        assert [stream.text.count('{"token":') for stream in streams] == [2, 2, 2]
        counted = 'modeld_http_requests_total{method="POST",path="/infer",status="200"} 1.0'
        assert counted in metrics.text
        for app in (small, large):
            await app.aclose()

    asyncio.run(go())
    assert [len(service.requests) for service in services] == [1, 2]
    assert [service.calls[0] for service in services] == ["start", "start"]


@pytest.mark.parametrize("lifespan", ["on", "off"])
def test_a_fastapi_host_serves_it_and_uses_it(lifespan: str) -> None:
    service = FakeService()
    app: ModeldApp = make_app(service)
    host = example("mount_fastapi").create_host(app)

    async def go() -> None:
        paths = ("/llm/infer", "/haiku?about=rain", "/llm/nope", "/openapi.json", "/llm/readyz")
        stream, haiku, nothing, document, ready = await responses(host, lifespan, *paths)
        assert stream.headers["content-type"] == "application/x-ndjson"
        assert stream.text.count('{"token":') == 2
        assert haiku.json() == {"haiku": "ab"}
        assert nothing.json()["reason"] == "not_found"
        assert "/haiku" in document.json()["paths"]
        assert ready.text == "ready"
        await app.aclose()

    asyncio.run(go())
    assert [request.prompt for request in service.requests] == ["hi", "A haiku about rain:\n"]


@pytest.mark.parametrize("name", ["mount_starlette", "mount_fastapi"])
def test_an_example_can_be_made_as_its_docstring_says(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    host = example(name).create_host()

    async def go() -> None:
        prefix = "/small" if name == "mount_starlette" else "/llm"
        [alive] = await responses(host, "off", f"{prefix}/healthz")
        assert alive.text == "ok"

    asyncio.run(go())
