# SPDX-License-Identifier: GPL-3.0-only
"""What llama.cpp's library says of itself, by functions that the binding has no names for."""

from __future__ import annotations

import ctypes

from llama_cpp import llama_cpp as binding


def said(function: str) -> str:
    """Return the text that a function without arguments gives; nothing if there is none."""
    native = getattr(binding._lib, function, None)  # noqa: SLF001  (the binding names it not)
    if native is None:
        return ""
    native.restype = ctypes.c_char_p
    text: bytes | None = native()
    return (text or b"").decode(errors="replace")
