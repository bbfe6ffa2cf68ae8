# SPDX-License-Identifier: GPL-3.0-only
"""Remembers which host had the last turn of a chat, for it has computed its beginning."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Final

import msgspec

from modeld.requests import AnyUnaryRequest, GenerateRequest

MOST: Final = 65_536
"""So many chats are remembered, the latest."""

_CHARACTERS: Final = 1024
_TOKENS: Final = 256


class Chats:
    """The host of each chat by its key; who is not here is found by its key's hash alone."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._hosts: OrderedDict[str, str] = OrderedDict()

    def host_of(self, key: str) -> str:
        """Return the host that had the last turn; empty if that is not known."""
        return self._hosts.get(key, "")

    def note(self, key: str, host: str) -> None:
        """Take note of who has a turn."""
        if key:
            self._hosts[key] = host
            self._hosts.move_to_end(key)
            if len(self._hosts) > self._most:
                self._hosts.popitem(last=False)


def key_of(request: GenerateRequest | AnyUnaryRequest) -> str:
    """Return what is the same for all turns of one chat; empty where nothing is.

    These are the messages up to the first of the user's own, which every later turn sends again,
    or the beginning of a prompt, with the salt, without which nothing is shared.
    """
    if not isinstance(request, GenerateRequest):
        return ""
    if request.messages:
        first = next(
            (number for number, each in enumerate(request.messages) if each.role == "user"), 0
        )
        beginning: object = request.messages[: first + 1]
    elif request.prompt is not None:
        beginning = request.prompt[:_CHARACTERS]
    else:
        beginning = (request.prompt_tokens or ())[:_TOKENS]
    content = msgspec.msgpack.encode((request.cache_salt, beginning))
    return blake2b(content, digest_size=12).hexdigest()
