# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds by entry point: the settings and the command. Ray is not imported for it."""

from __future__ import annotations

from collections.abc import Iterable

from modeld import Command, hookimpl
from modeld_ray.settings import RaySettings


@hookimpl
def modeld_register_settings() -> type[RaySettings]:
    """Return the settings, which stand under ``ray``."""
    return RaySettings


@hookimpl
def modeld_register_commands() -> Iterable[Command]:
    """Return ``modeld ray``."""
    return [
        Command(
            name="ray",
            summary="Serve from many machines with Ray: up, status, down, config.",
            target="modeld_ray.deploying.command:command",
        )
    ]
