# SPDX-License-Identifier: GPL-3.0-only
"""The latest result of each source, and which sources have not responded yet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

from modeld.errors import ModeldError
from modeld.hosting.daemon_threads import in_daemon_loop
from modeld.interfaces import RegistrySource
from modeld.plugins.faults import NoteFault
from modeld.plugins.guard import described, is_ours, said
from modeld.serving.models.source_list import models_of
from modeld.values import ModelSpec

log = logging.getLogger("modeld.registry")


class Sources:
    """Asks the sources, each for itself, and keeps the last good list of one that fails.

    ``errors`` gets what is wrong with a source, by its name. One that takes longer than
    ``timeout_s`` is late and no longer waited for; ``on_late`` is called when it has answered, and
    it is not asked again before that.
    """

    def __init__(
        self,
        sources: Iterable[RegistrySource],
        clock: Callable[[], float],
        *,
        timeout_s: float,
        errors: dict[str, str],
        note: NoteFault,
        on_late: Callable[[], Awaitable[None]],
    ) -> None:
        self._sources = tuple(sources)
        self._clock = clock
        self._timeout_s = timeout_s
        self._errors = errors
        self._note = note
        self._on_late = on_late
        self._lists: dict[str, tuple[ModelSpec, ...]] = {}
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._late: set[str] = set()
        self._arriving: set[str] = set()

    @property
    def late(self) -> bool:
        """Return whether there is a source whose models are not known yet, or not as they are."""
        return bool(self._late or self._arriving)

    def is_late(self, source: str | None) -> bool:
        """Return whether this source is one of those that are no longer waited for."""
        return source in self._late

    def lists(self) -> Mapping[str, Sequence[ModelSpec]]:
        """Return what the sources have said last, in their order."""
        return {source.name: self._lists.get(source.name, ()) for source in self._sources}

    def tasks(self) -> Sequence[asyncio.Task[None]]:
        """Return what waits for sources now."""
        return tuple(self._asked.values())

    async def settle(self, names: Collection[str] | None = None) -> None:
        """Wait for those of these sources, or of all that are not late, that are asked already."""
        awaited = self._asked.keys() - self._late if names is None else names
        asked = [task for name, task in self._asked.items() if name in awaited]
        if asked:
            await asyncio.wait(asked, timeout=self._timeout_s)

    async def ask(self, names: Collection[str] | None = None) -> None:
        """Ask these sources, or all; one that is asked already counts as it answers then."""
        for source in self._sources:
            if source.name not in self._asked and (names is None or source.name in names):
                asking = asyncio.get_running_loop().create_task(self._ask(source))
                self._asked[source.name] = asking
        asked = {
            name: task
            for name, task in self._asked.items()
            if name not in self._late and (names is None or name in names)
        }
        if asked:
            await asyncio.wait(asked.values(), timeout=self._timeout_s)
        for name in asked.keys() & self._asked.keys() - self._late:
            self._late.add(name)
            self._note_fault(
                name, f"it has not answered for {self._timeout_s:g} s; its models come when it does"
            )

    async def _ask(self, source: RegistrySource) -> None:
        """Take over what a source says, whenever that is."""
        name, begun_s = source.name, self._clock()
        try:
            self._lists[name] = await in_daemon_loop(lambda: models_of(source))
        except BaseException as exc:
            if is_ours(exc):
                raise
            # Also what is no exception: a task that the source has started may end its loop so.
            self._note_fault(name, said(exc) if isinstance(exc, Exception) else described(exc), exc)
        else:
            self._errors.pop(name, None)
        finally:
            self._asked.pop(name, None)
        if name in self._late:
            self._late.discard(name)
            self._arriving.add(name)
            log.info("source %s has answered after %.0f s", name, self._clock() - begun_s)
            await self._on_late()
            self._arriving.discard(name)

    def _note_fault(self, name: str, why: str, cause: BaseException | None = None) -> None:
        self._errors[name] = f"{name}: {why}"
        if isinstance(cause, ModeldError):  # what it says on purpose, of a folder that is missing
            log.error("source %s failed: %s", name, why)
        else:
            self._note("source", name, f"source {name} failed: {why}", cause)
