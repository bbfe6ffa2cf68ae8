# SPDX-License-Identifier: GPL-3.0-only
"""``modeld completion``: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> int:
    """Print the completion script for SHELL: bash, zsh or fish.

    \b
    Examples:
      eval "$(modeld completion bash)"           in ~/.bashrc
      eval "$(modeld completion zsh)"            in ~/.zshrc
      modeld completion fish > ~/.config/fish/completions/modeld.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root().command
    click.echo(kind(root, {}, "modeld", "_MODELD_COMPLETE").source())
    return 0
