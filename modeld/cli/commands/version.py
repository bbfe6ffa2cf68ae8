# SPDX-License-Identifier: GPL-3.0-only
"""``modeld version``: what is installed, for a bug report."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata

import click


@click.command("version")
def command() -> int:
    """Print the versions of modeld, its plugins, their runtimes and Python.

    \b
    Example:
      modeld version
    """
    click.echo(f"modeld {metadata.version('modeld')}")
    for name in _plugin_distributions():
        click.echo(f"{name} {metadata.version(name)}")
        for requirement, version in _requirements(name):
            click.echo(f"  {requirement} {version}")
    click.echo(f"Python {platform.python_version()} ({platform.python_implementation()})")
    click.echo(f"{platform.system()} {platform.release()} {platform.machine()}")
    return 0


def _plugin_distributions() -> list[str]:
    found = {entry.dist.name for entry in metadata.entry_points(group="modeld") if entry.dist}
    return sorted(found - {"modeld"})


def _requirements(distribution: str) -> Iterator[tuple[str, str]]:
    """Return what a plugin is built on, as far as it is installed."""
    for requirement in metadata.requires(distribution) or ():
        name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
        if name == "modeld" or "extra ==" in requirement:
            continue
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, "is missing"
