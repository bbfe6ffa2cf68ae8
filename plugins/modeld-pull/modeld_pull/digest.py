# SPDX-License-Identifier: GPL-3.0-only
"""Digests by which the bytes of a download are verified."""

from __future__ import annotations

import hashlib
from typing import Literal, Protocol, TypeAlias

from modeld.values import Value

Algorithm: TypeAlias = Literal["sha256", "git-blob"]


class Hasher(Protocol):
    """One of :mod:`hashlib`'s."""

    def update(self, data: bytes, /) -> None:
        """Take some bytes more."""

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""


class Digest(Value, frozen=True, kw_only=True):
    """The digest that a whole file must have.

    ``git-blob`` is what git names a file by. The hub has nothing else for small files that are not
    in its large file storage. ``size_bytes`` is a part of what git computes it from.
    """

    algorithm: Algorithm
    hex: str
    size_bytes: int | None = None

    def hasher(self) -> Hasher:
        """Return what computes such a digest of bytes."""
        if self.algorithm == "sha256":
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % (self.size_bytes or 0), usedforsecurity=False)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.hex}"
