# SPDX-License-Identifier: GPL-3.0-only
"""What programs get whose base URL has no ``/v1``."""

from __future__ import annotations

import asyncio

import pytest
from openai_calls import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, VALID

from modeld.responses import Done, EmbedResponse, FinishReason, Token, Usage
from modeld.settings import Settings
from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService, ask, client_of, make_app

SCRIPT = (Token(text="a"), Done(finish_reason=FinishReason.STOP, usage=Usage()))
CHANGING = {"id", "created", "created_at", "completed_at", "output"}


def post(path: str, **body: object) -> dict[str, object]:
    service = FakeService(*SCRIPT)
    service.unary_response = EmbedResponse(vectors=((1.0,),), usage=Usage())
    app = make_app(service, Settings(default_model="m"))
    return ask(app, "POST", path, json=body).json()


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES])
def test_the_response_is_the_same(path):
    short, long = (post(each, **VALID[path]) for each in (path.removeprefix("/v1"), path))
    assert "error" not in short or short["error"] is None
    assert {name: part for name, part in short.items() if name not in CHANGING} == {
        name: part for name, part in long.items() if name not in CHANGING
    }


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES])
def test_an_error_looks_the_same(path):
    short, long = (post(each, other=1) for each in (path.removeprefix("/v1"), path))
    assert short == long
    assert short["error"]["param"] == "other"


def test_a_stored_response_is_found_there_too():
    async def go():
        app = make_app(FakeService(*SCRIPT), Settings(default_model="m"))
        async with client_of(app) as client:
            made = (await client.post("/responses", json={"input": "hi"})).json()
            for prefix in ("", "/v1"):
                found = await client.get(f"{prefix}/responses/{made['id']}")
                assert found.json() == made
            missing = await client.get("/responses/none")
            assert missing.json()["error"]["code"] == "not_found"

    asyncio.run(go())


def test_the_native_list_has_what_the_client_looks_for():
    models = [
        ModelSpec(id="m", name="m", path="/m"),
        ModelSpec(id="x", name="x", path="/x", problem="no"),
    ]
    native, own = (
        ask(make_app(FakeService(models=models)), "GET", path).json()
        for path in ("/models", "/v1/models")
    )
    assert native["object"] == own["object"]
    for theirs, ours in zip(native["data"], own["data"], strict=True):
        assert theirs.items() <= ours.items()
