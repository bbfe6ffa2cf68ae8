# SPDX-License-Identifier: GPL-3.0-only
"""``modeld check``: runs the contracts on an installed plugin."""

from modeld.cli.commands.check.command import command

__all__ = ["command"]
