# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds by entry point: the command, which is imported when it is run."""

from __future__ import annotations

from collections.abc import Iterable

from modeld import Command, hookimpl


@hookimpl
def modeld_register_commands() -> Iterable[Command]:
    """Return ``modeld bench``."""
    return [
        Command(
            name="bench",
            summary="Measure a server: how fast it streams text, and how long its clients wait.",
            target="modeld_bench.command:command",
        )
    ]
