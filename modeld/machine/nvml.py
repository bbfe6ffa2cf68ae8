# SPDX-License-Identifier: GPL-3.0-only
"""Reads the memory of NVIDIA's GPUs, where the package ``nvidia-ml-py`` is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class NvidiaGpu(NamedTuple):
    """One GPU by the driver's name for it, with its memory in bytes."""

    uuid: str
    size_bytes: int
    used_bytes: int


def nvidia_gpus(
    load: Callable[[str], Any] = importlib.import_module,
) -> Sequence[NvidiaGpu] | None:
    """Return all GPUs that the driver tells of; ``None`` where nobody can be asked."""
    try:
        nvml = load("pynvml")
        nvml.nvmlInit()
    except Exception:  # noqa: BLE001  (it is not there, or finds no driver)
        return None
    try:
        handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
        return [_gpu(nvml, handle) for handle in handles]
    except nvml.NVMLError:
        return None
    finally:
        nvml.nvmlShutdown()


def visible(gpus: Sequence[NvidiaGpu], chosen: str | None) -> Sequence[NvidiaGpu] | None:
    """Return those that ``CUDA_VISIBLE_DEVICES`` leaves; ``None`` where it names what is not known.

    It names them by their position in the list or by the beginning of their UUID, and what follows
    a name that is none is left out, as the driver does it.
    """
    if chosen is None:
        return gpus
    found = []
    for name in filter(None, (part.strip() for part in chosen.split(","))):
        if name.startswith("MIG-"):
            return None
        if name.isdecimal():
            matches = gpus[int(name) : int(name) + 1]
        else:
            matches = [gpu for gpu in gpus if gpu.uuid.startswith(name)]
        if len(matches) != 1:
            break
        found.append(matches[0])
    return found


def _gpu(nvml: Any, handle: Any) -> NvidiaGpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    uuid = nvml.nvmlDeviceGetUUID(handle)
    text = uuid.decode() if isinstance(uuid, bytes) else str(uuid)
    return NvidiaGpu(text, int(memory.total), int(memory.used))
