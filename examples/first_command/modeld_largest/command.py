# SPDX-License-Identifier: GPL-3.0-only
"""``modeld largest``: the largest model files of a folder."""

from pathlib import Path

import click


@click.command("largest")
@click.argument("folder", type=click.Path(exists=True, file_okay=False))
@click.option("--count", type=click.IntRange(1), default=3, help="how many")
def command(folder: str, count: int) -> int:
    """Print the largest model files of FOLDER."""
    files = sorted(Path(folder).rglob("*.gguf"), key=lambda file: -file.stat().st_size)
    for file in files[:count]:
        click.echo(f"{file.stat().st_size >> 20} MiB  {file.name}")
    return 0 if files else 1
