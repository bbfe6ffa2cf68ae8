# SPDX-License-Identifier: GPL-3.0-only
"""``modeld run``: a generation or a chat in the terminal, without a server."""

from modeld.cli.commands.run.command import command

__all__ = ["command"]
