# SPDX-License-Identifier: GPL-3.0-only
"""llama.cpp's own server with a real model: attached, and started when it is needed."""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from attached import attached, end_of, generated, text_of
from launching import is_there, until_gone
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.spawning.ports import Ports
from msgspec.structs import replace
from serving import asked, service

from modeld import Engine, FinishReason, GenerateRequest, Message, Sampling
from modeld.errors import LoadFailedError, PromptTooLongError
from modeld.requests import ApplyTemplateRequest, DetokenizeRequest, TokenizeRequest
from modeld.responses import TextResponse, TokenizeResponse
from tests.support.gguf.real_models import SMOLLM2, models_folder

pytestmark = pytest.mark.model

SERVER = Path(__file__).parent / "support" / "llama_server.py"
COMMAND = shlex.join([sys.executable, str(SERVER)]) + " {model} {port} {ctx_total} {slots}"
PROMPT = GenerateRequest(
    prompt="The capital of France is", max_tokens=8, sampling=Sampling(temperature=0)
)
CHAT = GenerateRequest(
    messages=(Message(role="user", content="What is the capital of France?"),),
    max_tokens=24,
    sampling=Sampling(temperature=0),
)


def here(**members: Any) -> UpstreamServer:
    """Return the server that is started for a model file."""
    files = (str(models_folder() / SMOLLM2),)
    return UpstreamServer(name="here", kind="llama-server", command=COMMAND, files=files, **members)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Yield the address of a server that runs by itself."""
    port = Ports().claim(21_000, 21_999)
    command = [sys.executable, str(SERVER), str(models_folder() / SMOLLM2), str(port), "1024", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "ready" not in (line := process.stderr.readline()):
            assert line, "the server did not start"
        yield f"http://127.0.0.1:{port}/v1"
        process.terminate()


def on(url: str, work: Any) -> Any:
    """Return what a coroutine returns that gets the engine on the server."""

    async def main() -> Any:
        async with attached(url, SMOLLM2, kind="llama-server") as engine:
            return await work(engine)

    return asyncio.run(main())


def test_prompts_and_chats_are_gone_on_with(url: str) -> None:
    async def work(engine: Engine) -> None:
        chunks = await generated(engine, PROMPT)
        assert "Paris" in text_of(chunks)
        assert end_of(chunks).finish_reason is FinishReason.LENGTH
        assert end_of(chunks).usage.completion_tokens == 8
        chunks = await generated(engine, CHAT)
        assert len(text_of(chunks)) > 10
        assert end_of(chunks).usage.prompt_tokens > 20

    on(url, work)


def test_probabilities_are_those_of_the_text(url: str) -> None:
    async def work(engine: Engine) -> None:
        for request in (PROMPT, CHAT):
            chunks = await generated(engine, replace(request, logprobs=2))
            logprobs = [each for chunk in chunks for each in chunk.logprobs]
            text = b"".join(each.chosen.piece for each in logprobs).decode()
            assert text.startswith(text_of(chunks))
            assert all(len(each.top) == 2 and each.chosen.id >= 0 for each in logprobs)
            assert all(each.chosen.logprob <= 0 for each in logprobs)

    on(url, work)


def test_forms_are_kept_to(url: str) -> None:
    schema = {
        "type": "object",
        "properties": {"n": {"enum": [7]}},
        "required": ["n"],
        "additionalProperties": False,
    }

    async def work(engine: Engine) -> None:
        for request in (
            replace(CHAT, json_schema=schema),
            replace(PROMPT, json_schema=schema, max_tokens=24),
        ):
            text = text_of(await generated(engine, request)).replace(" ", "").replace("\n", "")
            assert text == '{"n":7}'
        grammar = replace(CHAT, grammar='root ::= "yes" | "no"')
        assert text_of(await generated(engine, grammar)) in {"yes", "no"}
        stopped = await generated(engine, replace(PROMPT, stop=("Paris",)))
        assert "Paris" not in text_of(stopped)
        assert end_of(stopped).finish_reason is FinishReason.STOP

    on(url, work)


def test_a_last_message_is_gone_on_with(url: str) -> None:
    begun = Message(role="assistant", content="The capital of France is the city of Par")
    request = replace(CHAT, messages=(*(CHAT.messages or ()), begun), continue_last=True)

    async def work(engine: Engine) -> None:
        assert text_of(await generated(engine, request)).startswith(("is", "ís"))

    on(url, work)


def test_tokens_and_templates_are_the_servers(url: str) -> None:
    async def work(engine: Engine) -> None:
        tokens = await engine.submit(TokenizeRequest(text="Hello there", with_pieces=True))
        assert isinstance(tokens, TokenizeResponse)
        assert b"".join(tokens.pieces) == b"Hello there"
        back = await engine.submit(DetokenizeRequest(tokens=tokens.ids))
        assert back == TextResponse(text="Hello there")
        chat = await engine.submit(ApplyTemplateRequest(messages=CHAT.messages or ()))
        assert isinstance(chat, TextResponse)
        assert "<|im_start|>user" in chat.text
        as_ids = replace(PROMPT, prompt=None, prompt_tokens=tokens.ids)
        assert end_of(await generated(engine, as_ids)).usage.prompt_tokens == len(tokens.ids)

    on(url, work)


def test_a_prompt_that_is_too_long_is_told_as_such(url: str) -> None:
    async def work(engine: Engine) -> None:
        with pytest.raises(PromptTooLongError):
            await generated(engine, replace(PROMPT, prompt="word " * 3000))

    on(url, work)


def test_who_leaves_frees_the_servers_slot(url: str) -> None:
    async def work(engine: Engine) -> None:
        chunks = engine.generate(
            replace(PROMPT, max_tokens=500, sampling=Sampling(ignore_eos=True))
        )
        await anext(chunks)
        async with httpx.AsyncClient(base_url=url.removesuffix("/v1")) as client:
            assert any(each["is_processing"] for each in (await client.get("/slots")).json())
            await chunks.aclose()
            while any(  # noqa: ASYNC110  (the server has no event for it)
                each["is_processing"] for each in (await client.get("/slots")).json()
            ):
                await asyncio.sleep(0.02)

    on(url, work)


def test_a_server_is_started_for_its_model_and_ends_with_it() -> None:
    async def main() -> None:
        async with service(here(), models={"*": {"context": 512, "slots": 2}}) as all_:
            (spec,) = await all_.models()
            assert (spec.id, spec.context) == (SMOLLM2, 512)
            both = await asyncio.gather(
                *(asked(all_, SMOLLM2, max_tokens=12, sampling=Sampling(seed=1)) for _ in range(2))
            )
            assert all(end_of(chunks).usage.completion_tokens == 12 for chunks in both)
            (instance,) = (await all_.status()).instances
            assert instance.held_bytes >= spec.size_bytes
            assert instance.pid is not None
            assert is_there(instance.pid)
            await all_.unload(SMOLLM2)
            await until_gone(instance.pid)

    asyncio.run(main())


def test_a_file_that_is_no_model_fails_and_the_servers_words_are_in_the_status(
    tmp_path: Path,
) -> None:
    (tmp_path / "no.gguf").write_bytes(b"no model")
    broken = replace(here(), files=(str(tmp_path / "no.gguf"),))

    async def main() -> None:
        async with service(broken, models={"*": {"context": 512}}) as all_:
            with pytest.raises(LoadFailedError, match=r"exit 1$"):
                await asked(all_, "no.gguf")
            (instance,) = (await all_.status()).instances
            assert "no.gguf" in " ".join(instance.log_tail)

    asyncio.run(main())
