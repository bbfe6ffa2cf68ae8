# SPDX-License-Identifier: GPL-3.0-only
"""Keeps compiled constraints, so that each is compiled once while it is in use."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from threading import Lock

import msgspec

from modeld.errors import InvalidRequestError
from modeld_llama_cpp.constraints.compiler import CompiledGrammar, compile_constraint

MAX_BYTES = 16 << 20
"""How much compiled constraints may take together."""

_KEY_BYTES = 256
"""What an entry takes besides its text."""


class ConstraintCache:
    """Compiled constraints by what they were made of; those not used for longest go first.

    All methods may be called on any thread. Two threads that want the same at once may both
    compile it; neither waits for the other.
    """

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: OrderedDict[bytes, CompiledGrammar] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    def compiled(self, kind: str, source: object) -> CompiledGrammar:
        """Return the grammar for a source, as :func:`.compile_constraint` does.

        Raises:
            InvalidRequestError: the source is faulty.
        """
        key = _key(kind, source)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        # Outside the lock, or a large schema would hold up everybody whose grammar is there.
        found = compile_constraint(kind, source)
        with self._lock:
            # Another thread may have been first; counted twice, its bytes would never go.
            if key not in self._kept and found.size_bytes + _KEY_BYTES <= self._max_bytes:
                self._kept[key] = found
                self._bytes += found.size_bytes + _KEY_BYTES
            while self._bytes > self._max_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= dropped.size_bytes + _KEY_BYTES
        return found

    @property
    def held_bytes(self) -> int:
        """Return how much the kept constraints take."""
        return self._bytes


def _key(kind: str, source: object) -> bytes:
    """Return what tells a constraint from all others: the order of properties matters too."""
    try:
        return hashlib.sha256(msgspec.json.encode([kind, source])).digest()
    except (UnicodeEncodeError, RecursionError, TypeError) as exc:
        raise InvalidRequestError(
            f"the {kind} cannot be used: it is no JSON that could be written: {exc}", field=kind
        ) from exc
