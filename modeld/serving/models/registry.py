# SPDX-License-Identifier: GPL-3.0-only
"""All models that the sources have found, by id."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from modeld.errors import (
    DrainingError,
    InvalidModelError,
    LoadFailedError,
    ModeldError,
    ModelNotFoundError,
)
from modeld.hosting.daemon_threads import in_daemon_loop, in_daemon_thread, submit
from modeld.interfaces import RegistrySource
from modeld.plugins.faults import NoteFault, only_logged
from modeld.plugins.guard import described, is_ours, said
from modeld.serving.models.file_stamps import FileStamps
from modeld.serving.models.model_index import ModelIndex, undescribed
from modeld.serving.models.source_list import models_of
from modeld.values import ModelSpec

RESCAN_INTERVAL_S = 2.0
"""Requests for unknown models look at the sources again at most this often."""

NAMED = 3
"""How many models an error names to choose from."""

SCAN_LIMIT_S = 60.0
"""How long a source is waited for where nobody else waits, as in `modeld models`."""

DESCRIBE_LIMIT_S = 5.0
"""How long the backends have to say what the models can be asked for, before they are listed."""

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
    hang.
    """

    def __init__(
        self,
        sources: Iterable[RegistrySource],
        clock: Callable[[], float] = time.monotonic,
        *,
        timeout_s: float = SCAN_LIMIT_S,
        described: Callable[[ModelSpec], ModelSpec] = undescribed,
        note: NoteFault = only_logged,
    ) -> None:
        self.errors: dict[str, str] = {}
        self.on_scanned: Callable[[], None] = lambda: None
        self._sources = tuple(sources)
        self._lists: dict[str, tuple[ModelSpec, ...]] = {}
        self._index = ModelIndex()
        self._indexing = asyncio.Lock()
        self._clock = clock
        self._timeout_s = timeout_s
        self._scanned_s = -RESCAN_INTERVAL_S
        self._scan: asyncio.Task[None] | None = None
        self._asked: dict[str, asyncio.Task[None]] = {}
        self._late: set[str] = set()
        self._arriving: set[str] = set()
        self._stamps = FileStamps()
        self._silent: set[int] = set()
        self._described = described
        self._note = note
        self._describing: asyncio.Future[None] | None = None
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
        return bool(self._late or self._arriving)

    @property
    def usable(self) -> Sequence[str]:
        """Return the sorted ids of all models whose files have no problem."""
        return self._index.usable

    def id_of(self, name: str) -> str:
        """Return the id of the model that has this name for an alias, or else the name itself."""
        return self._index.id_of(name)

    def conflicts(self) -> Mapping[str, Sequence[str]]:
        """Return what is not used of each source's models, in words, because of others."""
        return self._index.conflicts_by_source(_WARNED)

    def nearest(self, model: str) -> str:
        """Return ``; did you mean X?`` for an id that is much like this one, or nothing."""
        return self._index.nearest(model)

    async def refresh(self) -> None:
        """Ask all sources again. Calls that come meanwhile share the scan under way."""
        if self._scan is None or self._scan.done():
            self._scan = _task(self._ask_all())
        try:
            await asyncio.shield(self._scan)
        except asyncio.CancelledError:
            if self._scan.cancelled():
                raise DrainingError("the server is shutting down", retry_after_s=1) from None
            raise

    async def aclose(self) -> None:
        """End what is under way. A source that does not let itself be ended is left behind."""
        self._is_closed = True
        others = (self._scan, self._describing_again)
        tasks = [*self._asked.values(), *(task for task in others if task is not None)]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_LIMIT_S)
        self._stamps.close()

    async def find(self, model: str, *, is_open: bool = False) -> ModelSpec:
        """Return the model of this id or alias, as its file is now.

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
        elif await self._has_changed(spec, is_open=is_open):
            await self.refresh()
            if self._index.source_of(model) in self._late:  # what is in memory may be no more
                raise LoadFailedError(
                    f"the file of model {model!r} has changed, and its source has not said yet what"
                    " it is now",
                    retry_after_s=RESCAN_INTERVAL_S,
                )
        spec = self._index.get(model)
        if spec is None:
            raise ModelNotFoundError(
                f"there is no model {model!r}{self.nearest(model)}", field="model"
            )
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
            await self.refresh()

    def why_unready(self, model: str) -> str | None:
        """Return in a word why a model cannot be used now: its file, or a source that is late.

        Raises:
            ModelNotFoundError: there is none of this id, and all sources have answered.
        """
        if self._index.get(model) is None and self.late:
            return "source_late"
        return "invalid_model" if self.known(model).problem is not None else None

    def known(self, model: str) -> ModelSpec:
        """Return the model of this id or alias as of the last scan.

        Raises:
            ModelNotFoundError: there is none of this name.
        """
        return self.listed(self.id_of(model))

    def listed(self, model: str) -> ModelSpec:
        """Return the model of this very id, as of the last scan.

        Raises:
            ModelNotFoundError: there is none, though another may have the name for an alias.
        """
        spec = self._index.listed(model)
        if spec is None:
            raise ModelNotFoundError(f"there is no model {model!r}", field="model")
        return spec

    async def _has_changed(self, spec: ModelSpec, *, is_open: bool) -> bool:
        """Return whether the file is another one; while its disk is silent it is the same."""
        if spec.stamp is None:
            return False
        device = spec.stamp.device
        try:
            stamp = await self._stamps.look(spec.path, device, is_open=is_open)
        except TimeoutError:
            self._note_silence(device, spec.path)
            return False
        self._note_reachable(device)
        return stamp != spec.stamp

    async def _ask_all(self) -> None:
        for source in self._sources:
            if source.name not in self._asked:
                self._asked[source.name] = _task(self._ask(source))
        awaited = [task for name, task in self._asked.items() if name not in self._late]
        if awaited:
            await asyncio.wait(awaited, timeout=self._timeout_s)
        for name in self._asked.keys() - self._late:
            self._late.add(name)
            self._note_fault(
                name, f"it has not answered for {self._timeout_s:g} s; its models come when it does"
            )
        await self._reindex()
        self._scanned_s = self._clock()

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
            self.errors.pop(name, None)
        finally:
            self._asked.pop(name, None)
        if name in self._late:
            self._late.discard(name)
            self._arriving.add(name)
            log.info("source %s has answered after %.0f s", name, self._clock() - begun_s)
            await self._reindex()
            self._arriving.discard(name)

    def _note_silence(self, device: int, path: str) -> None:
        if device not in self._silent:
            self._silent.add(device)
            self.errors[_disk(device)] = said = f"the disk of {path} does not answer"
            log.error("%s; its models are used as they were seen last", said)

    def _note_reachable(self, device: int) -> None:
        if device in self._silent:
            self._silent.discard(device)
            del self.errors[_disk(device)]

    def _note_fault(self, name: str, why: str, cause: BaseException | None = None) -> None:
        self.errors[name] = f"{name}: {why}"
        if isinstance(cause, ModeldError):  # what it says on purpose, of a folder that is missing
            log.error("source %s failed: %s", name, why)
        else:
            self._note("source", name, f"source {name} failed: {why}", cause)

    async def _reindex(self) -> None:
        """Put together what the sources have said last, beside the event loop: it may be much."""
        async with self._indexing:
            lists = {source.name: self._lists.get(source.name, ()) for source in self._sources}
            index = await in_daemon_thread(lambda: self._newer(lists))
            if index is not self._index:
                await self._describe(index)
                self._index = index
        for device in self._silent - self._index.devices:  # a disk that is mounted anew is another
            self._note_reachable(device)
        conflicts = self._index.conflicts
        for source, words in conflicts[:_WARNED]:
            log.warning("source %s: %s", source, words)
        if len(conflicts) > _WARNED:
            log.warning("and %d more names of models are taken", len(conflicts) - _WARNED)
        self.on_scanned()

    async def _describe(self, index: ModelIndex) -> None:
        """Fill in what the models can be asked for; where a backend hangs, later or never."""
        if self._describing is not None and not self._describing.done():
            return  # it still hangs, and takes one thread only
        describe = partial(index.describe, self._described)
        self._describing = describing = asyncio.wrap_future(submit(describe))
        await asyncio.wait({describing}, timeout=DESCRIBE_LIMIT_S)
        if describing.done():
            describing.result()
        else:
            log.error("the backends have not said what the models can be asked for: one hangs")
            describing.add_done_callback(partial(self._note_described, index))

    def _note_described(self, index: ModelIndex, described: asyncio.Future[None]) -> None:
        """Take over what was said late, and ask for the models that came meanwhile."""
        if described.cancelled() or described.exception() is not None or self._is_closed:
            return
        if index is self._index:
            self.on_scanned()  # some may turn out to be of no use
        else:
            self._describing_again = _task(self.describe_again())

    async def describe_again(self) -> None:
        """Ask the backends again what the models can be asked for."""
        async with self._indexing:
            await self._describe(self._index)
        self.on_scanned()

    def _newer(self, lists: Mapping[str, Sequence[ModelSpec]]) -> ModelIndex:
        """Return the index of these lists; the one at hand where it has the same models."""
        index, before = ModelIndex(lists), self._index
        is_same = index.lists_the_same(before) and index.conflicts == before.conflicts
        return before if is_same else index


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(work)


def _disk(device: int) -> str:
    """Return what the errors have a disk under, beside the sources by their names."""
    return f"disk {device}"


def _some(models: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    named = ", ".join(map(repr, models[:NAMED]))
    more = len(models) - NAMED
    return f"{named} and {more} more" if more > 0 else named
