# SPDX-License-Identifier: GPL-3.0-only
"""What plugins keep open while a service runs, from before the first request to the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Final, TypeAlias

from modeld.errors import ConfigurationError, StartError
from modeld.model_service import ModelService
from modeld.plugins.guard import GIVE_UP_S, described
from modeld.plugins.installed_plugin import InstalledPlugin

LEAVE_LIMIT_S: Final = 5.0
"""How long all plugins together have to close what they have opened."""

log = logging.getLogger("modeld.plugins")


Beside: TypeAlias = Callable[[Callable[[], "list[Lifespan]"]], "Awaitable[list[Lifespan]]"]
"""Runs a function on a thread, and returns its result to the event loop."""


class PluginLifespans:
    """Enters the lifespans of an application's plugins once, and leaves them once.

    ``timeout_s`` is how long one may take to be entered.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._entered: list[Lifespan] = []
        self._starting = asyncio.Lock()
        self._is_started = False
        self._closing: asyncio.Task[None] | None = None

    async def start(
        self, plugins: Iterable[InstalledPlugin], service: ModelService, beside: Beside
    ) -> bool:
        """Enter all lifespans, at once; return whether this call has done so, and none before.

        A plugin whose lifespan cannot be entered is listed with the reason, and all else goes on.

        Raises:
            ConfigurationError, StartError: as a plugin raised it: it says that nothing must go on.
        """
        async with self._starting:
            if self._is_started or self._closing is not None:
                return False
            # ``beside`` the event loop: a hook that hangs must hold up nobody else on it.
            lifespans = await beside(partial(_lifespans, tuple(plugins), service))
            self._entered += lifespans
            try:
                entering = (each.enter(self._timeout_s) for each in lifespans)
                ends = await asyncio.gather(*entering, return_exceptions=True)
                if error := next((end for end in ends if end is not None), None):
                    raise error
                self._is_started = True
            finally:
                if not self._is_started:  # the next start begins anew
                    await self._leave()
            return True

    async def aclose(self) -> None:
        """Leave all lifespans, at once. May be called twice; there is no start after it."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._leave())
        await asyncio.shield(self._closing)

    async def _leave(self) -> None:
        entered, self._entered = self._entered, []
        if entered:
            await asyncio.gather(*(each.leave(LEAVE_LIMIT_S) for each in entered))


def _lifespans(plugins: Sequence[InstalledPlugin], service: ModelService) -> list[Lifespan]:
    found = ((plugin, plugin.brought_lifespan(service)) for plugin in plugins)
    return [Lifespan(plugin, manager) for plugin, manager in found if manager is not None]


class Lifespan:
    """One plugin's lifespan, entered and left in a task of its own.

    Task groups and timeouts must be left by the task that has entered them. Nothing that the plugin
    raises there ends the event loop.
    """

    def __init__(
        self, plugin: InstalledPlugin, manager: AbstractAsyncContextManager[object]
    ) -> None:
        self._plugin = plugin
        self._manager = manager
        self._is_entered = asyncio.Event()
        self._ends = asyncio.Event()
        self._fault: BaseException | None = None
        self._task: asyncio.Task[None] | None = None

    async def enter(self, timeout_s: float) -> None:
        """Return once it is entered, has failed, or was given up after ``timeout_s``.

        Raises:
            ConfigurationError, StartError: as the plugin raised it.
        """
        name = f"modeld-lifespan-{self._plugin.name}"
        self._task = asyncio.get_running_loop().create_task(self._run(), name=name)
        entered = asyncio.ensure_future(self._is_entered.wait())
        try:
            await asyncio.wait(
                {self._task, entered}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            entered.cancel()
        if self._is_entered.is_set():
            return
        if not self._task.done():
            await self._give_up()
            self._plugin.leave_out(f"its lifespan took longer than {timeout_s:g} s to begin")
        elif isinstance(self._fault, ConfigurationError | StartError):
            raise self._fault
        else:
            self._plugin.leave_out(f"its lifespan did not begin: {self._said()}")

    async def leave(self, timeout_s: float) -> None:
        """Have the plugin close what it has opened; after ``timeout_s`` it is given up."""
        task = self._task
        if task is None or task.done():
            return
        self._ends.set()
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            log.error(
                "plugin %r: its lifespan took longer than %g s to end", self._plugin.name, timeout_s
            )
            await self._give_up()

    async def _run(self) -> None:
        try:
            async with self._manager:
                self._is_entered.set()
                await self._ends.wait()
        except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault, not ours)
            self._fault = exc
        if not self._is_entered.is_set() or (self._ends.is_set() and self._fault is None):
            return
        if self._ends.is_set():
            name, why = self._plugin.name, self._said()
            log.error("plugin %r: its lifespan did not end well: %s", name, why)
        else:  # a task of its own has failed, say
            self._plugin.leave_out(f"its lifespan is over before the server is: {self._said()}")

    async def _give_up(self) -> None:
        """Cancel the task; one that does not end soon is left behind."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=GIVE_UP_S)
        if not self._task.done():
            _left_behind.add(self._task)
            self._task.add_done_callback(_left_behind.discard)
            log.error("plugin %r: its lifespan goes on although cancelled", self._plugin.name)

    def _said(self) -> str:
        return described(self._fault) if self._fault else "it has let itself be left"


_left_behind: Final[set[asyncio.Task[None]]] = set()
"""The loop itself holds tasks weakly; one that was left behind has nobody else to hold it."""
