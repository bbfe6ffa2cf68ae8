# SPDX-License-Identifier: GPL-3.0-only
"""What a sequence has in memory, as the runtime writes it: held here, or in a session file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Stored(Protocol):
    """A state that lies in a file."""

    def read(self) -> bytearray | None:
        """Return it, or ``None`` where it is not what was written."""
        ...

    def free(self) -> None:
        """Give its bytes back."""
        ...


@dataclass(slots=True, eq=False)
class State:
    """The bytes of one sequence. Exactly one of ``data`` and ``stored`` is there until it is freed.

    They fit the same file, options and build of the runtime only.
    """

    size: int
    data: bytearray | None = None
    stored: Stored | None = None

    @classmethod
    def of(cls, data: bytearray) -> State:
        """Return the state of these bytes, held in this process."""
        return cls(len(data), data)

    def read(self) -> bytearray | None:
        """Return the bytes, or ``None`` where they are no longer what they were."""
        return self.data if self.stored is None else self.stored.read()

    def move(self, store: Callable[[bytearray], Stored]) -> None:
        """Move it from this process into a file.

        Raises:
            OSError: the file takes no more; it stays where it is.
        """
        if self.data:
            self.stored = store(self.data)
            self.data = None

    def bring_back(self) -> None:
        """Move it from the file into this process; one that is not sound there is empty then."""
        if self.stored is not None:
            self.data = self.stored.read() or bytearray()
            self.free()

    def free(self) -> None:
        """Give back what it takes in a file."""
        if self.stored is not None:
            self.stored.free()
            self.stored = None
