# SPDX-License-Identifier: GPL-3.0-only
"""What an engine keeps of ended requests, and what of it outlives the engine."""

from __future__ import annotations

from collections.abc import Callable

from modeld_llama_cpp.engine.prefix_cache import PrefixCache, SavedSequence
from modeld_llama_cpp.engine.session_file import SessionFile
from modeld_llama_cpp.engine.state import State


class Sessions:
    """Fills a prefix cache, and has its states in a session file once there is one.

    ``identity`` returns a digest of all that a state depends on.
    """

    def __init__(self, prefix_cache: PrefixCache, identity: Callable[[], bytes]) -> None:
        self._prefix_cache = prefix_cache
        self._identity = identity
        self._file: SessionFile | None = None

    def open(self, path: str, most_bytes: int) -> None:
        """Take over what is in a file, and have at most so many bytes of states there.

        Raises:
            OSError: it cannot be used.
        """
        file = SessionFile(path, most_bytes, self._identity())
        try:
            saved = file.take_over()
        except BaseException:
            file.close()
            raise
        self._file = file
        self._prefix_cache.extend(saved)

    def keep(self, tokens: tuple[int, ...], salt: str, data: bytearray) -> None:
        """Save a sequence for others that begin alike, in place of those that it goes on from."""
        self._prefix_cache.add(SavedSequence(tokens=tokens, salt=salt, state=State.of(data)))
        if self._file is not None:
            self._file.settle(self._prefix_cache)

    def save(self) -> None:
        """Let the next engine of this model find what is in the file."""
        if self._file is not None:
            self._file.save(self._prefix_cache)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
