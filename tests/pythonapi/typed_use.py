# SPDX-License-Identifier: GPL-3.0-only
"""How programs use the Python API, for the type checker: `make types` checks it, nothing runs it.

What is wrong here is marked, and a mark that marks nothing is an error too.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import assert_type

import modeld
from modeld import BlockingModels, Chunk, Generation, Message, Models, ModelSpec, Settings
from modeld.responses import EmbedResponse, RerankResponse, TokenizeResponse
from modeld.status import ServiceStatus


async def asynchronous() -> None:
    assert_type(modeld.open(), Models)
    assert_type(modeld.open(Path("modeld.yaml"), memory_budget_mb="8GiB"), Models)
    assert_type(modeld.open(Settings(models_dir="models")), Models)
    assert_type(modeld.create_app().models, Models)
    modeld.open(Settings(), models_dir="models")  # type: ignore[call-overload]
    modeld.open(5)  # type: ignore[call-overload]
    async with modeld.open(models_dir="models") as models:
        assert_type(models, Models)
        messages = [{"role": "user", "content": "hi"}]
        said = await models.chat("m", messages, max_tokens=3, temperature=0, stop="x")
        assert_type(said, Generation)
        assert_type(said.content, str)
        await models.chat("m", [*messages, said.message], tool_choice="none", reasoning=False)
        await models.chat("m", [Message(role="user", content="hi")], sampling=modeld.Sampling())
        assert_type(models.stream_chat("m", messages), AsyncGenerator[Chunk, None])
        assert_type(models.stream_generate("m", [1, 2]), AsyncGenerator[Chunk, None])
        async for chunk in models.stream_generate("m", "once"):
            assert_type(chunk, Chunk)
        assert_type(await models.embed("m", ["x"], normalize=False), EmbedResponse)
        assert_type(await models.rerank("m", "q", ["d"]), RerankResponse)
        assert_type(await models.tokenize("m", "x", with_pieces=True), TokenizeResponse)
        assert_type(await models.detokenize("m", [1]), str)
        assert_type(await models.apply_template("m", messages), str)
        assert_type(await models.list(), tuple[ModelSpec, ...])
        assert_type(await models.status(), ServiceStatus)
        await models.load("m", keep_alive_s="forever")
        await models.load("m", keep_alive_s="always")  # type: ignore[arg-type]
        await models.chat("m", messages, max_token=3)  # type: ignore[call-arg]
        await models.chat("m", messages, max_tokens="3")  # type: ignore[arg-type]
        await models.chat("m", messages, tool_choice="often")  # type: ignore[arg-type]
        await models.generate("m", "x", tools=[])  # type: ignore[call-arg]
        await models.embed("m", "x", temperature=0)  # type: ignore[call-arg]


def blocking() -> None:
    with modeld.open_blocking(models_dir="models") as models:
        assert_type(models, BlockingModels)
        assert_type(models.generate("m", "x", max_tokens=3), Generation)
        stream = models.stream_chat("m", [{"role": "user", "content": "hi"}])
        assert_type(stream, Generator[Chunk, None, None])
        models.generate("m", "x", max_token=3)  # type: ignore[call-arg]
