# SPDX-License-Identifier: GPL-3.0-only
"""Bytes on each device: what a model holds of main memory and of each GPU. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from modeld.status import MAIN


class DeviceBytes:
    """Bytes of main memory and of GPUs, by their names; ``rest`` are those of any other GPU.

    A size has nothing on the rest. What is free has any amount there, as on a device without a
    limit. Compared and added device by device; most models are in main memory alone, for which
    ``gpus`` is empty and nothing is looped over.
    """

    __slots__ = ("gpus", "main", "rest")

    def __init__(
        self, main: float = 0, gpus: Mapping[str, float] | None = None, rest: float = 0
    ) -> None:
        self.main = main
        self.gpus: Mapping[str, float] = gpus or {}
        self.rest = rest

    @classmethod
    def of(cls, size: int | DeviceBytes) -> DeviceBytes:
        """Return ``size``; a number is one of main memory."""
        return size if isinstance(size, DeviceBytes) else cls(size)

    @classmethod
    def split(cls, total_bytes: int, on_gpus: Mapping[str, int]) -> DeviceBytes:
        """Return ``total_bytes``, of which those ``on_gpus`` are there and the rest in main memory.

        More on GPUs than in all is as much as that.
        """
        gpus = {name: size for name, size in on_gpus.items() if size} if on_gpus else None
        return cls(max(0, total_bytes - sum(gpus.values())) if gpus else total_bytes, gpus)

    @property
    def total_bytes(self) -> int:
        """Return what the devices have together. Of a size only: what is free may be infinite."""
        return int(self.main + sum(self.gpus.values()) if self.gpus else self.main)

    @property
    def devices(self) -> Iterator[str]:
        """Yield the devices with more than 0 bytes."""
        return (name for name, size in self.items() if size > 0)

    @property
    def on_gpus(self) -> dict[str, int]:
        """Return what GPUs have, by their names, without those that have nothing."""
        return {name: int(size) for name, size in self.gpus.items() if size}

    def on(self, device: str) -> float:
        """Return the bytes of one device."""
        return self.main if device == MAIN else self.gpus.get(device, self.rest)

    def items(self) -> Iterator[tuple[str, float]]:
        """Yield the named devices with their bytes, main memory first."""
        yield MAIN, self.main
        yield from self.gpus.items()

    def fits_within(self, free: DeviceBytes) -> bool:
        """Return whether no device has to give more than it has free.

        A GPU of which nothing is wanted does not matter, however little it has. Main memory always
        does: whatever a model computes on, its worker is there.
        """
        if self.main > free.main:
            return False
        return not self.gpus or all(
            size <= 0 or size <= free.gpus.get(name, free.rest) for name, size in self.gpus.items()
        )

    def beyond(self, free: DeviceBytes) -> DeviceBytes:
        """Return by how much this is more than ``free``, on each device; nowhere below 0.

        As in :meth:`fits_within`, a GPU of which nothing is wanted lacks nothing.
        """
        main, rest = max(0, self.main - free.main), max(0, self.rest - free.rest)
        if not self.gpus:
            return DeviceBytes(main, None, rest)
        # Named also where it is 0: without its name, a GPU of which nothing is free has the rest.
        gpus = {
            name: max(0, size - free.on(name)) if size > 0 else 0
            for name, size in self.gpus.items()
        }
        return DeviceBytes(main, gpus, rest)

    def within(self, most: DeviceBytes) -> int:
        """Return how many of these bytes there can be if no device has more than ``most``."""
        return int(sum(min(size, max(0, most.on(name))) for name, size in self.items()))

    def positive(self) -> DeviceBytes:
        """Return this with 0 wherever it is less."""
        if not self.gpus:
            return DeviceBytes(max(0, self.main), None, max(0, self.rest))
        gpus = {name: max(0, size) for name, size in self.gpus.items()}
        return DeviceBytes(max(0, self.main), gpus, max(0, self.rest))

    def larger(self, other: DeviceBytes) -> DeviceBytes:
        """Return the larger of both on each device."""
        return self._with(other, max)

    def times(self, factor: float) -> DeviceBytes:
        """Return so many times as much on each device."""
        gpus = {name: size * factor for name, size in self.gpus.items()}
        return DeviceBytes(self.main * factor, gpus, self.rest * factor)

    def __add__(self, other: DeviceBytes) -> DeviceBytes:
        """Return what both are together, on each device."""
        return self._with(other, _sum)

    def __sub__(self, other: DeviceBytes) -> DeviceBytes:
        """Return what is left of this without ``other``; below 0 where that is more."""
        return self._with(other, _difference)

    def __bool__(self) -> bool:
        """Return whether there is anything on any device."""
        return bool(self.main or self.rest or any(self.gpus.values()))

    def __eq__(self, other: object) -> bool:
        """Return whether all devices have the same bytes, named or not."""
        if not isinstance(other, DeviceBytes):
            return NotImplemented
        names = {*self.gpus, *other.gpus}
        return (self.main, self.rest) == (other.main, other.rest) and all(
            self.on(name) == other.on(name) for name in names
        )

    def __hash__(self) -> int:
        """Return what equal values have in common; they may name different devices."""
        return hash((self.main, self.rest))

    def __deepcopy__(self, memo: dict[int, object]) -> DeviceBytes:
        """Return this: nobody changes it."""
        return self

    def __repr__(self) -> str:
        """Return the devices and their bytes."""
        return f"DeviceBytes({dict(self.items())}, rest={self.rest})"

    def _with(self, other: DeviceBytes, made: Callable[[float, float], float]) -> DeviceBytes:
        main, rest = made(self.main, other.main), made(self.rest, other.rest)
        if not self.gpus and not other.gpus:
            return DeviceBytes(main, None, rest)
        names = dict.fromkeys((*self.gpus, *other.gpus))
        gpus = {name: made(self.on(name), other.on(name)) for name in names}
        return DeviceBytes(main, gpus, rest)


def _sum(one: float, other: float) -> float:
    return one + other


def _difference(one: float, other: float) -> float:
    return one - other


NOTHING: Final = DeviceBytes()
UNLIMITED: Final = DeviceBytes(math.inf, None, math.inf)
