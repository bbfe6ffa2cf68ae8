# SPDX-License-Identifier: GPL-3.0-only
"""Decides which clients may share cached prompts."""

from __future__ import annotations

import hashlib

from starlette.types import Scope

from modeld.errors import ConfigurationError
from modeld.httpapi.keys import Keys, offered_key

_PURPOSE = b"modeld cache salt 1"


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
        self._per_key = per_key

    def of(self, scope: Scope, own: str) -> str:
        """The salt for a request that has passed the gate; the key cannot be found from it."""
        if not self._per_key:
            return own
        key = hashlib.sha256(offered_key(scope) or b"").digest()
        return hashlib.sha256(_PURPOSE + key + own.encode()).hexdigest()
