# SPDX-License-Identifier: GPL-3.0-only
"""The ledger of memory: who holds how many bytes of each device, and that it is never too much."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from typing import Final

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.machine.memory import UNKNOWN, Capacity
from modeld.status import MAIN

_NO_GPUS: Final[Mapping[str, DeviceLimit]] = {}


class Reservation:
    """Bytes held for one model, from before its load until its worker has exited."""

    def __init__(self, ledger: Ledger, owner: str, size: DeviceBytes) -> None:
        self.owner = owner
        self.size = size
        self._ledger = ledger

    @property
    def size_bytes(self) -> int:
        """Return what is held on all devices together."""
        return self.size.total_bytes

    def can_grow_to(self, size: int | DeviceBytes) -> bool:
        """Return whether the model may hold so much in all; a number is of main memory."""
        # What is held already stays held, also where the limit has fallen below it.
        return DeviceBytes.of(size).beyond(self.size).fits_within(self._ledger.free.positive())

    def grow_to(self, size: int | DeviceBytes) -> None:
        """Count the larger of what was reserved and ``size``, on each device.

        Raises:
            ValueError: it does not fit; ask :meth:`can_grow_to` first.
        """
        size = DeviceBytes.of(size)
        if not self.can_grow_to(size):
            raise ValueError(f"{self.owner} cannot grow to {size.total_bytes} bytes")
        # Never smaller: what an engine takes only as it needs it is in the reservation alone.
        self._ledger.grow(self, self.size.larger(size))

    def release(self) -> None:
        """Give the bytes back. Call it when the memory is really free, and once."""
        self._ledger.release(self)


class DeviceLimit:
    """What models may hold of one device, in bytes; ``None`` is unlimited.

    ``capacity`` is what the device has: no reservation is larger, whatever the limit. A limit may
    move with what other programs use; then ``most_bytes`` is the highest that it may become, and
    ``said`` is how it came about. What is held when it falls stays held: ``free_bytes`` is below 0
    until enough was released.
    """

    def __init__(
        self,
        limit_bytes: int | None,
        capacity: Capacity = UNKNOWN,
        *,
        device: str = MAIN,
        most_bytes: int | None = None,
        said: str = "",
    ) -> None:
        self.device = device
        self.limit_bytes = limit_bytes
        self.capacity = capacity
        self.moves = most_bytes is not None
        self.most_bytes = limit_bytes if most_bytes is None else most_bytes
        self.said = said
        self.held_bytes: float = 0

    @property
    def is_main(self) -> bool:
        """Return whether it is main memory and no GPU."""
        return self.device == MAIN

    @property
    def setting(self) -> str:
        """Return the name of the setting that it comes from."""
        return "memory_budget_mb" if self.is_main else "gpu_budget_mb"

    @property
    def free_bytes(self) -> float:
        """Return what may still be reserved, in bytes; infinite where there is no limit.

        Below 0 it is what must be released before anything is free.
        """
        return math.inf if self.limit_bytes is None else self.limit_bytes - self.held_bytes

    @property
    def capacity_bytes(self) -> float:
        """Return what the device has; infinite where that is not known."""
        size_bytes = self.capacity.size_bytes
        return math.inf if size_bytes is None else size_bytes

    @property
    def ever_bytes(self) -> float:
        """Return what one model may hold if nothing else is held, by anybody; infinite for all."""
        most_bytes = math.inf if self.most_bytes is None else self.most_bytes
        return min(most_bytes, self.capacity_bytes)

    @property
    def now_bytes(self) -> float:
        """Return what one model may hold under the present limit; infinite for any amount."""
        return min(self.ever_bytes, math.inf if self.limit_bytes is None else self.limit_bytes)

    def move(self, limit_bytes: int, said: str) -> None:
        """Let another limit count from now on.

        Raises:
            ValueError: the limit was not made to move, or would be more than it may become.
        """
        if not self.moves or self.most_bytes is None or limit_bytes > self.most_bytes:
            raise ValueError(f"a limit of {self.most_bytes} bytes cannot become {limit_bytes}")
        self.limit_bytes, self.said = limit_bytes, said


class Ledger:
    """All reservations, under a limit for each device: main memory, and the GPUs that count.

    ``held`` is their sum. A GPU without a limit of its own here is not limited. ``on_taken`` is
    told the owner whenever bytes were taken, and nobody when some were released or a limit has
    moved, for what lives in the free ones of main memory and has to go.
    """

    def __init__(
        self,
        main: int | DeviceLimit | None,
        gpus: Mapping[str, DeviceLimit] = _NO_GPUS,
    ) -> None:
        self.main = main if isinstance(main, DeviceLimit) else DeviceLimit(main)
        self.gpus = gpus
        self.held = NOTHING
        self.on_taken: Callable[[str], None] = lambda _owner: None
        self._reservations: set[Reservation] = set()

    @property
    def limits(self) -> tuple[DeviceLimit, ...]:
        """Return the limits of all devices, main memory first."""
        return self.main, *self.gpus.values()

    @property
    def held_bytes(self) -> int:
        """Return what is held on all devices together."""
        return self.held.total_bytes

    @property
    def free(self) -> DeviceBytes:
        """Return what may still be reserved of each device, as ``DeviceLimit.free_bytes`` says."""
        return self._each(lambda limit: limit.free_bytes)

    @property
    def is_over(self) -> bool:
        """Return whether more is held of some device than its limit, which has fallen, allows."""
        return self.main.free_bytes < 0 or (
            bool(self.gpus) and any(limit.free_bytes < 0 for limit in self.gpus.values())
        )

    @property
    def ever(self) -> DeviceBytes:
        """Return what one model may hold of each device if nothing else is held."""
        return self._each(lambda limit: limit.ever_bytes)

    @property
    def now(self) -> DeviceBytes:
        """Return what one model may hold of each device under the present limits."""
        return self._each(lambda limit: limit.now_bytes)

    @property
    def capacity(self) -> DeviceBytes:
        """Return what the machine has of each device, whatever the limits are."""
        return self._each(lambda limit: limit.capacity_bytes)

    def can_ever_hold(self, size: int | DeviceBytes) -> bool:
        """Return whether ``size`` would fit if nothing else were held, by anybody."""
        return DeviceBytes.of(size).fits_within(self.ever)

    def can_hold_now(self, size: int | DeviceBytes) -> bool:
        """Return whether ``size`` would fit under the present limits alone."""
        return DeviceBytes.of(size).fits_within(self.now)

    def short(self, size: DeviceBytes, within: DeviceBytes) -> DeviceLimit:
        """Return the limit of the device that lacks most for ``size``, where some device does."""
        short = size.beyond(within)
        return max(self.limits, key=lambda limit: short.on(limit.device))

    def move_limit(self, limit_bytes: int, said: str, device: str = MAIN) -> None:
        """Let another limit of a device count from now on.

        Raises:
            ValueError: it was not made to move, or would be more than it may become.
        """
        (self.main if device == MAIN else self.gpus[device]).move(limit_bytes, said)
        self.on_taken("")

    def reserve(self, owner: str, size: int | DeviceBytes) -> Reservation:
        """Hold bytes for ``owner``; a number is of main memory.

        Raises:
            ValueError: they are not free; look at :attr:`free` first.
        """
        size = DeviceBytes.of(size)
        if not size.fits_within(self.free):
            raise ValueError(f"{size.total_bytes} bytes for {owner} are more than the free ones")
        reservation = Reservation(self, owner, size)
        self._reservations.add(reservation)
        self._take(size)
        self.on_taken(owner)
        return reservation

    def grow(self, reservation: Reservation, size: DeviceBytes) -> None:
        """Count another size of a reservation, which calls this; nobody else does."""
        self._take(size - reservation.size)
        reservation.size = size
        self.on_taken(reservation.owner)

    def release(self, reservation: Reservation) -> None:
        """Forget a reservation.

        Raises:
            KeyError: it was released before.
        """
        # The set is there for this: released twice, a reservation would free another model's bytes.
        self._reservations.remove(reservation)
        self._take(NOTHING - reservation.size)
        self.on_taken("")  # what the model has left behind may be more than is free

    def trial(self) -> Ledger:
        """Return a ledger that holds as much, for decisions that nobody carries out.

        It tells nobody, and what is reserved here already cannot be released there.
        """
        made = Ledger(copy(self.main), {name: copy(gpu) for name, gpu in self.gpus.items()})
        made.held = self.held
        return made

    def _take(self, size: DeviceBytes) -> None:
        self.held += size
        self.main.held_bytes = self.held.main
        for name, limit in self.gpus.items():
            limit.held_bytes = self.held.on(name)

    def _each(self, bytes_of: Callable[[DeviceLimit], float]) -> DeviceBytes:
        gpus = {name: bytes_of(limit) for name, limit in self.gpus.items()} if self.gpus else None
        return DeviceBytes(bytes_of(self.main), gpus, math.inf)
