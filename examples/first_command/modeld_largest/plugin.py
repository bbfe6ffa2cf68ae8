# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds by entry point: the name of the command, and where it is."""

from collections.abc import Iterable

from modeld import Command, hookimpl


@hookimpl
def modeld_register_commands() -> Iterable[Command]:
    """Bring `modeld largest`."""
    return [
        Command(
            name="largest",
            summary="Print the largest model files of a folder.",
            target="modeld_largest.command:command",
        )
    ]
