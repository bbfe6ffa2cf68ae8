# SPDX-License-Identifier: GPL-3.0-only
"""The command of the good plugin."""

import click


@click.command("greet")
@click.argument("name")
@click.option("--code", type=int, default=0, help="how to end")
def command(name: str, code: int) -> int:
    """Greet NAME."""
    click.echo(f"Hello, {name}.")
    return code


@click.command("talk")
def talk() -> str:
    """Return what is no exit code, as a command may that knows click alone."""
    return "a word"


not_a_command = "hello"
