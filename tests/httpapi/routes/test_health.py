# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from modeld.errors import ConfigurationError
from modeld.settings import Settings
from modeld.status import Readiness
from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService, ask, client_of, make_app


def test_a_living_process_is_ok() -> None:
    response = ask(make_app(FakeService()), "GET", "/healthz")
    assert (response.status_code, response.text) == (200, "ok")
    assert response.headers["content-type"].startswith("text/plain")


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
    response = ask(make_app(service), "GET", "/readyz")
    assert (response.status_code, response.text) == (status, text)
    assert response.headers.get("x-modeld-reason") == (None if readiness.ready else text)


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


def test_without_a_key_nobody_learns_which_models_there_are(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("secret\n")
    settings = Settings(api_key_file=str(tmp_path / "keys"))
    service = FakeService(models=[ModelSpec(id="a.gguf", name="a", path="/a")])
    app = make_app(service, settings)

    async def go() -> None:
        async with client_of(app) as client:
            assert (await client.get("/readyz")).text == "ready"
            for key in (None, "wrong"):
                headers = {} if key is None else {"x-api-key": key}
                responses = [
                    await client.get("/readyz", params={"model": model}, headers=headers)
                    for model in ("a.gguf", "nope", "")
                ]
                assert {response.status_code for response in responses} == {401}
                assert len({response.content for response in responses}) == 1
            allowed = {"x-api-key": "secret"}
            known = await client.get("/readyz", params={"model": "a.gguf"}, headers=allowed)
            assert known.text == "ready"
            unknown = await client.get("/readyz", params={"model": "nope"}, headers=allowed)
            assert unknown.json()["reason"] == "model_not_found"

    asyncio.run(go())


def test_a_head_request_is_a_probe_too() -> None:
    assert ask(make_app(FakeService()), "HEAD", "/healthz").status_code == 200
