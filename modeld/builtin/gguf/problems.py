# SPDX-License-Identifier: GPL-3.0-only
"""What a source says of a folder that it cannot read."""

from __future__ import annotations

from modeld import ModeldError


class ModelsFolderError(ModeldError):
    """The models folder is missing or cannot be read; it may come back."""

    code = "models_folder_unavailable"
    retryable = True


def reason_of(fault: OSError | RuntimeError) -> str:
    """Return in words why a folder cannot be read."""
    reason = fault.strerror if isinstance(fault, OSError) else str(fault)
    return str(reason).lower()
