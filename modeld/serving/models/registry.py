# SPDX-License-Identifier: GPL-3.0-only
"""All models that the sources have found, by id."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from modeld.errors import (
    InvalidModelError,
    LoadFailedError,
    ModelNotFoundError,
)
from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.interfaces import RegistrySource
from modeld.plugins.faults import NoteFault, only_logged
from modeld.serving.models.describing import Describer
from modeld.serving.models.model_files import ModelFiles
from modeld.serving.models.model_index import ModelIndex, undescribed
from modeld.serving.models.scans import Scans
from modeld.serving.models.sources import Sources
from modeld.settings import Settings
from modeld.values import ModelSpec

RESCAN_INTERVAL_S = 2.0
"""Requests for unknown models look at the sources again at most this often."""

NAMED = 3
"""How many models an error names to choose from."""

SCAN_LIMIT_S = 60.0
"""How long a source is waited for where nobody else waits, as in `modeld models`."""

CLOSE_LIMIT_S = 1.0
"""How long a source has to give up at the end; one that does not is left behind."""

_WARNED = 10

log = logging.getLogger("modeld.registry")


class Registry:
    """Asks every source, keeps what it said last, and finds models by id.

    A source that fails keeps its last good list; :attr:`errors` says what is wrong with it. One
    that takes longer than ``timeout_s`` is late and no longer waited for; its models come
    when it answers, and it is not asked again before that. ``on_scanned`` is called whenever the
    models may be others. ``described`` returns a model with what its backend says of it; it may
    hang. ``settings`` have presets and aliases.
    """

    def __init__(
        self,
        sources: Iterable[RegistrySource],
        clock: Callable[[], float] = time.monotonic,
        *,
        timeout_s: float = SCAN_LIMIT_S,
        described: Callable[[ModelSpec], ModelSpec] = undescribed,
        note: NoteFault = only_logged,
        settings: Settings | None = None,
    ) -> None:
        self._settings = settings
        self.errors: dict[str, str] = {}
        self.on_scanned: Callable[[], None] = lambda: None
        self._sources = Sources(
            sources,
            clock,
            timeout_s=timeout_s,
            errors=self.errors,
            note=note,
            on_late=self._reindex,
        )
        self._index = ModelIndex()
        self._is_outdated = False
        self._indexing = asyncio.Lock()
        self._clock = clock
        self._scanned_s = -RESCAN_INTERVAL_S
        self._scans = Scans(self._ask_all)
        self._files = ModelFiles(self.errors)
        self._describer = Describer(described, self._note_described)
        self._describing_again: asyncio.Task[None] | None = None
        self._is_closed = False

    def specs(self) -> Sequence[ModelSpec]:
        """Return all models, sorted by id, the unusable ones with their problem.

        The same object until a source has said something else.
        """
        return self._index.specs

    @property
    def late(self) -> bool:
        """Return whether there is a source whose models are not known yet, or not as they are."""
        return self._sources.late

    @property
    def usable(self) -> Sequence[str]:
        """Return the sorted ids of all models whose files have no problem."""
        return self._index.usable

    def id_of(self, name: str) -> str:
        """Return the id of the one model that the name means, or else the name itself."""
        return self._index.id_of(name)

    def conflicts(self) -> Mapping[str, Sequence[str]]:
        """Return what is not used of each source's models, in words, because of others."""
        return self._index.conflicts_by_source(_WARNED)

    def nearest(self, model: str) -> str:
        """Return ``; did you mean X?`` for an id that is much like this one, or nothing."""
        return self._index.nearest(model)

    async def refresh(self) -> None:
        """Ask all sources anew; what they are asked already is not enough."""
        await self._scans.anew()

    async def ask(self, names: Collection[str]) -> None:
        """Ask these sources anew, and no other; what they are asked already is not enough."""
        await self._sources.settle(names)
        await self._sources.ask(names)
        await self._reindex()

    async def aclose(self) -> None:
        """End what is under way. A source that does not let itself be ended is left behind."""
        self._is_closed = True
        tasks = [*self._sources.tasks(), *self._scans.tasks()]
        tasks += [self._describing_again] if self._describing_again is not None else []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_LIMIT_S)
        self._files.close()

    async def find(self, model: str, *, is_open: bool = False) -> ModelSpec:
        """Return the model of this name, as its file is now.

        A model that is unknown, unusable or whose file has changed makes the sources be asked
        again first, the first two not more often than every :data:`RESCAN_INTERVAL_S`. ``is_open``
        says that an engine has the file open.

        Raises:
            ModelNotFoundError: there is none of this id.
            InvalidModelError: there is, but its file cannot be used.
            LoadFailedError: its file has changed while its source does not answer.
        """
        spec = self._index.get(model)
        if spec is None or spec.problem is not None:
            await self._look_again()
        elif await self._files.has_changed(spec, is_open=is_open):
            await self.refresh()
            if self._sources.is_late(self._index.source_of(model)):  # what is in memory may be gone
                raise LoadFailedError(
                    f"the file of model {model!r} has changed, and its source has not said yet what"
                    " it is now",
                    retry_after_s=RESCAN_INTERVAL_S,
                )
        spec = self._index.get(model)
        if spec is None:
            raise self._unknown(model)
        if spec.problem is not None:
            raise InvalidModelError(f"model {model!r} cannot be used: {spec.problem}")
        return spec

    async def only(self) -> str:
        """Return the id of the only usable model; without any, the sources are asked again first.

        Raises:
            ModelNotFoundError: there is none, or several to choose from.
        """
        if not self.usable:
            await self._look_again()
        if len(self.usable) == 1:
            return self.usable[0]
        raise ModelNotFoundError(f"the request names no model; {self._choice()}", field="model")

    def _choice(self) -> str:
        if self.usable:
            return (
                f"there is no default_model in the settings, and {len(self.usable)} models can be"
                f" used: {_some(self.usable)}"
            )
        broken = len(self._index.specs)
        return "no model was found" if not broken else f"none of the {broken} found can be used"

    async def _look_again(self) -> None:
        if self._clock() - self._scanned_s >= RESCAN_INTERVAL_S:
            await self._scans.join()

    def why_unready(self, model: str) -> str | None:
        """Return in a word why a model cannot be used now: its file, or a source that is late.

        Raises:
            ModelNotFoundError: there is none of this id, and all sources have answered.
        """
        if self._index.get(model) is None and self.late:
            return "source_late"
        return "invalid_model" if self.known(model).problem is not None else None

    def known(self, model: str) -> ModelSpec:
        """Return the model of this name as of the last scan.

        Raises:
            ModelNotFoundError: there is none of this name.
        """
        spec = self._index.get(model)
        if spec is None:
            raise self._unknown(model)
        return spec

    def listed(self, model: str) -> ModelSpec:
        """Return the model of this very id, as of the last scan.

        Raises:
            ModelNotFoundError: there is none, though another may have the name for an alias.
        """
        spec = self._index.listed(model)
        if spec is None:
            raise self._unknown(model)
        return spec

    def _unknown(self, model: str) -> ModelNotFoundError:
        why = f"there is no model {model!r}{self.nearest(model)}"
        return ModelNotFoundError(why, field="model")

    async def _ask_all(self) -> None:
        await self._sources.settle()
        await self._sources.ask()
        await self._reindex()
        self._scanned_s = self._clock()

    async def _reindex(self) -> None:
        """Put together what the sources have said last, beside the event loop: it may be much."""
        async with self._indexing:
            lists = self._sources.lists()
            index = await in_daemon_thread(lambda: self._newer(lists))
            if index is not self._index:
                await self._describer.describe(index)
                self._index = index
        self._files.forget_other_disks(self._index.devices)
        conflicts = self._index.conflicts
        for source, words in conflicts[:_WARNED]:
            log.warning("source %s: %s", source, words)
        if len(conflicts) > _WARNED:
            log.warning("and %d more names of models are taken", len(conflicts) - _WARNED)
        self.on_scanned()

    def _note_described(self, index: ModelIndex) -> None:
        """Take over what was said late, and ask for the models that came meanwhile."""
        if self._is_closed:
            return
        if index is self._index:
            self.on_scanned()  # some may turn out to be of no use
        else:
            self._describing_again = _task(self._describe_again())

    async def reconfigure(self, settings: Settings) -> None:
        """Go by other settings: names, presets, and what the backends say of the models."""
        self._settings = settings
        self._describer.forget()
        self._is_outdated = True
        await self._reindex()

    async def _describe_again(self) -> None:
        async with self._indexing:
            await self._describer.describe(self._index)
        self.on_scanned()

    def _newer(self, lists: Mapping[str, Sequence[ModelSpec]]) -> ModelIndex:
        """Return the index of these lists; the one at hand where it has the same models."""
        index, before = ModelIndex(lists, self._settings), self._index
        is_same = index.lists_the_same(before) and index.conflicts == before.conflicts
        is_outdated, self._is_outdated = self._is_outdated, False
        return before if is_same and not is_outdated else index


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


def _some(models: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    named = ", ".join(map(repr, models[:NAMED]))
    more = len(models) - NAMED
    return f"{named} and {more} more" if more > 0 else named
