# SPDX-License-Identifier: GPL-3.0-only
"""What a wire dialect is made of; ``modeld_register_dialects`` brings one."""

from modeld.dialects.dialect import (
    Call,
    Dialect,
    DialectRoute,
    GenerationRoute,
    PlainRoute,
    UnaryRoute,
)
from modeld.dialects.encoder import Encoder, StreamEncoder, WholeEncoder
from modeld.dialects.whole_response import JSON, WholeResponse, listing, retry_headers

__all__ = [
    "JSON",
    "Call",
    "Dialect",
    "DialectRoute",
    "Encoder",
    "GenerationRoute",
    "PlainRoute",
    "StreamEncoder",
    "UnaryRoute",
    "WholeEncoder",
    "WholeResponse",
    "listing",
    "retry_headers",
]
