# SPDX-License-Identifier: GPL-3.0-only
"""Stops a running ``llama_decode`` from another thread."""

from __future__ import annotations

import ctypes
import platform
import sys

import llama_cpp
from llama_cpp.llama_cpp import ggml_abort_callback

_ABI_KNOWN = sys.platform in {"linux", "darwin"} and platform.machine() in {
    "x86_64",
    "aarch64",
    "arm64",
}


class AbortFlag:
    """One byte that llama.cpp looks at before every node of its graph.

    It asks by calling a function ``bool f(void *data)``, some thousand times a second. A Python
    function there would take the interpreter's lock each time. The C library's ``strlen`` does the
    same work without: over the two bytes ``x 0`` it returns 0 where x is 0 and 1 where it is not,
    and a ``bool`` is read from the register in which it returns. That holds for the calling
    conventions of x86-64 and AArch64; elsewhere, or where the check below fails, nothing is
    attached and a step runs to its end.
    """

    def __init__(self) -> None:
        self._bytes = ctypes.create_string_buffer(2)
        self._function = (
            ctypes.cast(ctypes.CDLL(None).strlen, ggml_abort_callback) if _ABI_KNOWN else None
        )

    def attach(self, context: int) -> bool:
        """Make a context look at the flag, and return whether that is possible here.

        The flag must live for as long as the context, which keeps the address of its bytes.
        """
        if self._function is None or not self._works():
            return False
        llama_cpp.llama_set_abort_callback(context, self._function, self._address)
        return True

    def set(self) -> None:
        """Ask the running decode to stop. May be called from any thread."""
        self._bytes[0] = b"\x01"

    def clear(self) -> None:
        """Let the next decode run."""
        self._bytes[0] = b"\x00"

    @property
    def _address(self) -> ctypes.c_void_p:
        return ctypes.cast(self._bytes, ctypes.c_void_p)

    def _works(self) -> bool:
        results = []
        for put in (self.set, self.clear):
            put()
            results.append(self._function(self._address) if self._function else None)
        return results == [True, False]
