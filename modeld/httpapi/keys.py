# SPDX-License-Identifier: GPL-3.0-only
"""API keys: read once from a file, kept as hashes, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from starlette.types import Scope

from modeld.errors import ConfigurationError, UnauthorizedError


class Keys:
    """The keys that open this server. Without any, it is open to all who can reach it."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._digests = tuple(hashlib.sha256(key).digest() for key in keys)

    @classmethod
    def from_file(cls, name: str) -> Keys:
        """The keys in a file, one per line; empty lines and those that begin with # do not count.

        Raises:
            ConfigurationError: the file cannot be read, or has no key.
        """
        try:
            lines = [line.strip() for line in Path(name).expanduser().read_bytes().splitlines()]
        except OSError as exc:
            raise ConfigurationError(
                f"api_key_file: {name} cannot be read: {exc.strerror}", field="api_key_file"
            ) from exc
        keys = [line for line in lines if line and not line.startswith(b"#")]
        if not keys:
            raise ConfigurationError(
                f"api_key_file: {name} has no key; write one per line", field="api_key_file"
            )
        return cls(keys)

    def __bool__(self) -> bool:
        return bool(self._digests)

    def check(self, scope: Scope) -> None:
        """Let a request pass that carries one of the keys.

        Raises:
            UnauthorizedError: it carries none, or a wrong one.
        """
        if not self._digests:
            return
        offered = offered_key(scope)
        if offered is None:
            raise UnauthorizedError("an API key is needed: send Authorization: Bearer KEY")
        digest = hashlib.sha256(offered).digest()
        # All are compared, so that the time does not tell which one was close.
        if not any([hmac.compare_digest(digest, known) for known in self._digests]):  # noqa: C419
            raise UnauthorizedError("the API key is not known to this server")


def offered_key(scope: Scope) -> bytes | None:
    """The key that a request carries, right or wrong."""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.strip().partition(b" ")
            if scheme.lower() == b"bearer" and key:
                return bytes(key.strip())
        elif name == b"x-api-key" and value:
            return bytes(value.strip())
    return None
