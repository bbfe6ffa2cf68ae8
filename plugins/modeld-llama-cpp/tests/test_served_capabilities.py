# SPDX-License-Identifier: GPL-3.0-only
"""What models can be asked for follows from their files, through the whole application."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tiny_gguf import BEFORE_MIDDLE, INFILL, PAD, Script, write_scripted

from modeld import Settings, create_app
from tests.support.http.fake_service import client_of

SCRIPT: Script = {BEFORE_MIDDLE: b"m", b"m": b"n", b"n": b"o", b"o": PAD, b"a": b"b", b"b": PAD}
CODER, CHATTY = "coder.gguf", "chatty.gguf"
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
ONLY_CHAT = {"chat", "parts", "names", "tools", "reasoning", "template_kwargs", "template"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with a model that fills in and one that chats, and neither does the other."""
    write_scripted(tmp_path / CODER, SCRIPT, named=INFILL)
    write_scripted(tmp_path / CHATTY, SCRIPT, chat_template=TEMPLATE)
    return tmp_path


def served(models: Path, scenario: Callable[[httpx.AsyncClient], Any], **options: object) -> None:
    """Run a scenario with a client of the application that serves these models."""
    own: dict[str, Any] = {"*": {"context": 256, "threads": 1}, **options}
    app = create_app(Settings(models_dir=str(models), warm_workers=0, models=own))

    async def go() -> None:
        async with client_of(app) as client:
            await scenario(client)

    asyncio.run(go())


def test_what_a_model_fills_in_comes_by_all_wires(models: Path) -> None:
    asked = {"model": CODER, "prompt": "x", "suffix": "y", "stream": False}

    async def scenario(client: httpx.AsyncClient) -> None:
        native = (await client.post("/infer", json=asked)).json()
        assert (native["content"], native["finish_reason"]) == ("mno", "stop")
        assert native["usage"]["prompt_tokens"] == 6
        openai = (await client.post("/v1/completions", json=asked)).json()
        assert openai["choices"][0]["text"] == "mno"
        ollama = (await client.post("/api/generate", json=asked)).json()
        assert (ollama["response"], ollama["done_reason"]) == ("mno", "stop")
        streamed = await client.post("/v1/completions", json={**asked, "stream": True})
        assert '"text":"m"' in streamed.text

    served(models, scenario)


def test_a_model_that_cannot_fill_in_refuses_a_suffix_by_its_name(models: Path) -> None:
    asked = {"model": CHATTY, "prompt": "x", "suffix": "y"}
    why = "; its vocabulary has no tokens for filling in the middle"

    async def scenario(client: httpx.AsyncClient) -> None:
        native = await client.post("/infer", json=asked)
        assert (native.status_code, native.json()["field"]) == (400, "suffix")
        openai = await client.post("/v1/completions", json=asked)
        assert (openai.status_code, openai.json()["error"]["param"]) == (400, "suffix")
        ollama = await client.post("/api/generate", json=asked)
        assert ollama.status_code == 400
        for response in (native, openai, ollama):
            assert why in response.text

    served(models, scenario)


def test_a_model_without_a_chat_template_refuses_chats_and_says_why(models: Path) -> None:
    messages = [{"role": "user", "content": "a"}]
    asked = {"model": CODER, "messages": messages}
    why = "its file has no chat template; set the option `chat_template` for it"

    async def scenario(client: httpx.AsyncClient) -> None:
        for path in ("/infer", "/v1/chat/completions", "/api/chat"):
            refused = await client.post(path, json=asked)
            assert refused.status_code == 400
            assert "messages: " in refused.text
            assert why in refused.text
        plain = {"model": CODER, "prompt": "a", "stream": False}
        generated = (await client.post("/api/generate", json=plain)).json()
        assert generated["response"] == "b"

    served(models, scenario)


def test_lists_say_what_each_model_can_be_asked_for(models: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        native = (await client.get("/models")).json()["models"]
        listed = {each["id"]: set(each["capabilities"]) for each in native}
        assert listed[CODER] - listed[CHATTY] == {"suffix"}
        assert listed[CHATTY] - listed[CODER] == ONLY_CHAT | {"continue_last"}
        openai = (await client.get(f"/v1/models/{CODER}")).json()
        assert set(openai["capabilities"]) == listed[CODER]
        ollama = [
            (await client.post("/api/show", json={"model": model})).json()["capabilities"]
            for model in (CODER, CHATTY)
        ]
        assert ollama == [["completion", "insert"], ["completion", "tools", "thinking"]]

    served(models, scenario)


def test_a_template_that_is_set_makes_a_model_chat(models: Path) -> None:
    async def scenario(client: httpx.AsyncClient) -> None:
        asked = {"model": CODER, "messages": [{"role": "user", "content": "a"}], "stream": False}
        response = await client.post("/infer", json=asked)
        assert response.json()["content"] == "b"

    served(models, scenario, **{CODER: {"chat_template": TEMPLATE, "threads": 1}})


def test_ollama_is_told_how_long_a_request_waited_for_its_load(models: Path) -> None:
    asked = {"model": CODER, "prompt": "x", "suffix": "y", "stream": False}

    async def scenario(client: httpx.AsyncClient) -> None:
        first = (await client.post("/api/generate", json=asked)).json()
        parts = ("load_duration", "prompt_eval_duration", "eval_duration")
        assert first["load_duration"] > 0
        assert abs(sum(first[part] for part in parts) - first["total_duration"]) <= 2
        second = (await client.post("/api/generate", json=asked)).json()
        assert second["load_duration"] == 0

    served(models, scenario)
