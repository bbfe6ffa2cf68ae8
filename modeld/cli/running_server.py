# SPDX-License-Identifier: GPL-3.0-only
"""Asks a running server for its plugins and its plans."""

from __future__ import annotations

from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import msgspec

from modeld.errors import ConfigurationError, ModeldError
from modeld.httpapi.access.keys import keys_in
from modeld.terminal import visible
from modeld.values import PluginStatus, Value

TIMEOUT_S: Final = 10.0
"""How long a server may take to say it; one that is busy with models says it at once."""

PLAN_TIMEOUT_S: Final = 120.0
"""How long it may take to plan: it may have to measure the models first."""

MOST_BYTES: Final = 16 << 20
_SHOWN: Final = 200

T = TypeVar("T")


class _Plugins(Value, frozen=True, kw_only=True):
    plugins: tuple[PluginStatus, ...]


class _Plans(Value, frozen=True, kw_only=True):
    plans: tuple[dict[str, Any], ...]


def plugins_of(url: str, api_key_file: str) -> Sequence[PluginStatus]:
    """Return the plugins of the server at ``url``, with what has gone wrong since its start.

    Raises:
        ConfigurationError: the address is none, or the file has no key.
        ModeldError: the server cannot be asked, or has refused.
    """
    return _asked(url, api_key_file, "plugins", _Plugins).plugins


def plans_of(url: str, api_key_file: str, models: Sequence[str]) -> Sequence[dict[str, Any]]:
    """Return what requests for these models would bring about at the server at ``url``.

    Raises:
        ConfigurationError: the address is none, or the file has no key.
        ModeldError: the server cannot be asked, or has refused.
    """
    body = msgspec.json.encode({"models": models})
    return _asked(url, api_key_file, "plan", _Plans, body).plans


def _asked(
    url: str,
    api_key_file: str,
    path: str,
    kind: type[T],
    body: bytes | None = None,
) -> T:
    timeout_s = TIMEOUT_S if body is None else PLAN_TIMEOUT_S
    address = urlsplit(url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ConfigurationError(f"--server: {url!r} is no address like http://127.0.0.1:8080")
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    if api_key_file:
        headers["Authorization"] = f"Bearer {keys_in(api_key_file)[0].decode('latin-1')}"
    try:
        connection = (HTTPSConnection if address.scheme == "https" else HTTPConnection)(
            address.hostname, address.port, timeout=timeout_s
        )
        method = "GET" if body is None else "POST"
        connection.request(method, f"{address.path.rstrip('/')}/{path}", body, headers)
        response = connection.getresponse()
        status, document = response.status, response.read(MOST_BYTES)
        connection.close()
    except (OSError, HTTPException, ValueError) as exc:
        raise ModeldError(f"{url} cannot be asked for its {path}: {exc}") from exc
    if status != 200:
        said = visible(document[:_SHOWN].decode(errors="replace"))
        raise ModeldError(f"{url} has refused to say its {path}: {status}: {said}")
    try:
        return msgspec.json.decode(document, type=kind)
    except msgspec.DecodeError as exc:
        raise ModeldError(f"{url} has not said its {path}: {exc}") from exc
