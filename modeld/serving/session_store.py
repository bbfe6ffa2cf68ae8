# SPDX-License-Identifier: GPL-3.0-only
"""Keeps the sessions of models that have left memory until they are loaded again.

An engine keeps what ended requests have computed in a file that its worker opens by a path. Here
are the files of models that are not in memory: within a quota, the least recently used out first.
What is in them is the engines' own business.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from modeld.hosting.channel.frames import Sessions
from modeld.hosting.daemon_threads import submit
from modeld.serving.session_files import (
    FolderFiles,
    MemoryFiles,
    SessionFile,
    SessionFiles,
    key_of,
)
from modeld.settings import Settings
from modeld.values import ModelSpec

MOST_FILES: Final = 256
"""Each keeps a descriptor open."""

log = logging.getLogger("modeld.sessions")


class SessionStore:
    """Keeps at most ``quota_bytes`` in the ``files`` of absent models.

    ``beside`` runs what may take a while and nobody waits for: giving back a large file.
    """

    def __init__(
        self,
        files: SessionFiles,
        quota_bytes: int,
        beside: Callable[[Callable[[], None]], object] = submit,
    ) -> None:
        self.quota_bytes = quota_bytes
        self._files = files
        self._beside = beside
        self._kept: dict[str, SessionFile] = {}

    @property
    def held_bytes(self) -> int:
        """Return what the files of absent models take together."""
        return sum(file.size_bytes for file in self._kept.values())

    @property
    def memory_bytes(self) -> int:
        """Return what of that is in main memory."""
        return self.held_bytes if self._files.take_memory else 0

    def open(self) -> None:
        """Take in what an earlier server has left, as far as the quota goes.

        Raises:
            StartError: nothing can be kept where the settings say.
        """
        self._kept |= {file.key: file for file in self._files.open()}
        if self._kept and not self.quota_bytes:
            log.info("session_quota_mb is 0: the sessions of an earlier server are removed")
        self._fit(self.quota_bytes)

    async def take(self, spec: ModelSpec) -> SessionFile | None:
        """Return the file for a model that is loaded: its own from before, or a new one.

        ``None`` where there is none to be had. Whoever takes it gives it back.
        """
        if not self.quota_bytes:
            return None
        if file := self._kept.pop(key_of(spec), None):
            file.model = spec.id
            return file
        try:
            return await self._files.done(partial(self._files.new, spec), self._drop)
        except OSError as exc:
            log.warning("no session file for %s: %s", spec.id, exc)
            return None

    def handed(self, file: SessionFile) -> Sessions:
        """Return what a worker is told of a file."""
        return Sessions(path=file.path, most_bytes=self.quota_bytes)

    async def give_back(self, file: SessionFile) -> None:
        """Keep a file whose engine is gone, if that has saved anything and it fits."""
        try:
            is_saved = await self._files.done(file.look)
        except asyncio.CancelledError:
            self._beside(file.close)  # one that is in a folder stays for the next server
            raise
        except OSError as exc:
            log.warning("the session file of %s cannot be read: %s", file.model, exc)
            is_saved = False
        if not is_saved or file.size_bytes > self.quota_bytes:
            self._drop(file)
            return
        self._fit(self.quota_bytes - file.size_bytes)
        self._keep(file)

    def make_way(self, model: str, free_bytes: float) -> None:
        """Let files go until the others' take no more than what is free, where they take memory.

        Called when bytes were reserved for ``model``; its own file is among those.
        """
        if self._files.take_memory and self._kept:
            self._fit(free_bytes, beside=model)

    async def aclose(self) -> None:
        """Let go of all files; those in a folder stay for the next server.

        A disk that takes too long is left behind: it has no say in when a server ends.
        """
        files = list(self._kept.values())
        self._kept.clear()
        try:
            await self._files.done(partial(self._close, files))
        except OSError as exc:
            log.warning("the session files are not closed yet: %s", exc)

    def _close(self, files: Sequence[SessionFile]) -> None:
        """Close them, the lock last: who has it next must find nobody at the files."""
        for file in files:
            file.close()
        self._files.close()

    def _keep(self, file: SessionFile) -> None:
        older = self._kept.pop(file.key, None)
        if older is not None:  # of an instance that has left while the next one was there
            self._drop(older)
        self._kept[file.key] = file

    def _fit(self, most_bytes: float, *, beside: str | None = None) -> None:
        """Let the least recently used go until the others take no more; not those of ``beside``."""
        files = [file for file in self._kept.values() if file.model != beside]
        files.sort(key=lambda file: file.used_ns)
        held_bytes = sum(file.size_bytes for file in files)
        for number, file in enumerate(files):
            if held_bytes <= most_bytes and len(files) - number < MOST_FILES:
                return
            held_bytes -= file.size_bytes
            log.info("%s: its sessions, %d MiB, make room", file.model, file.size_bytes >> 20)
            self._drop(self._kept.pop(file.key))

    def _drop(self, file: SessionFile) -> None:
        # The system takes a millisecond for some MiB; the event loop has no time for that.
        self._beside(partial(self._remove, file))

    def _remove(self, file: SessionFile) -> None:
        try:
            self._files.unlink(file)
        except OSError as exc:
            log.warning("the session file %s cannot be removed: %s", file.name, exc)
        file.close()


def store_of(settings: Settings) -> SessionStore:
    """Return the store that the settings ask for."""
    quota_bytes = settings.session_quota_mb << 20
    if not hasattr(os, "memfd_create"):  # nor can a part of a file be given back there
        if settings.session_folder:
            log.warning("session_folder has no effect: sessions survive evictions on Linux only")
        return SessionStore(MemoryFiles(), 0)
    if settings.session_folder:
        return SessionStore(FolderFiles(Path(settings.session_folder).expanduser()), quota_bytes)
    return SessionStore(MemoryFiles(), quota_bytes)
