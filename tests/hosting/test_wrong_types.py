# SPDX-License-Identifier: GPL-3.0-only
"""A wrong type from Python or from a plugin's route costs its own request and nobody else's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modeld import GenerateRequest, Message, Sampling, Settings, Token
from modeld.errors import InvalidRequestError
from modeld.hosting.channel.frames import Submit, command_reader, encode
from modeld.plugins.host import PluginHost
from modeld.requests import EmbedRequest, TokenizeRequest
from modeld.serving.service import LocalService
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.hosting.leaks import run
from tests.support.hosting.rigged import HOSTS, Stream, an_engine, plan, tokens
from tests.support.wrong_values import all_wrong

MODEL = "a.gguf"


@asynccontextmanager
async def a_service(folder: Path, kind: str) -> AsyncIterator[LocalService]:
    """Yield the whole service over the rig, with an engine of its own in a process or a thread."""
    write_gguf(folder / MODEL, "rig", name="A")
    settings = Settings(
        models_dir=str(folder), engine_host=kind, warm_workers=0, default_model=MODEL
    )
    service = LocalService(settings, PluginHost.discover(settings))
    await service.start()
    try:
        yield service
    finally:
        await service.aclose()


async def generated(service: LocalService, request: GenerateRequest) -> str:
    text = ""
    async with aclosing(service.generate(request)) as chunks:
        async for chunk in chunks:
            text += chunk.text if isinstance(chunk, Token) else ""
    return text


async def send(service: LocalService, value: Any) -> object:
    return await (generated if isinstance(value, GenerateRequest) else LocalService.submit)(
        service, value
    )


@pytest.mark.parametrize("kind", HOSTS)
def test_every_member_of_every_request_may_be_wrong_and_the_stream_beside_it_goes_on(
    kind: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    async def main() -> None:
        async with a_service(tmp_path, kind) as service:
            stream = asyncio.create_task(
                generated(service, plan(tokens=9, gate=str(gate), gate_at=2))
            )
            await service.load(MODEL)
            before = (await service.status()).instances[0]
            for value, field in all_wrong():
                with pytest.raises(InvalidRequestError) as caught:
                    await send(service, value)
                blamed = str(caught.value.field)  # or what is inside of it, or around it
                assert blamed in {field, field.split("[")[0]} or blamed.startswith(f"{field}[")
            assert not stream.done()
            assert await generated(service, plan(tokens=3)) == tokens(3)
            gate.touch()
            assert await stream == tokens(9)
            after = (await service.status()).instances[0]
            assert (after.pid, after.loads_total) == (before.pid, 1)

    asyncio.run(main())


PAST_THE_DOOR: list[tuple[GenerateRequest, str]] = [
    (GenerateRequest(prompt=5), "prompt"),  # type: ignore[arg-type]
    (GenerateRequest(prompt="a", sampling=Sampling(temperature="hot")), "temperature"),  # type: ignore[arg-type]
    (GenerateRequest(prompt="a", sampling=Sampling(temperature=9.0)), "temperature"),
    (GenerateRequest(prompt="a", stop="abc"), "stop"),  # type: ignore[arg-type]
    (GenerateRequest(prompt="a", stop=(1,)), "stop[0]"),  # type: ignore[arg-type]
    (GenerateRequest(prompt="a", max_tokens=1.5), "max_tokens"),  # type: ignore[arg-type]
    (
        GenerateRequest(messages=(Message(role="user", content=5),)),  # type: ignore[arg-type]
        "messages[0].content",
    ),
]


@pytest.mark.parametrize("kind", HOSTS)
def test_a_worker_refuses_what_it_cannot_decode_and_serves_the_others(
    kind: str, tmp_path: Path
) -> None:
    """What an engine is handed by another engine has not come through the service's door."""
    gate = tmp_path / "gate"

    async def main() -> None:
        async with an_engine(kind, slots=3) as engine:
            stream = Stream(engine, plan(tokens=9, gate=str(gate), gate_at=2))
            await stream.came.wait()
            for request, field in PAST_THE_DOOR:
                with pytest.raises(InvalidRequestError) as caught:
                    await Stream(engine, request).end()
                assert caught.value.field == field
                assert caught.value.message.startswith(f"{field}: ")
            for request in (EmbedRequest(inputs=(5,)), TokenizeRequest(text=None)):  # type: ignore[arg-type]
                with pytest.raises(InvalidRequestError):
                    await engine.submit(request)
            for request in (
                GenerateRequest(prompt=object()),  # type: ignore[arg-type]
                GenerateRequest(prompt="\ud800"),
                GenerateRequest(prompt="a", max_tokens=2**70),
            ):
                with pytest.raises(InvalidRequestError, match="cannot be handed to a worker"):
                    await Stream(engine, request).end()
            assert engine.failure() is None
            gate.touch()
            await stream.end()
            assert stream.text == tokens(9)

    run(main())


def frame(content: bytes) -> bytes:
    return len(content).to_bytes(4, "big") + content


def test_a_request_with_text_that_is_no_utf_8_has_an_id_all_the_same() -> None:
    broken = bytes(encode(Submit(id=7, request=GenerateRequest(prompt="abc")))[4:])
    (received,) = command_reader().feed(frame(broken.replace(b"abc", b"\xff\xfe\xfd")))
    assert type(received).__name__ == "Unreadable"
    assert received.id == 7  # type: ignore[union-attr]


def test_after_a_request_that_cannot_be_decoded_the_next_one_is_read() -> None:
    wrong: Any = Submit(id=7, request=GenerateRequest(prompt=5))  # type: ignore[arg-type]
    right = Submit(id=8, request=GenerateRequest(prompt="hi"))
    first, second = command_reader().feed(encode(wrong) + encode(right))
    assert first.id == 7  # type: ignore[union-attr]
    assert second == right
