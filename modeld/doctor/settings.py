# SPDX-License-Identifier: GPL-3.0-only
"""The settings: where they come from, who can read them, and who can reach the server."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modeld.doctor.report import error, ok, warning
from modeld.errors import ConfigurationError
from modeld.httpapi.access.keys import Keys
from modeld.httpapi.app import create_app
from modeld.httpapi.server.address import TcpAddress, UnixAddress, check_exposure, parse_addr
from modeld.plugins.host import PluginHost
from modeld.settings import Resolved, Settings
from modeld.values import Finding, JsonValue

SHORTEST_KEY: Final = 20
"""Characters of a key below which it may be guessed."""

_MAKE_KEY: Final = "python3 -c 'import secrets; print(secrets.token_urlsafe())'"
_SECRET = re.compile(
    rb"\b(?:sk-|hf_|ghp_)\w{8,}|(?:password|passwd|secret|token|api_?key)\s*[\"']?\s*[:=]",
    re.IGNORECASE,
)


def check_origins(resolved: Resolved) -> Iterator[Finding]:
    """Say which settings are not the defaults, and which variables are no settings."""
    changed: dict[str, JsonValue] = {}
    names: dict[str, list[str]] = {}
    for name, where in resolved.origins.items():
        if where != "default":
            changed[name] = where
            names.setdefault(where, []).append(name)
    said = "; ".join(f"{where}: {', '.join(set_there)}" for where, set_there in names.items())
    yield ok("origins", said or "all are the defaults", origins=changed)
    for text in resolved.warnings:
        message = text.removeprefix("environment: ")
        yield warning("environment", message, "unset it, or give it the name of a setting")


def check_config_file(path: Path) -> Iterator[Finding]:
    """Check whether others can change the settings file, or read secrets in it."""
    mode = path.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield warning(
            "settings file",
            f"{path} can be changed by others ({stat.filemode(mode)})",
            f"chmod go-w {path}",
        )
    elif mode & stat.S_IROTH and _SECRET.search(path.read_bytes()):
        yield warning(
            "settings file",
            f"{path} seems to have a key or a password in it, and everybody can read it",
            f"chmod 600 {path}; API keys belong in the file that api_key_file names",
        )
    else:
        yield ok("settings file", str(path))


def check_keys(settings: Settings) -> Iterator[Finding]:
    """Check whether the file with the API keys is there, has keys, and is nobody else's to read."""
    if not settings.api_key_file:
        return
    path = Path(settings.api_key_file).expanduser()
    try:
        Keys.from_file(settings.api_key_file)
    except ConfigurationError as exc:
        fix = f"umask 077; {_MAKE_KEY} >> {path}"
        if path.exists() and not os.access(path, os.R_OK):
            fix = f"let the user that runs the server read it: chown USER {path}; chmod 600 {path}"
        yield error("api keys", exc.message, fix)
        return
    lines = [line.strip() for line in path.read_bytes().splitlines()]
    keys = [line for line in lines if line and not line.startswith(b"#")]
    yield ok("api keys", f"{len(keys)} in {path}", keys=len(keys))
    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield warning(
            "api keys",
            f"others than the owner may use {path} ({stat.filemode(mode)})",
            f"chmod 600 {path}",
        )
    if short := sum(len(key) < SHORTEST_KEY for key in keys):
        yield warning(
            "api keys",
            f"{short} of {len(keys)} keys are shorter than {SHORTEST_KEY} characters",
            f"make keys with: {_MAKE_KEY}",
        )


def check_reach(settings: Settings) -> Iterator[Finding]:
    """Check whether other machines can reach the server, and what protects it."""
    try:
        check_exposure(settings)
        address = parse_addr(settings.addr)
    except ConfigurationError as exc:
        message, _, fix = exc.message.partition("; ")
        yield error("reach", message, fix)
        return
    match address:
        case UnixAddress(path=path):
            yield ok("reach", f"the unix socket {path}; the umask decides who may use it")
        case TcpAddress(host=host) if settings.api_key_file:
            yield ok("reach", f"{host}, with an API key")
        case TcpAddress(host=host) if _needs_leave(settings):
            yield warning(
                "reach",
                f"everybody who reaches {host} may use the server, without a key",
                "set api_key_file and leave insecure_no_auth out",
            )
        case TcpAddress(host=host):
            yield ok("reach", f"{host}: this machine only")


def check_application(settings: Settings, plugins: PluginHost) -> Iterator[Finding]:
    """Check what the server itself checks before it starts, by making its application.

    Nothing of it is started. The plugins are asked for their routes and dialects meanwhile, and are
    this application's from then on.
    """
    try:
        create_app(settings, plugins)
    except ConfigurationError as exc:
        if exc.field == "api_key_file":
            return  # the check of the keys says so
        message, _, fix = exc.message.partition("; ")
        yield error("application", message, fix or "change the setting that this names")


def _needs_leave(settings: Settings) -> bool:
    """Return whether the server would not start without ``insecure_no_auth``."""
    try:
        check_exposure(Settings(addr=settings.addr))
    except ConfigurationError:
        return True
    return False
