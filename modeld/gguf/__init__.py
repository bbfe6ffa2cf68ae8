# SPDX-License-Identifier: GPL-3.0-only
"""What the header of a GGUF file says, for sources of models; no weights are read."""

from modeld.gguf.cursor import GgufCutError, GgufError, GgufUnreadableError
from modeld.gguf.header import GgufHeader, read_header

__all__ = ["GgufCutError", "GgufError", "GgufHeader", "GgufUnreadableError", "read_header"]
