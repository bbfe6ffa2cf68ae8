# SPDX-License-Identifier: GPL-3.0-only
"""The plugin: one backend. It imports no runtime; the worker does that."""

from __future__ import annotations

from collections.abc import Iterable

from modeld import Backend, hookimpl
from modeld_llama_cpp.backend import LlamaCpp


@hookimpl
def modeld_register_backends() -> Iterable[Backend]:
    """Return the llama.cpp backend."""
    return (LlamaCpp(),)
