# SPDX-License-Identifier: GPL-3.0-only
"""How far an engine may get ahead of each of its clients. Pure: the time is always an argument.

A request may have :data:`WINDOW` of its text under way, which is produced and not yet taken. The
server tells the worker what was taken, and the worker holds back the one request that has used its
window up. Both ends measure a chunk with :func:`cost`, in characters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from modeld.hosting.channel.frames import Sent
from modeld.responses import PIECES, Token, ToolCallDelta

WINDOW: Final = 512 << 10
"""How much of one generation may be under way before its request is held back, in characters."""

MOST_UNDER_WAY: Final = 2 * WINDOW
"""How much it may be where the engine cannot hold a request back; then all its requests wait."""

GRANT: Final = WINDOW // 8
"""How much is taken before the worker is told, in characters.

It must be less than half a :data:`WINDOW`: what is taken and not told yet could keep a request
paused for ever.
"""

CHUNK_COST: Final = 128
"""What a chunk counts beside its text, and each token of its logprobs: the size of the objects."""

PATIENCE_S: Final = 5.0
"""How long all requests of an engine wait for one that it cannot hold back.

Less than a :data:`GRANT` is no news of it by then. More patience would let one slow client set the
pace of all the others.
"""


def cost(chunk: Sent) -> int:
    """Return how much of a window a chunk takes up; only the text of a generation does."""
    if type(chunk) is Token and not chunk.logprobs:  # nearly all that ever comes, on both sides
        return CHUNK_COST + len(chunk.text)
    if not isinstance(chunk, PIECES):
        return 0
    text = chunk.arguments if isinstance(chunk, ToolCallDelta) else chunk.text
    likely = sum(1 + len(each.top) for each in chunk.logprobs)
    return CHUNK_COST * (1 + likely) + len(text)


class Flows:
    """The running requests of one engine, and which of them are too far ahead of their clients.

    A request is *full* once its window is used up and *paused* if the engine then holds it back. If
    the engine cannot, the request *blocks* all others at :data:`MOST_UNDER_WAY`.
    """

    def __init__(self) -> None:
        self._under_way: dict[int, int] = {}
        self.running: Collection[int] = self._under_way.keys()
        self._full: set[int] = set()
        self._paused: set[int] = set()
        self._blocking: dict[int, float] = {}

    @property
    def may_step(self) -> bool:
        """Return whether there is a request for which the engine may go on."""
        return not self._blocking and len(self._under_way) > len(self._paused)

    def begin(self, request_id: int) -> None:
        """Note that a request runs."""
        self._under_way[request_id] = 0

    def end(self, request_id: int) -> None:
        """Forget a request, which runs no longer."""
        self._under_way.pop(request_id, None)
        self._full.discard(request_id)
        self._paused.discard(request_id)
        self._blocking.pop(request_id, None)

    def produced(self, request_id: int, amount: int, now_s: float) -> bool:
        """Count what was produced; return whether this has just used the window up."""
        under_way = self._under_way[request_id] = self._under_way[request_id] + amount
        if under_way < WINDOW:
            return False
        if under_way >= MOST_UNDER_WAY and request_id not in self._paused:
            self._blocking.setdefault(request_id, now_s)
        is_new = request_id not in self._full
        self._full.add(request_id)
        return is_new

    def pause(self, request_id: int) -> None:
        """Note that the engine holds the request back."""
        self._paused.add(request_id)
        self._blocking.pop(request_id, None)

    def credited(self, request_id: int, amount: int, now_s: float) -> bool:
        """Count what was taken; return whether the engine is to go on with a paused request."""
        if request_id not in self._under_way:
            return False
        under_way = self._under_way[request_id] = self._under_way[request_id] - amount
        if request_id in self._blocking:
            self._blocking[request_id] = now_s  # a client that takes something is not given up
            if under_way < MOST_UNDER_WAY:
                del self._blocking[request_id]
        # Not before half the window is free: at its edge each grant would resume and pause again.
        if under_way > WINDOW // 2 or request_id not in self._full:
            return False
        self._full.discard(request_id)
        was_paused = request_id in self._paused
        self._paused.discard(request_id)
        return was_paused

    def hopeless(self, now_s: float) -> Iterable[int]:
        """Return the requests that have blocked all others for too long, with no news of them."""
        if not self._blocking:
            return ()
        return [each for each, since in self._blocking.items() if now_s - since >= PATIENCE_S]
