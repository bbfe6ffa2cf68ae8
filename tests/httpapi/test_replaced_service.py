# SPDX-License-Identifier: GPL-3.0-only
"""A service that a plugin puts in place of the local one tells observers what it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from modeld import Chunk, GenerateRequest, ModelService, Settings, create_app, hookimpl
from modeld.events import Event, RequestFinished, RequestStarted
from modeld.interfaces import Observer
from modeld.plugins.host import PluginHost
from tests.support.http.fake_service import FakeService, client_of
from tests.support.serving.counter import Notebook


class TellingService(FakeService):
    """Tells of each generation as the local service does."""

    def __init__(self, notify: Callable[[Event], None]) -> None:
        super().__init__()
        self._notify = notify

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        told = {"request_id": request.request_id, "model": "far"}
        self._notify(RequestStarted(**told, queue_wait_s=0.0))
        async with aclosing(super().generate(request)) as chunks:
            async for chunk in chunks:
                yield chunk
        self._notify(
            RequestFinished(
                **told,
                outcome="stop",
                seconds=1.0,
                first_token_s=0.5,
                prompt_tokens=3,
                completion_tokens=2,
            )
        )


class Far:
    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    @hookimpl
    def modeld_build_service(self, notify: Callable[[Event], None]) -> ModelService:
        return TellingService(notify)

    @hookimpl
    def modeld_register_observers(self) -> list[Observer]:
        return [self._observer]


async def served() -> tuple[list[Event], str]:
    """Return the events of one generation, and the metrics after it."""
    notebook = Notebook()
    settings = Settings(warm_workers=0)
    app = create_app(settings, PluginHost.discover(settings, {"far": Far(notebook)}))
    async with client_of(app) as client:
        await client.post("/infer", json={"prompt": "hi"}, headers={"X-Request-ID": "mine"})
        metrics = await client.get("/metrics")
    return notebook.events, metrics.text


def test_observers_and_metrics_have_its_events() -> None:
    events, metrics = asyncio.run(served())
    requests = [each for each in events if isinstance(each, RequestStarted | RequestFinished)]
    assert [(type(each).__name__, each.request_id) for each in requests] == [
        ("RequestStarted", "mine"),
        ("RequestFinished", "mine"),
    ]
    assert 'modeld_requests_total{model="far",outcome="stop"} 1.0' in metrics
