# SPDX-License-Identifier: GPL-3.0-only
"""The ledger of memory: who holds how many bytes, and that it never adds up to too much."""

from __future__ import annotations

from collections.abc import Callable

from modeld.machine.memory import UNKNOWN, Capacity


class Reservation:
    """Bytes held for one model, from before its load until its worker has exited."""

    def __init__(self, ledger: Ledger, owner: str, size_bytes: int) -> None:
        self.owner = owner
        self.size_bytes = size_bytes
        self._ledger = ledger

    def can_grow_to(self, size_bytes: int) -> bool:
        """Return whether the model may hold ``size_bytes`` in all."""
        # What is held already stays held, also where the limit has fallen below it.
        return size_bytes - self.size_bytes <= max(0, self._ledger.free_bytes)

    def grow_to(self, size_bytes: int) -> None:
        """Count the larger of what was reserved and ``size_bytes``.

        Raises:
            ValueError: it does not fit; ask :meth:`can_grow_to` first.
        """
        if not self.can_grow_to(size_bytes):
            raise ValueError(f"{self.owner} cannot grow to {size_bytes} bytes")
        # Never smaller: what an engine takes only as it needs it is in the reservation alone.
        self._ledger.grow(self, max(self.size_bytes, size_bytes))

    def release(self) -> None:
        """Give the bytes back. Call it when the memory is really free, and once."""
        self._ledger.release(self)


class Ledger:
    """All reservations under one limit in bytes; ``None`` is unlimited.

    ``held_bytes`` is their sum. ``capacity`` is what the machine has: no reservation is larger,
    whatever the limit. A limit may move with what other programs use; then ``most_bytes`` is the
    highest that it may become, and ``said`` is how it came about. What is held when it falls stays
    held: the ledger is over its limit until enough was released. ``on_taken`` is told
    the owner whenever bytes were taken, and nobody when some were released or the limit has moved,
    for what lives in the
    free ones and has to go.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        capacity: Capacity = UNKNOWN,
        *,
        most_bytes: int | None = None,
        said: str = "",
    ) -> None:
        self.limit_bytes = limit_bytes
        self.capacity = capacity
        self.moves = most_bytes is not None
        self.most_bytes = limit_bytes if most_bytes is None else most_bytes
        self.said = said
        self.held_bytes = 0
        self.on_taken: Callable[[str], None] = lambda _owner: None
        self._reservations: set[Reservation] = set()

    @property
    def free_bytes(self) -> float:
        """Return what may still be reserved, in bytes; infinite where there is no limit.

        Below 0 it is what must be released before anything is free.
        """
        if self.limit_bytes is None:
            return float("inf")
        return self.limit_bytes - self.held_bytes

    @property
    def ever_bytes(self) -> int | None:
        """Return the most that one model may ever need; ``None`` for any amount."""
        limits = (self.most_bytes, self.capacity.size_bytes)
        return min((limit for limit in limits if limit is not None), default=None)

    def can_ever_hold(self, size_bytes: int) -> bool:
        """Return whether ``size_bytes`` would fit if nothing else were held, by anybody."""
        return self.ever_bytes is None or size_bytes <= self.ever_bytes

    def can_hold_now(self, size_bytes: int) -> bool:
        """Return whether ``size_bytes`` would fit under the present limit alone."""
        is_within = self.limit_bytes is None or size_bytes <= self.limit_bytes
        return is_within and self.can_ever_hold(size_bytes)

    def move_limit(self, limit_bytes: int, said: str) -> None:
        """Let another limit count from now on.

        Raises:
            ValueError: the limit was not made to move, or would be more than it may become.
        """
        if not self.moves or self.most_bytes is None or limit_bytes > self.most_bytes:
            raise ValueError(f"a limit of {self.most_bytes} bytes cannot become {limit_bytes}")
        self.limit_bytes, self.said = limit_bytes, said
        self.on_taken("")

    def reserve(self, owner: str, size_bytes: int) -> Reservation:
        """Hold bytes for ``owner``.

        Raises:
            ValueError: they are not free; look at :attr:`free_bytes` first.
        """
        if size_bytes > self.free_bytes:
            raise ValueError(f"{size_bytes} bytes for {owner} are more than the free ones")
        reservation = Reservation(self, owner, size_bytes)
        self._reservations.add(reservation)
        self.held_bytes += size_bytes
        self.on_taken(owner)
        return reservation

    def grow(self, reservation: Reservation, size_bytes: int) -> None:
        """Count another size of a reservation, which calls this; nobody else does."""
        self.held_bytes += size_bytes - reservation.size_bytes
        reservation.size_bytes = size_bytes
        self.on_taken(reservation.owner)

    def release(self, reservation: Reservation) -> None:
        """Forget a reservation.

        Raises:
            KeyError: it was released before.
        """
        # The set is there for this: released twice, a reservation would free another model's bytes.
        self._reservations.remove(reservation)
        self.held_bytes -= reservation.size_bytes
        self.on_taken("")  # what the model has left behind may be more than is free
