# SPDX-License-Identifier: GPL-3.0-only
"""Metrics of many processes as one document, each sample with where it is from."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH: Final = "/metrics"

OF_INGRESS: Final = ("modeld_http_", "modeld_connection", "modeld_event_loop_", "modeld_ray_")
"""The beginnings of the names of what an ingress measures itself; hosts measure the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """The metrics of one process as Prometheus' text, and the labels that say whose they are."""

    text: str
    labels: Mapping[str, str]
    only: tuple[str, ...] = ()


async def exposition_of(app: ASGIApp) -> str:
    """Return what ``GET /metrics`` of an application says; nothing if it has no such route."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"accept", b"text/plain"), (b"host", b"localhost")]
    await app(_scope(headers), receive, send)
    if not sent or sent[0].get("status") != 200:
        return ""
    return b"".join(each.get("body", b"") for each in sent[1:]).decode()


def _scope(headers: list[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 0),
        "server": ("localhost", 80),
        "extensions": {},
    }


class Merged(Collector):
    """The samples of several processes by family, each with the labels of its process."""

    def __init__(self, exposed: Iterable[Exposed]) -> None:
        self._exposed = tuple(exposed)

    def collect(self) -> Iterator[Metric]:
        """Yield each family once."""
        families: dict[str, Metric] = {}
        for each in self._exposed:
            for found in text_string_to_metric_families(each.text):
                if each.only and not found.name.startswith(each.only):
                    continue
                family = families.setdefault(
                    found.name, Metric(found.name, found.documentation, found.type)
                )
                for sample in found.samples:
                    family.samples.append(sample._replace(labels={**sample.labels, **each.labels}))
        yield from families.values()


Gather = Callable[[str], Awaitable[Iterable[Exposed]]]
"""Returns the metrics of all processes; it is given those of this one."""


class ClusterMetrics:
    """A middleware that puts the metrics of the whole cluster in the place of the ingress's own.

    The route behind it has asked for the key before, so who may not see one process's metrics sees
    none.
    """

    def __init__(self, app: ASGIApp, gather: Gather) -> None:
        self._app = app
        self._gather = gather

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but a good response to ``GET /metrics``."""
        is_metrics = scope["type"] == "http" and scope["method"] == "GET"
        if not is_metrics or scope["path"].removeprefix(scope.get("root_path", "")) != PATH:
            await self._app(scope, receive, send)
            return
        accept = next((value for name, value in scope["headers"] if name == b"accept"), b"")
        plain = [(name, value) for name, value in scope["headers"] if name != b"accept"]
        own: list[Message] = []

        async def keep(message: Message) -> None:
            own.append(message)

        await self._app({**scope, "headers": [*plain, (b"accept", b"text/plain")]}, receive, keep)
        if own and own[0].get("status") == 200:
            own = await self._merged(own, accept.decode("latin-1"))
        for message in own:
            await send(message)

    async def _merged(self, own: list[Message], accept: str) -> list[Message]:
        text = b"".join(each.get("body", b"") for each in own[1:]).decode()
        encode, media_type = choose_encoder(accept)
        exposed = await self._gather(text)
        content: bytes = await asyncio.to_thread(lambda: encode(Merged(exposed)))
        named = (b"content-type", b"content-length")
        headers = [pair for pair in own[0]["headers"] if pair[0].lower() not in named]
        headers += [
            (b"content-type", media_type.encode()),
            (b"content-length", str(len(content)).encode()),
        ]
        return [
            {**own[0], "headers": headers},
            {"type": "http.response.body", "body": content, "more_body": False},
        ]
