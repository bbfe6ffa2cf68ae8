# SPDX-License-Identifier: GPL-3.0-only
"""A random model on OpenVINO behind a real server, in a worker of its own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import openvino_folder
import pytest

from tests.support.http.served import Served, client, lines, serving, until

MODEL = "tiny.gguf"
OPTIONS = {"*": {"backend": "openvino", "slots": 2, "context": 8192, "threads": 1}}
LONG = {"model": MODEL, "prompt": "hello", "max_tokens": 8000, "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def served(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(tiny, folder / MODEL)
    openvino_folder.write(tiny, folder / "vendor" / "tiny")
    with serving(folder, "--models", json.dumps(OPTIONS), "--default-model", MODEL) as served:
        yield served


def whole(served: Served, **fields: object) -> dict[str, object]:
    response = served.post("/infer", {**LONG, "max_tokens": 8, "stream": False, **fields})
    assert response.status_code == 200, response.text
    found: dict[str, object] = response.json()
    return found


def test_the_model_is_listed_with_what_it_serves(served: Served) -> None:
    models = {each["id"]: each for each in served.get("/models").json()["models"]}
    assert set(models) == {MODEL, "vendor--tiny"}
    assert models[MODEL]["capabilities"] == ["chat", "template", "text", "token_ids", "tokenize"]


def test_both_formats_are_served_beside_each_other(served: Served) -> None:
    one, other = whole(served), whole(served, model="vendor--tiny")
    assert one["usage"] == other["usage"]
    assert {MODEL, "vendor--tiny"} == {
        each["model_id"] for each in served.status()["instances"] if each["state"] == "ready"
    }


def test_a_chat_is_served_in_openais_form(served: Served) -> None:
    body = {
        "model": MODEL,
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 8,
        "temperature": 0,
    }
    response = served.post("/v1/chat/completions", body).json()
    native = whole(served, prompt=None, messages=body["messages"], ignore_eos=False)
    (choice,) = response["choices"]
    assert choice["message"]["content"] == native["content"]
    assert response["usage"]["completion_tokens"] == native["usage"]["completion_tokens"]
    stream = served.post("/v1/chat/completions", body | {"stream": True}).text
    assert stream.endswith("data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("logit_bias", {"5": 1}),
        ("logprobs", 0),
        ("json_schema", {"type": "object"}),
        ("regex", "a"),
        ("tools", [{"type": "function", "function": {"name": "f"}}]),
        ("mirostat", 1),
    ],
)
def test_what_it_does_not_serve_is_refused_by_its_field(
    served: Served, field: str, value: object
) -> None:
    response = served.post("/infer", LONG | {field: value})
    assert response.status_code == 400, response.text
    assert field in response.json()["error"]


def test_two_streams_are_computed_together(served: Served) -> None:
    async def scenario() -> None:
        async with client() as http:
            one, other = (
                lines(http, served.url, LONG | {"prompt": prompt}) for prompt in ("a", "b")
            )
            first = [await anext(one), await anext(other)]
            assert all("token" in line for line in first)
            assert served.instance(MODEL)["inflight"] == 2
            for stream in (one, other):
                assert "token" in await anext(stream)
                await stream.aclose()

    asyncio.run(scenario())


async def rest_of(stream: object) -> list[dict[str, object]]:
    return [line async for line in stream]


def test_who_leaves_frees_the_slot_for_who_waits(served: Served) -> None:
    async def scenario() -> None:
        async with client() as http:
            leaving = [lines(http, served.url, LONG) for _ in range(2)]
            for stream in leaving:
                await anext(stream)
            for stream in leaving:
                await stream.aclose()
            await until(lambda: served.instance(MODEL)["inflight"] == 0)
            rest = await rest_of(lines(http, served.url, LONG | {"max_tokens": 20}))
            assert rest[-1]["usage"]["completion_tokens"] == 20

    asyncio.run(scenario())


def test_a_killed_worker_ends_its_stream_with_an_error_and_is_loaded_anew(served: Served) -> None:
    async def scenario() -> None:
        async with httpx.AsyncClient(timeout=30) as http:
            stream = lines(http, served.url, LONG)
            await anext(stream)
            os.kill(served.instance(MODEL)["pid"], signal.SIGKILL)
            assert (await rest_of(stream))[-1]["reason"] == "worker_crashed"
        assert whole(served)["usage"]["completion_tokens"] == 8

    asyncio.run(scenario())
