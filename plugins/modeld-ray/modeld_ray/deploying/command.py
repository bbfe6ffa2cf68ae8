# SPDX-License-Identifier: GPL-3.0-only
"""``modeld ray``: a cluster from the command line."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from modeld import Settings, read_settings
from modeld.errors import ConfigurationError
from modeld.settings.file import read_file
from modeld_ray.deploying.serve_config import address_of, as_yaml, serve_config
from modeld_ray.settings import RaySettings

_CONFIG = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="settings file of the whole cluster; default: that of MODELD_CONFIG",
)
_ADDRESS = click.option(
    "--address",
    metavar="HOST:PORT",
    default="auto",
    show_default=True,
    help="the head of a cluster of Ray; auto: the one that this machine is part of",
)


@click.group("ray")
def command() -> None:
    """Serve from many machines, with Ray.

    The machines form a cluster with `ray start`; modeld then runs on all of them behind the same
    HTTP API. Settings of the cluster stand under `ray` in the settings file.
    """


@command.command("up")
@_CONFIG
@_ADDRESS
@click.option(
    "--wait-s",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=300.0,
    show_default=True,
    help="longest time until it serves",
)
def up(*, config: str | None, address: str, wait_s: float) -> int:
    """Serve on a cluster of Ray that runs, or change what is served there.

    It returns when requests are answered. The models' files are at the same path on all machines.

    \b
    Examples:
      ray start --head && modeld ray up
      modeld ray up --config cluster.yaml --address 192.0.2.10:6379
    """
    document, settings = _read(config)
    path = config or os.environ.get("MODELD_CONFIG", "")
    if path and not settings.of(RaySettings).settings_file:
        own = {**document.get("ray", {}), "settings_file": os.fspath(Path(path).absolute())}
        document = {**document, "ray": own}
    host, port = address_of(settings)
    _control().up(address, document, host, port, wait_s)
    click.echo(f"modeld serves at http://{host}:{port} on every node")
    return 0


@command.command("status")
@_ADDRESS
def status(*, address: str) -> int:
    """Show the hosts of the cluster, and what each of them holds."""
    for line in _control().status(address):
        click.echo(line)
    return 0


@command.command("down")
@_ADDRESS
def down(*, address: str) -> int:
    """Take modeld off the cluster; requests that run may end. Ray itself goes on."""
    _control().down(address)
    click.echo("modeld is off the cluster; `ray stop` on a machine ends Ray there")
    return 0


@command.command("config")
@_CONFIG
@click.option(
    "--output", metavar="FILE", type=click.Path(dir_okay=False), help="write it there, not here"
)
def config(*, config: str | None, output: str | None) -> int:
    """Write the file for `serve deploy`, and for KubeRay's serveConfigV2.

    \b
    Examples:
      modeld ray config --config cluster.yaml --output serve.yaml
      serve deploy serve.yaml
    """
    text = as_yaml(serve_config(*_read(config)))
    if output is None:
        click.echo(text, nl=False)
    else:
        try:
            Path(output).write_text(text)
        except OSError as exc:
            raise ConfigurationError(f"{output}: cannot be written: {exc.strerror}") from exc
    return 0


def _read(config: str | None) -> tuple[Mapping[str, Any], Settings]:
    """Return the settings as they are written, and as they are understood.

    Raises:
        ConfigurationError: they cannot be used, on any machine of the cluster.
    """
    settings = read_settings(config)
    path = config or os.environ.get("MODELD_CONFIG", "")
    return read_file(path) if path else {}, settings


def _control() -> Any:
    """Return what controls a cluster.

    Raises:
        ConfigurationError: Ray is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigurationError("Ray is not installed; pip install modeld[ray]")
    from modeld_ray.deploying import control  # noqa: PLC0415  (Ray takes a second)

    return control
