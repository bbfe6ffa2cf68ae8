# SPDX-License-Identifier: GPL-3.0-only
"""API keys: read once from a file, kept as hashes, compared in constant time.

:class:`CacheSalt` keeps the cached prompts of different keys apart.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from pathlib import Path

from starlette.types import Scope

from modeld.errors import ConfigurationError, UnauthorizedError

_SALT_PURPOSE = b"modeld cache salt 1"
_CALLER_PURPOSE = b"modeld caller 1"


class Keys:
    """The keys that open this server. Without any, it is open to all who can reach it."""

    def __init__(self, keys: Iterable[bytes] = ()) -> None:
        self._digests = _digests(keys)

    @classmethod
    def from_file(cls, name: str) -> Keys:
        """Return the keys in a file, one per line, without empty lines and those that begin with #.

        Raises:
            ConfigurationError: the file cannot be read, or has no key.
        """
        return cls(keys_in(name))

    def __bool__(self) -> bool:
        return bool(self._digests)

    def replace(self, keys: Iterable[bytes]) -> bool:
        """Let these keys open the server and no others; return whether they are other ones."""
        before, self._digests = self._digests, _digests(keys)
        return before != self._digests

    def check(self, scope: Scope) -> None:
        """Let a request pass that carries one of the keys.

        Raises:
            UnauthorizedError: it carries none, or a wrong one.
        """
        if not self._digests or self.known(scope) is not None:
            return
        if not _offered(scope):
            raise UnauthorizedError("an API key is needed: send Authorization: Bearer KEY")
        raise UnauthorizedError("the API key is not known to this server")

    def known(self, scope: Scope) -> bytes | None:
        """Return the first of the keys in a request that opens this server, if one does.

        Some clients send two headers, one of which is for another server.
        """
        return next((key for key in _offered(scope) if self._opens(key)), None)

    def caller_of(self, scope: Scope) -> str:
        """Return what tells callers apart without giving keys away; nothing where one has none.

        Where this server has no keys, what a caller sends as one counts all the same.
        """
        key = self.known(scope) if self else next(iter(_offered(scope)), None)
        return "" if key is None else hashlib.sha256(_CALLER_PURPOSE + key).hexdigest()

    def _opens(self, key: bytes) -> bool:
        digest = hashlib.sha256(key).digest()
        # All are compared, so that the time does not tell which one was close.
        return any([hmac.compare_digest(digest, each) for each in self._digests])  # noqa: C419


def _digests(keys: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(hashlib.sha256(key).digest() for key in keys)


def keys_in(name: str) -> list[bytes]:
    """Return the keys in a file, one at least.

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
    return keys


class CacheSalt:
    """Makes the salt of a request from its own and, with ``per_key``, from its API key.

    Raises:
        ConfigurationError: ``per_key`` is asked for where no key tells one client from another.
    """

    def __init__(self, keys: Keys, *, per_key: bool) -> None:
        if per_key and not keys:
            raise ConfigurationError(
                "cache_per_key: without keys all clients are one; set api_key_file too",
                field="cache_per_key",
            )
        self._keys = keys
        self._per_key = per_key

    def of(self, scope: Scope, own: str) -> str:
        """Return the salt of a request that has passed the gate; it does not give the key away."""
        if not self._per_key:
            return own
        key = hashlib.sha256(self._keys.known(scope) or b"").digest()
        return hashlib.sha256(_SALT_PURPOSE + key + own.encode()).hexdigest()


def _offered(scope: Scope) -> list[bytes]:
    """Return the keys that a request carries, right or wrong."""
    keys: list[bytes] = []
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.strip().partition(b" ")
            if scheme.lower() == b"bearer" and key:
                keys.append(bytes(key.strip()))
        elif name == b"x-api-key" and value:
            keys.append(bytes(value.strip()))
    return keys
