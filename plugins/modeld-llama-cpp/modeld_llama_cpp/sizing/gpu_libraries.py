# SPDX-License-Identifier: GPL-3.0-only
"""Whether llama.cpp was built for GPUs, without loading it: its files tell."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_KINDS: Final = ("cann", "cuda", "hip", "metal", "musa", "opencl", "sycl", "vulkan")


def is_there(folders: Iterable[Path] | None = None) -> bool:
    """Return whether a library of ggml's for GPUs is in the package, or in ``folders``."""
    looked_at = _folders() if folders is None else folders
    return any(
        path.name.removeprefix("lib").startswith(f"ggml-{kind}")
        for folder in looked_at
        for path in folder.glob("*ggml-*")
        for kind in _KINDS
    )


def _folders() -> list[Path]:
    found = importlib.util.find_spec("llama_cpp")  # finds the package and does not import it
    packages = found.submodule_search_locations if found is not None else None
    return [Path(package) / "lib" for package in packages or ()]
