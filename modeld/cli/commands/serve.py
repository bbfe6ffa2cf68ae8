# SPDX-License-Identifier: GPL-3.0-only
"""``modeld serve``: the server, from its settings to its exit code."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from modeld.cli import logs
from modeld.cli.output import OutputError
from modeld.cli.params import SettingsCommand, as_yaml, reader, resolved, settings_options
from modeld.plugins.host import PluginHost
from modeld.settings import Settings

if TYPE_CHECKING:
    from modeld.httpapi.app import ModeldApp

_PROMPT = "The capital of France is"
_UNIX = "unix:"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

log = logging.getLogger("modeld.serve")


@click.command("serve", cls=SettingsCommand)
@click.option("--show-config", is_flag=True, help="print every setting with its origin, and stop")
@settings_options()
def command(*, show_config: bool, **given: Any) -> int:
    """Serve models over HTTP until SIGTERM or Ctrl-C.

    Every setting is an option here, a MODELD_* variable and a key in a settings file. An option
    wins over the variable, that over the file, that over the default.

    The first signal lets running requests finish while new ones are refused; the second ends them.
    SIGHUP to a server without a terminal reads the settings file again.
    Exit codes: 0 stopped as asked, 1 stopped by force, 2 wrong settings, 3 could not start (the
    port is taken, for example), 70 a fault of modeld.

    \b
    Examples:
      modeld serve --models-dir ~/models/llm --memory-budget-mb 20000
      modeld serve --config modeld.yaml --log-format json
      modeld serve --show-config > modeld.yaml   a settings file to begin with
    """
    result = resolved(given)
    if show_config:
        click.echo("\n".join(as_yaml(result)))
        return 0
    settings = result.settings
    logs.configure(settings, sys.stderr)
    for warning in result.warnings:
        log.warning("%s", warning)
    return _serve(settings, reader(given, result))


def _serve(settings: Settings, read: Callable[[], Settings]) -> int:
    """Serve until the end, and return the exit code; ``read`` returns the settings of a reload."""
    # The web stack takes longer to import than everything else; help and completion need none.
    from modeld.httpapi.app import create_app  # noqa: PLC0415
    from modeld.httpapi.server.address import parse_addr  # noqa: PLC0415
    from modeld.httpapi.server.server import serve  # noqa: PLC0415

    trusted = trusted_hosts(str(parse_addr(settings.addr)), settings)
    plugins = PluginHost.discover(settings)
    if not plugins.backends:
        log.warning(
            "no backend is installed, or all are blocked or broken (`modeld plugins` tells), so no"
            " model can be loaded; for GGUF models: pip install modeld[llama]"
        )
    app = create_app(settings, plugins, trusted_hosts=trusted, read=read)
    app.reloading.on_change = lambda changed: logs.set_level(changed.log_level)
    return serve(
        app,
        settings,
        announce=_announcer(settings, app),
        notify=plugins.notify,
        reload=app.reloading.reload,
    )


def trusted_hosts(address: str, settings: Settings) -> tuple[str, ...] | None:
    """Return the names that requests may address the server by; ``None`` where any will do.

    A page that a browser has from elsewhere can make its own name point to this machine, and
    would then be let in by a server that listens on loopback and asks for no key. A socket of
    systemd counts as one on loopback, because it needs a key where other machines reach it.
    """
    if settings.trusted_hosts:
        return settings.trusted_hosts
    host = address.rpartition(":")[0].strip("[]")
    if settings.api_key_file:
        return None
    if "LISTEN_FDS" in os.environ:
        return None if settings.insecure_no_auth else _LOOPBACK
    is_loopback = host in _LOOPBACK or host.startswith("127.")
    return (*_LOOPBACK, host) if is_loopback else None


def _announcer(settings: Settings, app: ModeldApp) -> Callable[[str], Awaitable[None]]:
    """Return how to say where requests are answered: to a person, or as a line of the log."""

    async def announce(url: str) -> None:
        clients = base_urls(url, settings, app.base_paths)
        if settings.log_format == "json":
            log.info("serving at %s", url, extra={"url": url, "base_urls": clients})
            return
        specs = await app.service.models()
        usable = [spec.id for spec in specs if spec.problem is None and not spec.preset_of]
        try:
            click.echo(f"modeld serves at {url}; try this in another terminal:")
            click.echo(f"  {example(url, settings, usable)}")
            socket = " through the socket" if url.startswith(_UNIX) else ""
            for name, base_url in clients.items():
                click.echo(f"base URL for {name} clients{socket}: {base_url}")
        except (OSError, OutputError) as exc:
            log.warning("modeld serves at %s, but %s", url, exc)

    return announce


def base_urls(url: str, settings: Settings, base_paths: Mapping[str, str]) -> dict[str, str]:
    """Return the base URL for the clients of each dialect, with a name that the server answers to.

    Behind a unix socket only the path and that name have a meaning.
    """
    address = urlsplit("http://localhost" if url.startswith(_UNIX) else url)
    host, names = address.hostname or "", settings.trusted_hosts
    if names and host not in names:
        host = names[0].strip("[]")
    root = f"http://[{host}]" if ":" in host else f"http://{host}"
    if address.port:
        root += f":{address.port}"
    return {name: f"{root}{path}" for name, path in base_paths.items()}


def example(url: str, settings: Settings, usable: Sequence[str]) -> str:
    """Return a curl command to paste: a generation, or the list of models to choose from."""
    curl = "curl -N"
    if url.startswith(_UNIX):
        curl += f" --unix-socket {shlex.quote(url.removeprefix(_UNIX))}"
        url = "http://localhost"
    if settings.api_key_file:
        keys = shlex.quote(str(Path(settings.api_key_file).expanduser()))
        # Lines that begin with # are comments.
        curl += f""" -H "Authorization: Bearer $(grep -m 1 '^[^#]' {keys})\""""
    names = settings.trusted_hosts
    if names and urlsplit(url).hostname not in names:
        curl += f" -H {shlex.quote(f'Host: {names[0]}')}"
    url = shlex.quote(url)  # brackets of an IPv6 address are a pattern in zsh
    default = settings.default_model
    if not usable or (not default and len(usable) > 1):
        return f"{curl} {url}/models"
    body: dict[str, Any] = {"prompt": _PROMPT, "max_tokens": 32}
    if default and default not in usable:
        body = {"model": usable[0]} | body
    data = shlex.quote(json.dumps(body))
    return f"{curl} {url}/infer -H 'Content-Type: application/json' -d {data}"
