# SPDX-License-Identifier: GPL-3.0-only
"""What clients see where an ingress is lost, around what stands for Ray's proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from modeld_ray.proxy import MOST_KEPT_BYTES, IngressLoss, middlewares
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import Receive, Scope, Send

Ingress = Callable[[bytes, Scope, Receive, Send], Awaitable[None]]


class Proxy:
    """Hands each request to the next ingress, as Ray's proxy does: once."""

    def __init__(self, *ingresses: Ingress) -> None:
        self.ingresses = list(ingresses)
        self.bodies: list[bytes] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.bodies.append(body)
        await self.ingresses.pop(0)(body, scope, receive, send)


async def lost(_body: bytes, _scope: Scope, _receive: Receive, _send: Send) -> None:
    """Ray's proxy says nothing at all, and uvicorn makes a 500 of it."""


async def cut(_body: bytes, _scope: Scope, _receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"one", "more_body": True})


async def serves(body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"X-Content-Type-Options": "nosniff"}
    await JSONResponse({"said": body.decode()}, headers=headers)(scope, receive, send)


async def nobody(_body: bytes, scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse("Deployment is unavailable.", status_code=503)(scope, receive, send)


def ask(proxy: Proxy, *parts: bytes, path: str = "/infer", leaves: bool = False) -> list[Any]:
    last = len(parts) - 1
    waiting: list[Any] = [
        {"type": "http.request", "body": part, "more_body": number < last}
        for number, part in enumerate(parts)
    ]
    if leaves:
        waiting = [{"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(IngressLoss(proxy)({"type": "http", "path": path}, receive, send))
    return sent


def status_and_body(sent: list[Any]) -> tuple[int, bytes]:
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


def test_a_request_whose_ingress_is_lost_goes_to_another_one_whole():
    proxy = Proxy(lost, serves)
    assert status_and_body(ask(proxy, b"hel", b"lo")) == (200, b'{"said":"hello"}')
    assert proxy.bodies == [b"hello", b"hello"]


def test_a_second_ingress_that_is_lost_is_the_last():
    proxy = Proxy(lost, lost, serves)
    sent = ask(proxy, b"x")
    status, body = status_and_body(sent)
    assert status == 502
    assert b'"reason": "host_lost"' in body
    assert dict(sent[0]["headers"])[b"retry-after"] == b"2"
    assert len(proxy.bodies) == 2


def test_a_stream_that_is_cut_stays_cut():
    proxy = Proxy(cut, serves)
    sent = ask(proxy, b"x")
    assert sent[-1]["more_body"]
    assert len(proxy.bodies) == 1


def test_a_body_that_is_too_long_to_be_kept_is_not_sent_twice():
    proxy = Proxy(lost, serves)
    status, _ = status_and_body(ask(proxy, b"x" * MOST_KEPT_BYTES, b"y"))
    assert status == 502
    assert len(proxy.bodies) == 1


def test_who_has_left_is_sent_nothing():
    assert ask(Proxy(lost), leaves=True) == []


def test_rays_own_refusal_can_be_read_by_clients():
    status, body = status_and_body(ask(Proxy(nobody), b"x"))
    assert status == 503
    assert b'"reason": "no_host"' in body


@pytest.mark.parametrize("path", ["/-/healthz", "/-/routes"])
def test_what_ray_says_of_itself_is_as_it_was(path):
    assert status_and_body(ask(Proxy(nobody), b"", path=path)) == (
        503,
        b"Deployment is unavailable.",
    )


def test_ray_is_given_one_middleware():
    (found,) = middlewares()
    assert found.cls is IngressLoss
