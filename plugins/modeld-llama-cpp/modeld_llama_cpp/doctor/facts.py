# SPDX-License-Identifier: GPL-3.0-only
"""What workers tell the doctor. Both sides import it, so it loads no runtime."""

from __future__ import annotations

from modeld.values import Value


class Device(Value, frozen=True, kw_only=True):
    """One device that ggml can compute on; ``kind`` is ``cpu``, ``gpu`` or ``accelerator``."""

    name: str
    description: str
    kind: str
    memory_bytes: int


class Build(Value, frozen=True, kw_only=True):
    """What the library says of itself. ``features`` are the instructions it was compiled for."""

    binding: str
    version: str
    ggml: str
    features: tuple[str, ...]
    can_offload: bool
    can_map: bool
    can_lock: bool
    devices: tuple[Device, ...] = ()


class Samples(Value, frozen=True, kw_only=True):
    """Tokens per second of one number of threads, round by round; ``written`` may be empty."""

    threads: int
    read: tuple[float, ...]
    written: tuple[float, ...]


class Measured(Value, frozen=True, kw_only=True):
    """All samples. ``threads`` and ``threads_batch`` are the numbers that the options mean.

    ``others`` is how many processors' time other programs took meanwhile.
    """

    threads: int
    threads_batch: int
    prompt_tokens: int
    others: float
    samples: tuple[Samples, ...]
