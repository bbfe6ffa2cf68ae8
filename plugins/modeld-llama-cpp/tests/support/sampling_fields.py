# SPDX-License-Identifier: GPL-3.0-only
"""Fields of a request as the value that reaches the engine."""

from __future__ import annotations

from typing import Any

from modeld_llama_cpp.sampling.llama_sampling import LlamaSampling

from modeld import Sampling


def sampling_of(**fields: Any) -> Sampling:
    """Return what every engine knows where it stands, and what llama.cpp adds as its own."""
    own = {name: fields.pop(name) for name in LlamaSampling.__struct_fields__ if name in fields}
    return Sampling(**fields, own=own)
