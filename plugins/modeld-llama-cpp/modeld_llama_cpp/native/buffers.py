# SPDX-License-Identifier: GPL-3.0-only
"""How much memory a model holds, from what llama.cpp logs while it is loaded.

The log is where llama.cpp tells of each buffer: those on GPUs, and those of a dry run, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from modeld_llama_cpp.native.native_log import LogLine

MIB = 1 << 20

_BUFFER = re.compile(r"(\S+) +(\w+) buffer size = +([0-9.]+) MiB")
_GPU = re.compile(r"(?:CUDA|ROCm|MUSA|CANN|SYCL|Vulkan)(\d+)", re.ASCII)
_OFFLOADED = re.compile(r"offloaded ([0-9]+)/([0-9]+) layers to GPU")
_DEVICE = re.compile(r"using device (\S+) \(.*\) - ([0-9]+) MiB free")
_CACHE = re.compile(r"(?:kv_cache|memory_recurrent)\w*: size = +([0-9.]+) MiB")


class Buffer(NamedTuple):
    """One buffer: ggml's name for the kind of memory it is in, what it is for, and its size."""

    memory: str
    purpose: str
    size_bytes: int

    @property
    def gpu(self) -> str | None:
        """Return the GPU whose own memory it is in, by modeld's name; ``None`` for main memory.

        Buffers of a GPU that are in main memory have other names (``CUDA_Host``), and Metal's are
        in memory that is shared.
        """
        return _gpu(self.memory)

    @property
    def is_mapped(self) -> bool:
        """Return whether it is the file itself."""
        return self.memory.endswith("_Mapped")


def buffers(lines: Sequence[LogLine]) -> Iterator[Buffer]:
    """Yield all buffers that llama.cpp says it has allocated or mapped."""
    for line in lines:
        for memory, purpose, mib in _BUFFER.findall(line.text):
            yield Buffer(memory, purpose, _bytes(mib))


def held_bytes(lines: Sequence[LogLine], weights_bytes: int) -> int:
    """Return the sum of all buffers, where ``weights_bytes`` is what all tensors take together.

    A file is mapped from its first used byte to its last. What lies between and was copied
    elsewhere, to be laid out anew for the processor, is not used from the map and not counted
    twice.
    """
    found = list(buffers(lines))
    model = [buffer for buffer in found if buffer.purpose == "model"]
    counted_twice = 0
    if any(buffer.is_mapped for buffer in model):
        copied = sum(buffer.size_bytes for buffer in model if buffer.memory.endswith("_REPACK"))
        # What the buffers have more than the tensors is counted twice, if it was copied at all:
        # weights that are on a GPU too are really there twice.
        counted_twice = min(copied, max(0, _total(model) - weights_bytes))
    return _total(found) - counted_twice


def on_gpus(found: Iterable[Buffer]) -> dict[str, int]:
    """Return what of these buffers is in the memory of which GPU, in bytes."""
    held: dict[str, int] = {}
    for buffer in found:
        if buffer.gpu is not None:
            held[buffer.gpu] = held.get(buffer.gpu, 0) + buffer.size_bytes
    return held


def beside_weights(lines: Sequence[LogLine], grown_bytes: int) -> int:
    """Return what a load of the weights took beside them, if the heap grew by so many bytes.

    That is the vocabulary, of which llama.cpp logs nothing. 0 where a device is in use, whose
    driver takes from the heap as well.
    """
    model = [buffer for buffer in buffers(lines) if buffer.purpose == "model"]
    if not all(buffer.memory.startswith("CPU") for buffer in model):
        return 0
    private = [buffer for buffer in model if not buffer.is_mapped]  # the map is not on the heap
    return max(0, grown_bytes - _total(private))


def cache_bytes(lines: Sequence[LogLine]) -> int:
    """Return what the KV cache and the states of recurrent layers take, allocated or not."""
    return sum(_bytes(mib) for line in lines for mib in _CACHE.findall(line.text))


def free_mb(lines: Sequence[LogLine]) -> dict[str, int]:
    """Return what the GPUs that llama.cpp uses had free, in MiB; nothing of the others."""
    found = (match for line in lines for match in _DEVICE.findall(line.text))
    return {gpu: int(mib) for name, mib in found if (gpu := _gpu(name)) is not None}


def offloaded(lines: Sequence[LogLine]) -> tuple[int, int]:
    """Return how many layers of how many are on GPUs; none of one where nothing is said."""
    for line in lines:
        if found := _OFFLOADED.search(line.text):
            return int(found[1]), int(found[2])
    return 0, 1


def _gpu(name: str) -> str | None:
    found = _GPU.fullmatch(name)
    return f"gpu{int(found[1])}" if found else None


def _bytes(mib: str) -> int:
    return round(float(mib) * MIB)


def _total(found: Sequence[Buffer]) -> int:
    return sum(buffer.size_bytes for buffer in found)
