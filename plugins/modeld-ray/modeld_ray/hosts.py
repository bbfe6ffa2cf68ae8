# SPDX-License-Identifier: GPL-3.0-only
"""Calls to hosts through a handle of Ray Serve, with its errors as modeld's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from typing import Any, Final

from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import (
    BackPressureError,
    DeploymentUnavailableError,
    RayServeException,
    RequestCancelledError,
)
from ray.serve.handle import DeploymentHandle

from modeld import ModeldError
from modeld.errors import DrainingError, InternalError, QueueFullError
from modeld.requests import GenerateRequest
from modeld_ray.crossing import Crossed, Cursor, HostReport, Message, Outcome, read
from modeld_ray.errors import RETRY_S, HostLostError, NoHostError
from modeld_ray.routing.placement import Wish

_REPLACED_S: Final = 40.0
"""A host that says nothing for so long has been replaced by Ray: see its deployment's health."""


class Hosts:
    """All hosts, behind one handle."""

    def __init__(
        self, handle: DeploymentHandle, *, silence_timeout_s: float, report_timeout_s: float
    ) -> None:
        self._handle = handle
        self._silence_timeout_s = silence_timeout_s
        self._report_timeout_s = report_timeout_s
        self._running: set[Any] = set()
        self._heard: dict[str, float] = {}
        self._one_hangs = False
        self._is_closed = False

    async def generate(
        self, request: GenerateRequest, wish: Wish
    ) -> AsyncGenerator[list[Message], None]:
        """Yield what a host sends of one generation, first who it is.

        Raises:
            HostLostError: it is gone, or silent.
            ModeldError: what the host has refused or failed with.
        """
        responses = self._options(wish, "generate", stream=True).remote(request, wish=wish)
        async with _Call(self._running, responses):
            while True:
                try:
                    async with asyncio.timeout(self._silence_timeout_s):
                        payload = await anext(responses)
                except StopAsyncIteration:
                    return
                except Exception as exc:
                    raise self._translated(exc) from exc
                messages = read(payload)
                last = messages[-1] if messages else None
                if isinstance(last, Crossed):
                    raise last.error()
                if messages:
                    yield messages

    async def ask(self, verb: str, *args: Any, wish: Wish, **kwargs: Any) -> Outcome:
        """Return what one host says to a verb of its service.

        Raises:
            HostLostError: it is gone, or silent.
            ModeldError: the call could not be made.
        """
        responses = self._options(wish, "ask", stream=True).remote(verb, *args, wish=wish, **kwargs)
        outcome: Outcome | None = None
        async with _Call(self._running, responses):
            try:
                while True:
                    async with asyncio.timeout(self._silence_timeout_s):
                        outcome = await anext(responses) or outcome
            except StopAsyncIteration:
                pass
            except Exception as exc:
                raise self._translated(exc) from exc
        if outcome is None:
            raise HostLostError("the host has said nothing", retry_after_s=RETRY_S)
        return outcome

    async def ask_all(self, verb: str, *args: Any, **kwargs: Any) -> Sequence[Outcome]:
        """Return what all hosts say to a verb that may take its time; none where all are gone.

        One that hangs is waited for until it goes on or Ray has replaced it.
        """
        return await self._all("ask_at_once", None, verb, *args, **kwargs)

    async def ready(self, model: str | None) -> Sequence[Outcome]:
        """Return whether the hosts are ready, of those that say so in time."""
        return await self._all("ask_at_once", self._report_timeout_s, "ready", model)

    async def reports(self, cursors: Mapping[str, Cursor]) -> Sequence[HostReport]:
        """Return how the hosts are, of those that say so in time."""
        return await self._all("report", self._report_timeout_s, dict(cursors))

    async def metrics(self) -> Sequence[tuple[str, str, str]]:
        """Return the metrics of the hosts that say them in time, with their names and nodes."""
        return await self._all("metrics", self._report_timeout_s)

    async def plugins(self) -> Sequence[Outcome]:
        """Return the plugins of the hosts that say them in time."""
        return await self._all("plugins", self._report_timeout_s)

    def close(self) -> None:
        """Give up all calls that run."""
        self._is_closed = True
        for call in tuple(self._running):
            call.cancel()

    def _options(self, wish: Wish, method: str, *, stream: bool = False) -> Any:
        # Ray hands a host that was chosen for one request to another of the same name.
        content = repr((wish.key, wish.prefers, sorted(wish.exclude), wish.only)).encode()
        name = f"{wish.model}#{blake2b(content, digest_size=6).hexdigest()}"
        return self._handle.options(method_name=method, multiplexed_model_id=name, stream=stream)

    async def _all(
        self, method: str, limit_s: float | None, *args: Any, **kwargs: Any
    ) -> list[Any]:
        """Return the results of all hosts that have one; who fails or is late is left out."""
        if limit_s is not None and self._one_hangs:
            return await self._one_by_one(method, limit_s, *args, **kwargs)
        try:
            response = self._handle.broadcast(method, *args, **kwargs)
            found = await response.results_async(timeout_s=limit_s, return_exceptions=True)
        except TimeoutError:
            # What the others have said by then is lost with it.
            return await self._one_by_one(method, limit_s or 0.0, *args, **kwargs)
        except (DeploymentUnavailableError, RayError):
            return []
        values = [each for each in found if not isinstance(each, BaseException)]
        self._heard = dict.fromkeys(map(_host_of, values), time.monotonic())
        return values

    async def _one_by_one(
        self, method: str, limit_s: float, *args: Any, **kwargs: Any
    ) -> list[Any]:
        """Return the results of the hosts that were heard of lately, and of one that was not."""
        wishes = [Wish(model="", only=host) for host in self._heard]
        wishes.append(Wish(model="", exclude=tuple(self._heard)))
        calls = (self._one(wish, method, limit_s, *args, **kwargs) for wish in wishes)
        found = {_host_of(each): each for each in await asyncio.gather(*calls) if each is not None}
        now_s = time.monotonic()
        self._heard |= dict.fromkeys(found, now_s)
        for host, said_s in list(self._heard.items()):
            if now_s - said_s > _REPLACED_S:
                del self._heard[host]
        self._one_hangs = not self._heard.keys() <= found.keys()
        return list(found.values())

    async def _one(
        self, wish: Wish, method: str, limit_s: float, *args: Any, **kwargs: Any
    ) -> Any | None:
        response = self._options(wish, method).remote(*args, wish=wish, **kwargs)
        async with _Call(self._running, response):
            try:
                async with asyncio.timeout(limit_s):
                    return await response
            except (TimeoutError, RayError, RayServeException):
                response.cancel()
                return None

    def _translated(self, exc: Exception) -> ModeldError:
        if self._is_closed:
            return DrainingError("the server is shutting down", retry_after_s=1)
        return translated(exc)


def _host_of(said: HostReport | Outcome | tuple[str, str, str]) -> str:
    """Return who has said it; of metrics the name comes first."""
    return said[0] if isinstance(said, tuple) else said.host


def translated(exc: Exception) -> ModeldError:
    """Return what an exception of Ray's means to a client."""
    if isinstance(exc, ModeldError):
        return exc
    kind = type(exc)
    for known, (error, message) in _MEANINGS.items():
        if isinstance(exc, known):
            return error(message.format(kind=kind.__name__), retry_after_s=RETRY_S)
    if kind.__module__.startswith("grpc"):
        return HostLostError(f"the host is out of reach ({kind.__name__})", retry_after_s=RETRY_S)
    return InternalError(f"a call to a host failed ({kind.__name__})")


_MEANINGS: Final[Mapping[type[Exception], tuple[type[ModeldError], str]]] = {
    BackPressureError: (QueueFullError, "the cluster's queue is full"),
    DeploymentUnavailableError: (NoHostError, "no host is up"),
    TimeoutError: (HostLostError, "the host was silent for too long"),
    RequestCancelledError: (HostLostError, "the host has given up the request"),
    RayTaskError: (InternalError, "a host has failed ({kind})"),
    RayError: (HostLostError, "the host is gone ({kind})"),
    RayServeException: (HostLostError, "the host is gone ({kind})"),
    OSError: (HostLostError, "the host is gone ({kind})"),
}
"""What Ray's exceptions mean; the first that fits counts."""


class _Call:
    """One call that runs; it is cancelled where its caller leaves before its end."""

    def __init__(self, running: set[Any], response: Any) -> None:
        self._running = running
        self._response = response

    async def __aenter__(self) -> None:
        self._running.add(self._response)

    async def __aexit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        self._running.discard(self._response)
        if kind is not None:
            with suppress(RayError, RayServeException):
                self._response.cancel()
