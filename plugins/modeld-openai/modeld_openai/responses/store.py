# SPDX-License-Identifier: GPL-3.0-only
"""The responses that are kept, in main memory and within a bound."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Final

import msgspec

from modeld.messages import Message

MAX_RESPONSES: Final = 1000
MAX_STORED_BYTES: Final = 64 << 20
"""What all responses together may take, those that they go on from included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """One response, and all that the next one needs to go on from it.

    ``document`` is the response and ``inputs`` are its input items, all as JSON. ``messages`` are
    the chat with the response as its last turn, without the instructions.
    """

    document: bytes
    inputs: tuple[bytes, ...]
    messages: tuple[Message, ...]

    @property
    def context(self) -> tuple[bytes, ...]:
        """Return all items that the next response goes on from."""
        return (*self.inputs, *map(bytes, msgspec.json.decode(self.document, type=_Output).output))

    @property
    def size_bytes(self) -> int:
        """About what it takes. What it shares with the responses before it counts in each."""
        # The chat's texts are those of the items, once more.
        return 2 * (len(self.document) + sum(map(len, self.inputs)))


class _Output(msgspec.Struct):
    """The part of a response that the next one takes as input."""

    output: list[msgspec.Raw]


class ResponseStore:
    """Keeps responses by who has asked for them and by id; what was not used for longest goes.

    Long responses are encoded, and so kept, beside the event loop.
    """

    def __init__(
        self, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_STORED_BYTES
    ) -> None:
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._responses: OrderedDict[tuple[str, str], StoredResponse] = OrderedDict()
        self._size_bytes = 0
        self._lock = Lock()

    def keep(self, caller: str, response_id: str, response: StoredResponse) -> None:
        """Keep a response, and drop others until all fit; one that alone does not is not kept."""
        if response.size_bytes > self._max_bytes:
            return
        with self._lock:
            self._responses[caller, response_id] = response
            self._size_bytes += response.size_bytes
            while self._size_bytes > self._max_bytes or len(self._responses) > self._max_responses:
                _, dropped = self._responses.popitem(last=False)
                self._size_bytes -= dropped.size_bytes

    def find(self, caller: str, response_id: str) -> StoredResponse | None:
        """Return a response of this caller's, which counts as a use of it."""
        with self._lock:
            response = self._responses.get((caller, response_id))
            if response is not None:
                self._responses.move_to_end((caller, response_id))
            return response

    def delete(self, caller: str, response_id: str) -> bool:
        """Drop a response of this caller's, and return whether there was one."""
        with self._lock:
            response = self._responses.pop((caller, response_id), None)
            if response is not None:
                self._size_bytes -= response.size_bytes
            return response is not None
