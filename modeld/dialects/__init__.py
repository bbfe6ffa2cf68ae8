# SPDX-License-Identifier: GPL-3.0-only
"""What a wire dialect is made of; ``modeld_register_dialects`` brings one."""

from modeld.dialects.dialect import (
    BodyRoute,
    Call,
    Dialect,
    DialectRoute,
    GenerationRoute,
    Load,
    PlainRoute,
    UnaryRoute,
    Unload,
    Wanted,
)
from modeld.dialects.encoder import Encoder, StreamEncoder, WholeEncoder
from modeld.dialects.whole_response import JSON, WholeResponse, listing, retry_headers

__all__ = [
    "JSON",
    "BodyRoute",
    "Call",
    "Dialect",
    "DialectRoute",
    "Encoder",
    "GenerationRoute",
    "Load",
    "PlainRoute",
    "StreamEncoder",
    "UnaryRoute",
    "Unload",
    "Wanted",
    "WholeEncoder",
    "WholeResponse",
    "listing",
    "retry_headers",
]
