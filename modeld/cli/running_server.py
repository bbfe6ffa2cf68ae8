# SPDX-License-Identifier: GPL-3.0-only
"""What a server that runs says of its plugins."""

from __future__ import annotations

from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

import msgspec

from modeld.errors import ConfigurationError, ModeldError
from modeld.httpapi.access.keys import keys_in
from modeld.terminal import visible
from modeld.values import PluginStatus, Value

TIMEOUT_S: Final = 10.0
"""How long a server may take to say it; one that is busy with models says it at once."""

MOST_BYTES: Final = 16 << 20
_SHOWN: Final = 200


class _List(Value, frozen=True, kw_only=True):
    plugins: tuple[PluginStatus, ...]


def plugins_of(url: str, api_key_file: str) -> Sequence[PluginStatus]:
    """Return the plugins of the server at ``url``, with what has gone wrong since its start.

    Raises:
        ConfigurationError: the address is none, or the file has no key.
        ModeldError: the server cannot be asked, or has refused.
    """
    address = urlsplit(url)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise ConfigurationError(f"--server: {url!r} is no address like http://127.0.0.1:8080")
    headers = {"Accept": "application/json"}
    if api_key_file:
        headers["Authorization"] = f"Bearer {keys_in(api_key_file)[0].decode('latin-1')}"
    try:
        connection = (HTTPSConnection if address.scheme == "https" else HTTPConnection)(
            address.hostname, address.port, timeout=TIMEOUT_S
        )
        connection.request("GET", f"{address.path.rstrip('/')}/plugins", headers=headers)
        response = connection.getresponse()
        status, body = response.status, response.read(MOST_BYTES)
        connection.close()
    except (OSError, HTTPException, ValueError) as exc:
        raise ModeldError(f"{url} cannot be asked for its plugins: {exc}") from exc
    if status != 200:
        said = visible(body[:_SHOWN].decode(errors="replace"))
        raise ModeldError(f"{url} has refused to list its plugins: {status}: {said}")
    try:
        return msgspec.json.decode(body, type=_List).plugins
    except msgspec.DecodeError as exc:
        raise ModeldError(f"{url} has listed no plugins: {exc}") from exc
