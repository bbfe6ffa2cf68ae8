# SPDX-License-Identifier: GPL-3.0-only
"""Scans a source again when the files change that it finds its models in."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from modeld.hosting.daemon_threads import in_daemon_thread, submit
from modeld.interfaces import RegistrySource
from modeld.plugins.faults import NoteFault
from modeld.plugins.guard import described, is_ours

MOST_WATCHED: Final = 16_384
"""How many folders of one source are watched at most: the kernel has so many for all programs."""

BEGIN_S: Final = 1.0
"""A service that ends sooner watches nothing, which would cost it a thread and an import."""

LOOK_AGAIN_S: Final = 5.0
"""How often a source is asked what to watch while nothing of it is there."""

REST: Final = 2
"""A source rests this many times as long as it took: a long copy takes a third of a core."""

LONGEST_REST_S: Final = 5.0

END_LIMIT_S: Final = 1.0
"""How long a thread is waited for at the end; it looks whether it shall end each step."""

_STEP_MS: Final = 100
_DEBOUNCE_MS: Final = 400
_UNFINISHED: Final = (
    ".aria2",
    ".crdownload",
    ".incomplete",
    ".lock",
    ".part",
    ".part.json",
    ".tmp",
    "~",
)

log = logging.getLogger("modeld.files")


class Watched(NamedTuple):
    """A path as it is now: what has been put in its place is another."""

    path: str
    device: int
    inode: int


class SourceWatch:
    """Watches what each source says, on a thread for each, so that no disk holds up another.

    ``ask`` has the sources of these names asked again. Where the kernel tells of nothing, as on
    most network filesystems, changes are found as without this: by requests.
    """

    def __init__(
        self,
        sources: Iterable[RegistrySource],
        ask: Callable[[Collection[str]], Awaitable[None]],
        note: NoteFault,
    ) -> None:
        self._sources = tuple(sources)
        self._ask = ask
        self._note = note

    async def run(self) -> None:
        """Watch for as long as the task lives."""
        await asyncio.sleep(BEGIN_S)
        async with asyncio.TaskGroup() as group:
            for source in self._sources:
                group.create_task(self._follow(source), name=f"modeld-watch-{source.name}")

    async def _follow(self, source: RegistrySource) -> None:
        while (watched := await self._now(source)) is not None:
            if watched:
                await self._hear(source, watched)
            else:
                await asyncio.sleep(LOOK_AGAIN_S)

    async def _now(self, source: RegistrySource) -> frozenset[Watched] | None:
        """Return what there is to watch; ``None`` where a source wants nothing, or has failed."""
        try:
            return await in_daemon_thread(partial(_watched, source))
        except BaseException as exc:
            if is_ours(exc):
                raise
            said = f"source {source.name} cannot be watched: {described(exc)}"
            self._note("source", source.name, said, exc)
            return None

    async def _hear(self, source: RegistrySource, watched: frozenset[Watched]) -> None:
        """Ask after each change, until something else is to be watched."""
        signal, stop = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()
        paths = [each.path for each in watched]
        tell = partial(loop.call_soon_threadsafe, signal.set)
        watching = asyncio.wrap_future(submit(partial(_watch, paths, tell, stop)))
        watching.add_done_callback(lambda _: signal.set())
        try:
            while await self._now(source) == watched:
                await signal.wait()
                signal.clear()
                if watching.done():
                    break
                begun_s = time.monotonic()
                await self._ask({source.name})
                took_s = time.monotonic() - begun_s
                await asyncio.sleep(min(REST * took_s, LONGEST_REST_S))
        finally:
            stop.set()
            await asyncio.wait({watching}, timeout=END_LIMIT_S)
        if watching.done() and not watching.cancelled() and (fault := watching.exception()):
            if isinstance(fault, FileNotFoundError):  # it has gone since it was looked at
                return
            log.warning("source %s is not watched, requests look instead: %s", source.name, fault)
            await asyncio.Event().wait()


def _watched(source: RegistrySource) -> frozenset[Watched] | None:
    """Return what is there of what a source wants watched; ``None`` where it wants nothing."""
    paths = source.watched_paths()
    if not paths:
        return None
    found = set()
    for path in paths:
        if not isinstance(path, str):
            raise TypeError(f"watched_paths returned {path!r:.100}, which is no text")
        try:
            status = Path(path).stat()
        except (OSError, ValueError):
            continue
        if path.isprintable():  # what is not UTF-8 cannot be watched
            found.add(Watched(path, status.st_dev, status.st_ino))
    return frozenset(found)


def _watch(paths: Collection[str], tell: Callable[[], object], stop: threading.Event) -> None:
    """Tell that the watch has begun, and of each change from then on, until ``stop`` is set.

    Raises:
        OSError: the kernel watches no more.
    """
    from watchfiles._rust_notify import RustNotify  # noqa: PLC0415  (it takes its time)

    if len(paths) > MOST_WATCHED:
        raise OSError(f"it has {len(paths)} folders, and {MOST_WATCHED} are the most")
    ended = threading.Event()

    def end() -> None:
        """End before the interpreter does: it would cut the thread off in the middle of Rust."""
        stop.set()
        ended.wait(END_LIMIT_S)

    atexit.register(end)
    try:
        with RustNotify(list(paths), False, False, 300, False, True) as notify:  # noqa: FBT003
            _tell(tell)
            while not stop.is_set():
                changes = notify.watch(_DEBOUNCE_MS, _STEP_MS, 0, stop)
                if isinstance(changes, set) and any(_matters(path) for _, path in changes):
                    _tell(tell)
    finally:
        ended.set()
        atexit.unregister(end)


def _tell(tell: Callable[[], object]) -> None:
    try:
        tell()
    except RuntimeError:
        return  # that loop is closed, and nobody listens any more


def _matters(path: str) -> bool:
    """Return whether it is no file that a program has for itself while it writes another."""
    name = path.rpartition("/")[2]
    return not name.startswith(".") and not name.endswith(_UNFINISHED)
