# SPDX-License-Identifier: GPL-3.0-only
"""The last lines of an engine's runtime, for the log of a server at its default level."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from typing import Final

MAX_LINES: Final = 20
TRACEBACK: Final = "Traceback (most recent call last):"

SHOWN_FRAMES: Final = 6
"""How many calls a traceback shows, the innermost: of these all lines are kept."""

log = logging.getLogger("modeld.worker")


def traceback_of(error: BaseException) -> tuple[str, ...]:
    """Return the last lines of an exception's traceback."""
    text = "".join(traceback.format_exception(error, limit=-SHOWN_FRAMES))
    return tuple(text.encode(errors="backslashreplace").decode().splitlines()[-MAX_LINES:])


def tell(model: str, backend: str | None, lines: Sequence[str]) -> None:
    """Log the last lines of an engine that has died, one record for each, once.

    From where a traceback begins, if there is one: what comes before it was no part of the end.
    """
    lines = lines[-MAX_LINES:]
    if TRACEBACK in lines:
        lines = lines[max(number for number, line in enumerate(lines) if line == TRACEBACK) :]
    of = f"{model!r}, backend {backend!r}" if backend is not None else f"{model!r}"
    for line in lines:
        log.error("last words of %s: %s", of, line)
