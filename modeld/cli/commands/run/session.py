# SPDX-License-Identifier: GPL-3.0-only
"""A model service for code that is not asynchronous: it runs on a thread of its own."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future
from types import TracebackType
from typing import Self

from modeld.interfaces import ModelService
from modeld.lifetime import Lifetime
from modeld.pythonapi.loop_thread import LoopThread
from modeld.requests import GenerateRequest
from modeld.responses import Chunk


class Session:
    """Starts a service on entering and ends it on leaving, by its lifetime where it has one.

    The main thread stays free to wait for a person, and that is where Ctrl-C arrives; the service
    goes on meanwhile.
    """

    def __init__(self, service: ModelService, lifetime: Lifetime | None = None) -> None:
        self._service = service
        self._start = service.start if lifetime is None else lifetime.start
        self._loop = LoopThread(service.aclose if lifetime is None else lifetime.aclose)

    def __enter__(self) -> Self:
        try:
            self._loop.call(self._start())
        except Exception:
            self._loop.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.close()

    def load(self, model: str) -> Future[None]:
        """Begin to bring a model into memory."""
        return self._loop.submit(self._service.load(model))

    def generate(self, request: GenerateRequest) -> Generator[Chunk, None, None]:
        """Yield the generation's chunks; closing it early stops the work and waits until it has.

        Raises:
            ModeldError: what the service raised.
        """
        return self._loop.iterate(self._service.generate(request))
