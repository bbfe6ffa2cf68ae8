# SPDX-License-Identifier: GPL-3.0-only
"""Makes entries on a thread beside the event loop, because their options may name files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeAlias

import msgspec

from modeld.errors import DrainingError, LoadFailedError
from modeld.hosting.daemon_threads import submit
from modeld.serving.state.model_entry import ModelEntry
from modeld.values import ModelSpec

LIMIT_S: Final = 10.0
"""How long a backend may look at what the options of models name."""

_Key: TypeAlias = tuple[str, bytes]


class EntryMaker:
    """Calls ``make`` on a daemon thread, so that a disk that does not answer holds up nobody else.

    Requests for the same file at once share one call, so that one that hangs takes one thread.
    ``note_hang`` is told of a model whose call does.
    """

    def __init__(
        self,
        make: Callable[[ModelSpec], ModelEntry],
        note_hang: Callable[[ModelSpec], None] = lambda _spec: None,
    ) -> None:
        self._make = make
        self._note_hang = note_hang
        self._making: dict[_Key, asyncio.Future[ModelEntry]] = {}
        self._outdated: set[asyncio.Future[ModelEntry]] = set()

    async def make(self, spec: ModelSpec) -> ModelEntry:
        """Return a new entry for the model.

        Raises:
            LoadFailedError: what its options name does not answer.
            DrainingError: this was closed meanwhile.
            ModeldError: as ``make`` raised it.
        """
        key = spec.id, msgspec.json.encode(spec.version)  # options cannot be hashed
        making = self._making.get(key)
        if making is None:
            # A daemon thread: a disk that never answers must not hold up the exit either.
            making = asyncio.wrap_future(submit(partial(self._make, spec)))
            self._making[key] = making
            making.add_done_callback(lambda done: self._forget(key, done))
        if await in_time(making):
            if making.cancelled():
                raise DrainingError("the server is shutting down", retry_after_s=1)
            return making.result()
        self._note_hang(spec)
        raise LoadFailedError(
            f"model {spec.id!r} is not ready to load: its backend, or a file that its options"
            " name, does not answer",
            retry_after_s=LIMIT_S,
        )

    def forget(self) -> None:
        """Let nobody who comes from now on share a call that is under way."""
        self._outdated.update(self._making.values())
        self._making.clear()

    def close(self) -> None:
        """Refuse all who wait. A thread that hangs is left behind."""
        for making in (*self._making.values(), *self._outdated):
            making.cancel()

    def _forget(self, key: _Key, made: asyncio.Future[ModelEntry]) -> None:
        if self._making.get(key) is made:
            del self._making[key]
        self._outdated.discard(made)
        if not made.cancelled():
            made.exception()  # those who wanted to know it may all have left


async def in_time(work: asyncio.Future[Any]) -> bool:
    """Return whether ``work`` ends within :data:`LIMIT_S`. It goes on whoever leaves."""
    await asyncio.wait([work], timeout=LIMIT_S)
    return work.done()
