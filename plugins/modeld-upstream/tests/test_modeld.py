# SPDX-License-Identifier: GPL-3.0-only
"""Another modeld as the server: what it serves in OpenAI's form comes back as it was."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attached import attached, end_of, generated, text_of
from modeld_upstream.backend import backends_of
from modeld_upstream.connection.errors import UpstreamError
from modeld_upstream.kinds import ANY, MODELD
from modeld_upstream.options import UpstreamOptions
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.source import UpstreamModels

from modeld import Capability, Engine, FinishReason, GenerateRequest, Message, Settings, Usage
from modeld.errors import InvalidRequestError, ModelNotFoundError, NotSupportedError
from modeld.messages import Tool, ToolChoice
from modeld.requests import DetokenizeRequest, EmbedRequest, RerankRequest, TokenizeRequest
from modeld.responses import (
    EmbedResponse,
    ReasoningToken,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
    ToolCallDelta,
)
from tests.support.gguf.real_models import SMOLLM2, models_folder
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served, serving


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield a server whose model does what its prompts say."""
    folder: Path = tmp_path_factory.mktemp("models")
    write_gguf(folder / "a.gguf", "rig")
    with serving(folder, "--warm-workers", "0") as served:
        yield served


def script(**plan: Any) -> GenerateRequest:
    return GenerateRequest(prompt=json.dumps(plan), max_tokens=100)


def on(other: Served, work: Callable[[Engine], Awaitable[None]], model: str = "a.gguf") -> None:
    async def main() -> None:
        async with attached(f"{other.url}/v1", model, kind="modeld", retry_for_s=0) as engine:
            await work(engine)

    asyncio.run(main())


def test_text_and_usage_come_back(other: Served) -> None:
    async def work(engine: Engine) -> None:
        chunks = await generated(engine, script(tokens=5))
        assert text_of(chunks) == "t0 t1 t2 t3 t4 "
        assert end_of(chunks).usage == Usage(
            prompt_tokens=end_of(chunks).usage.prompt_tokens, completion_tokens=5
        )

    on(other, work)


def test_reasoning_and_probabilities_come_back(other: Served) -> None:
    plan = Message(role="user", content=json.dumps({"tokens": 4, "thinks": 2}))

    async def work(engine: Engine) -> None:
        request = GenerateRequest(messages=(plan,), logprobs=2, max_tokens=9)
        *pieces, _ = await generated(engine, request)
        assert [type(piece).__name__ for piece in pieces] == ["ReasoningToken"] * 2 + ["Token"] * 2
        assert isinstance(pieces[0], ReasoningToken)
        assert len(pieces[-1].logprobs[0].top) == 2

    on(other, work)


def test_a_worker_that_dies_there_ends_the_generation_with_an_error(other: Served) -> None:
    async def work(engine: Engine) -> None:
        with pytest.raises(UpstreamError, match="SIGKILL"):
            await generated(engine, script(tokens=9, fault="SIGKILL", at=3))

    on(other, work)


def test_its_refusals_are_ours(other: Served) -> None:
    async def work(engine: Engine) -> None:
        with pytest.raises(InvalidRequestError, match="not today") as caught:
            await generated(engine, script(refuse="not today"))
        assert caught.value.field == "prompt"

    async def to_nobody(engine: Engine) -> None:
        with pytest.raises(ModelNotFoundError, match=r"nobody\.gguf"):
            await generated(engine, script(tokens=1))

    on(other, work)
    on(other, to_nobody, "nobody.gguf")


def test_unary_requests_come_back(other: Served) -> None:
    async def work(engine: Engine) -> None:
        vectors = await engine.submit(EmbedRequest(inputs=("a cat", "a dog"), normalize=False))
        assert isinstance(vectors, EmbedResponse)
        assert vectors.vectors == ((5.0, 2.0, 2.0, 1.0), (5.0, 2.0, 2.0, 1.0))
        scaled = await engine.submit(EmbedRequest(inputs=("a cat",)))
        assert isinstance(scaled, EmbedResponse)
        assert sum(number**2 for number in scaled.vectors[0]) == pytest.approx(1.0)
        ranks = await engine.submit(RerankRequest(query="cat", documents=("a", "cat", "b")))
        assert isinstance(ranks, RerankResponse)
        assert len(ranks.scores) == 3
        tokens = await engine.submit(TokenizeRequest(text="abc", add_special=False))
        assert tokens == TokenizeResponse(ids=(97, 98, 99))
        text = await engine.submit(DetokenizeRequest(tokens=(97, 98)))
        assert text == TextResponse(text="ab")
        with pytest.raises(NotSupportedError) as caught:
            await engine.submit(TokenizeRequest(text="abc", with_pieces=True))
        assert caught.value.field == "with_pieces"

    on(other, work)


def test_its_models_are_listed_with_what_they_serve_there(other: Served) -> None:
    server = UpstreamServer(name="other", url=f"{other.url}/v1", kind="modeld")
    (spec,) = asyncio.run(UpstreamModels([server]).list_models())
    (backend,) = backends_of([server], Settings())
    there = set(other.get("/v1/models").json()["data"][0]["capabilities"])
    known = {each.value for each in MODELD.capabilities | ANY}
    assert set(spec.offers or ()) == there & known
    assert "embed" in there & known
    assert backend.capabilities(spec, UpstreamOptions()) >= {Capability.EMBED, Capability.TEXT}


@pytest.mark.model
def test_calls_of_tools_come_back() -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris"]}},
        "required": ["city"],
        "additionalProperties": False,
    }
    request = GenerateRequest(
        messages=(Message(role="user", content="What is the weather in Paris?"),),
        tools=(Tool(name="weather", description="tells the weather", parameters=parameters),),
        tool_choice=ToolChoice(mode="required", names=("weather",)),
        parallel_tool_calls=False,
        max_tokens=64,
    )

    async def work(engine: Engine) -> None:
        *pieces, end = await generated(engine, request)
        calls = [piece for piece in pieces if isinstance(piece, ToolCallDelta)]
        assert (calls[0].name, bool(calls[0].id)) == ("weather", True)
        assert not any(call.name for call in calls[1:])
        assert json.loads("".join(call.arguments for call in calls)) == {"city": "Paris"}
        assert end_of([end]).finish_reason is FinishReason.TOOL_CALLS

    options = json.dumps({"*": {"context": 1024, "threads": 1}})
    arguments = ("--warm-workers", "0", "--models", options)
    with serving(models_folder(), *arguments) as served:
        on(served, work, SMOLLM2)
