# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio

import pytest

from modeld.errors import ConfigurationError
from modeld.values import ModelSpec, Readiness
from tests.httpapi.fake_service import FakeService, ask, client_of, make_app


def test_a_living_process_is_ok() -> None:
    answer = ask(make_app(FakeService()), "GET", "/healthz")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers["content-type"].startswith("text/plain")


def test_liveness_does_not_need_a_service_that_starts() -> None:
    service = FakeService()
    service.start_error = ConfigurationError("no")
    app = make_app(service)

    async def go() -> None:
        async with client_of(app) as client:
            assert (await client.get("/healthz")).status_code == 200
            assert service.calls == []
            assert (await client.get("/readyz")).status_code == 500

    asyncio.run(go())


@pytest.mark.parametrize(
    ("readiness", "status", "text"),
    [
        (Readiness(ready=True, reason="accepting"), 200, "ready"),
        (Readiness(ready=False, reason="loading"), 503, "loading"),
        (Readiness(ready=False, reason="draining"), 503, "draining"),
    ],
)
def test_readiness_is_one_word(readiness: Readiness, status: int, text: str) -> None:
    service = FakeService()
    service.readiness = readiness
    answer = ask(make_app(service), "GET", "/readyz")
    assert (answer.status_code, answer.text) == (status, text)


def test_readiness_may_be_asked_for_one_model() -> None:
    service = FakeService(models=[ModelSpec(id="a b.gguf", name="a", path="/a")])
    app = make_app(service)

    async def go() -> None:
        async with client_of(app) as client:
            known = await client.get("/readyz", params={"model": "a b.gguf"})
            assert (known.status_code, known.text) == (200, "ready")
            unknown = await client.get("/readyz", params={"model": "nope"})
            assert unknown.status_code == 404
            assert unknown.json()["reason"] == "model_not_found"

    asyncio.run(go())


def test_a_head_request_is_a_probe_too() -> None:
    assert ask(make_app(FakeService()), "HEAD", "/healthz").status_code == 200
