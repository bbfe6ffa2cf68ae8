# SPDX-License-Identifier: GPL-3.0-only
"""Runs plugins' code so that whatever goes wrong is recorded as that plugin's fault."""

from __future__ import annotations

import asyncio
import logging
import operator
import queue
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Generic, SupportsIndex, TypeVar, cast

from modeld.errors import ModeldError
from modeld.plugins.guard_thread import idle_thread

GIVE_UP_S: Final = 1.0
"""How long a cancelled call may take to end before it is left behind."""

LARGEST: Final = 2**63 - 1
LONGEST_SHOWN: Final = 200

_GPU_NAME: Final = re.compile(r"gpu(0|[1-9][0-9]{0,3})", re.ASCII)

log = logging.getLogger("modeld.plugins")

T = TypeVar("T")


class PluginFault(Exception):  # noqa: N818  (a fault is what the listing calls it)
    """A plugin cannot be used; the text says why, for the listing."""


class HungFault(PluginFault):
    """A plugin's code has taken too long and was left behind."""


def guarded(what: str, function: Callable[[], T], limit_s: float) -> T:
    """Run ``function`` on a thread and wait ``limit_s``, so that a hang can be left behind.

    Raises:
        PluginFault: it raised (``SystemExit`` too); ``what`` names it.
        HungFault: it took too long.
    """
    thread = idle_thread()
    outcome = thread.begin(what, function)
    try:
        result, error = outcome.get(timeout=limit_s)
    except queue.Empty:
        thread.leave_behind()
        raise HungFault(f"{what} took longer than {limit_s:g} s") from None
    if isinstance(error, PluginFault):
        raise error
    if error is not None:
        raise PluginFault(f"{what} raised {described(error)}") from error
    return result  # type: ignore[return-value]  # without an error there is a result


def called(what: str, function: Callable[[], T]) -> T:
    """Run ``function`` here and now.

    Raises:
        ModeldError: as it raised it.
        PluginFault: it raised anything else (``SystemExit`` too); ``what`` names it.
    """
    try:
        return function()
    except (ModeldError, PluginFault):
        raise
    except BaseException as exc:
        raise PluginFault(f"{what} raised {described(exc)}") from exc


class PluginCall(Generic[T]):
    """A plugin's coroutine in a task of its own, so that it can be given up and left behind.

    Nothing that it raises ends the event loop or looks like a cancellation of ours.
    ``unwanted`` is called with what it returns if it is given up, before or after it has returned.
    """

    def __init__(
        self,
        what: str,
        function: Callable[[], Awaitable[T]],
        *,
        unwanted: Callable[[T], Awaitable[None]] | None = None,
    ) -> None:
        self._what = what
        self._function = function
        self._unwanted = unwanted
        self._given_up = False
        self._outcome: tuple[T, None] | tuple[None, BaseException] | None = None
        self._task = asyncio.create_task(self._run(), name=f"modeld-plugin-{what}")
        _running.add(self._task)
        self._task.add_done_callback(_running.discard)

    @property
    def is_over(self) -> bool:
        """Return whether it has ended, in whatever way."""
        return self._task.done()

    def when_over(self, tell: Callable[[], None]) -> None:
        """Call ``tell`` once it is over."""
        self._task.add_done_callback(lambda _task: tell())

    async def wait(self, timeout_s: float | None = None) -> bool:
        """Wait at most ``timeout_s``, and return whether it is over."""
        await asyncio.wait({self._task}, timeout=timeout_s)
        return self._task.done()

    async def wait_or(self, other: asyncio.Future[Any]) -> bool:
        """Wait until it or ``other`` is over, and return whether it is."""
        await asyncio.wait({self._task, other}, return_when=asyncio.FIRST_COMPLETED)
        return self._task.done()

    def cancel(self) -> None:
        """Cancel it and wait for nothing; what it returns all the same is unwanted."""
        self._given_up = True
        self._task.cancel()

    def result(self) -> T:
        """Return what the call has returned; it must be over.

        Raises:
            Exception: as it raised it.
            PluginFault: it raised what is no ``Exception``, or cancelled itself.
        """
        if self._outcome is None:
            raise PluginFault(f"{self._what} was cancelled before it began")
        result, error = self._outcome
        if isinstance(error, Exception):
            raise error
        if error is not None:
            raise PluginFault(f"{self._what} raised {described(error)}") from error
        return result  # type: ignore[return-value]  # without an error there is a result

    async def give_up(self) -> None:
        """Cancel it and wait until it has ended; one that does not end soon is left behind."""
        self._given_up = True
        if self._task.done():
            await self._refuse_result()
            return
        self.cancel()
        if not await self.wait(GIVE_UP_S):
            log.error("%s goes on although it was cancelled; it is left behind", self._what)

    async def _run(self) -> None:
        try:
            result = await self._function()
        except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault, not ours)
            self._outcome = None, exc
            return
        self._outcome = result, None
        if self._given_up:
            await self._refuse_result()

    async def _refuse_result(self) -> None:
        if self._unwanted is not None and self._outcome is not None and self._outcome[1] is None:
            await self._unwanted(self._outcome[0])


_running: Final[set[asyncio.Task[None]]] = set()
"""The loop itself holds tasks weakly; one that was left behind has nobody else to hold it."""


def whole(what: str, value: object, least: int) -> int:
    """Return ``value`` as the whole number that it is, of whatever class.

    Raises:
        PluginFault: it is none, or less than ``least``; ``what`` names it.
    """
    if isinstance(value, bool) or not hasattr(type(value), "__index__"):
        kind = type(value).__name__
        raise PluginFault(f"{what} is {shown(value)} ({kind}), which is not a whole number")
    number = called(what, lambda: operator.index(cast(SupportsIndex, value)))
    if not least <= number <= LARGEST:
        raise PluginFault(f"{what} is {shown(number)}; it must be from {least} to {LARGEST}")
    return int(number)


def on_gpus(what: str, value: object, most_bytes: int) -> dict[str, int]:
    """Return ``value`` as bytes by the names of GPUs, without those that have none.

    Raises:
        PluginFault: it is none, or they add up to more than ``most_bytes``; ``what`` names it.
    """
    if not isinstance(value, Mapping):
        raise PluginFault(f"{what} is {shown(value)}, which is not a table of bytes by GPU")
    found = {}
    for name, size in called(what, lambda: list(value.items())):
        if type(name) is not str or not _GPU_NAME.fullmatch(name):
            raise PluginFault(f"{what} names {shown(name)}; a GPU is gpu0, gpu1 and so on")
        found[name] = whole(f"{what}: {name}", size, 0)
    if sum(found.values()) > most_bytes:
        raise PluginFault(f"{what} is more than the {most_bytes} bytes of the whole")
    return {name: size for name, size in found.items() if size}


def is_ours(exc: BaseException) -> bool:
    """Return whether what came out of a plugin's coroutine is our own doing: its cancellation."""
    if isinstance(exc, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and task.cancelling() > 0
    return False


def described(error: BaseException) -> str:
    """Return an exception in a few words, whatever its class does."""
    return f"{type(error).__name__}: {_text(str, error)}"


def said(error: BaseException) -> str:
    """Return what an exception says, or else what it is, whatever its class does."""
    return _text(str, error) or type(error).__name__


def shown(value: object) -> str:
    """Return a value as code would write it, cut short, whatever its class does."""
    return _text(repr, value)


def expect(holds: bool, thing: object, wanted: str) -> None:  # noqa: FBT001  (reads as a sentence)
    """Refuse what a plugin has brought.

    Raises:
        PluginFault: ``holds`` is false; it says that ``thing`` is not ``wanted``.
    """
    if not holds:
        raise PluginFault(f"it brought {shown(thing)}, which is not {wanted}")


def _text(write: Callable[[object], str], value: object) -> str:
    try:
        text = write(value)
    except BaseException as exc:  # noqa: BLE001  (a foreign class may raise anything)
        return f"(which raises {type(exc).__name__} when it is written)"
    text = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return text.encode(errors="backslashreplace").decode()  # half a pair could not be sent on
