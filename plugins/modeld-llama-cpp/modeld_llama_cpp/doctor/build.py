# SPDX-License-Identifier: GPL-3.0-only
"""What this build of llama.cpp is and can do. Runs in a worker: it loads the library."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator, Mapping
from typing import Final

import llama_cpp
import msgspec
from llama_cpp import llama_cpp as binding

from modeld import ModelSpec
from modeld.values import JsonValue
from modeld_llama_cpp.doctor.facts import Build, Device
from modeld_llama_cpp.native import library

_CPU: Final = re.compile(r"\bCPU : (.*?)(?: \| \w+ : |$)")
_ON: Final = re.compile(r"(\w+) = 1\b")
_KINDS: Final = {0: "cpu", 1: "gpu", 2: "gpu", 3: "accelerator"}
"""ggml's numbers for kinds of devices; 2 is a GPU that is part of the processor."""


def read(_spec: ModelSpec, _options: Mapping[str, object]) -> JsonValue:
    """Return a :class:`Build` as plain data. No model is loaded."""
    llama_cpp.llama_backend_init()
    built = Build(
        binding=llama_cpp.__version__,
        version=library.said("llama_version") or "unknown",
        ggml=" ".join(filter(None, (library.said("ggml_version"), library.said("ggml_commit"))))
        or "unknown",
        features=features(llama_cpp.llama_print_system_info().decode(errors="replace")),
        can_offload=bool(llama_cpp.llama_supports_gpu_offload()),
        can_map=bool(llama_cpp.llama_supports_mmap()),
        can_lock=bool(llama_cpp.llama_supports_mlock()),
        devices=tuple(_devices()),
    )
    plain: JsonValue = msgspec.to_builtins(built)
    return plain


def features(system_info: str) -> tuple[str, ...]:
    """Return the instruction sets in llama.cpp's text, such as ``CPU : AVX = 1 | AVX2 = 1 | ``."""
    found = _CPU.search(system_info)
    return tuple(_ON.findall(found[1])) if found else ()


def _devices() -> Iterator[Device]:
    """Yield ggml's devices; none where the library does not export the functions."""
    library = binding._lib  # noqa: SLF001  (the binding has no names for them)
    try:
        count, get, name, description, kind, memory = (
            getattr(library, f"ggml_backend_dev_{verb}")
            for verb in ("count", "get", "name", "description", "type", "memory")
        )
    except AttributeError:
        return
    count.restype = ctypes.c_size_t
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    for function in (name, description):
        function.restype, function.argtypes = ctypes.c_char_p, [ctypes.c_void_p]
    kind.restype, kind.argtypes = ctypes.c_int, [ctypes.c_void_p]
    size = ctypes.POINTER(ctypes.c_size_t)
    memory.restype, memory.argtypes = None, [ctypes.c_void_p, size, size]
    for index in range(count()):
        device = get(index)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        memory(device, ctypes.byref(free), ctypes.byref(total))
        yield Device(
            name=name(device).decode(errors="replace"),
            description=description(device).decode(errors="replace").strip(),
            kind=_KINDS.get(kind(device), "other"),
            memory_bytes=total.value,
        )
