# SPDX-License-Identifier: GPL-3.0-only
"""modeld against llama.cpp's own server: the same model, threads, context and slots, in turn.

llama-server runs twice, with its KV cache split among the slots and unified. Every figure of
modeld's is compared with both, and the better one counts. Where another checkout of modeld is to be
compared with this one, that runs beside them. The short form leaves the unified one out.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.bench import servers
from tests.bench.load import Load, clients
from tests.bench.servers import HERE, Checkout, Server, Size
from tests.support.gguf.real_models import SMOLLM2, models_folder

WORDS = (
    *("river", "castle", "bread", "train", "glass", "winter", "map", "stone", "light", "table"),
    *("garden", "window", "letter", "music", "summer", "road", "village", "bridge", "ocean"),
    *("forest", "market", "silver", "paper", "engine", "school", "island", "mountain", "horse"),
    *("cloud", "dinner", "story", "king", "farm", "door", "night", "hand", "water", "house"),
)
"""Each is one token of SmolLM2's, with the space before it."""

_CACHES = {"split": "--no-kv-unified", "unified": "--kv-unified"}
PEERS = tuple(_CACHES)
"""The names of llama-server's rows."""

Given = TypeVar("Given")

LEAST_TURNS = 2
"""So many there are however long they take: one ratio says nothing of its spread."""

SHORT_TURNS = 5
SHORT_S = 6.0
"""After so long a figure of the short form begins no further turn."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What is compared, how often and with how many threads.

    Without a ``llama_server`` there is no peer, and without a ``base`` no other checkout.
    """

    repeats: int
    llama_server: str | None
    threads: int
    base: Checkout | None = None
    is_short: bool = False
    _random: random.Random = field(init=False, repr=False, default_factory=lambda: random.Random(1))

    @property
    def model(self) -> Path:
        """The model file of all servers."""
        return models_folder() / SMOLLM2

    @property
    def checkouts(self) -> list[Checkout]:
        """This one, and the one that it is compared with, if any."""
        return [HERE] if self.base is None else [HERE, self.base]

    def sized(self, full: int, short: int) -> int:
        """Return how much there is of something, which is less in the short form."""
        return short if self.is_short else full

    def turns(self) -> Iterator[int]:
        """Yield the number of each turn; the short form ends early where they take long."""
        began_s = time.monotonic()
        for number in range(self.repeats):
            limit_s = SHORT_S if self.is_short else math.inf
            if number >= LEAST_TURNS and time.monotonic() - began_s > limit_s:
                return
            yield number

    @contextmanager
    def arena(self, *, context: int, slots: int) -> Iterator[tuple[list[Server], Load]]:
        """Both checkouts and the peer, each with the model in memory, and clients for them."""
        size = Size(context=context, slots=slots, threads=self.threads)
        with ExitStack() as stack:
            running = [
                stack.enter_context(servers.modeld(self.model, size, checkout))
                for checkout in self.checkouts
            ]
            for name, flag in _CACHES.items():
                if self.llama_server is not None and not (self.is_short and name == "unified"):
                    peer = servers.llama_server(name, self.llama_server, self.model, size, flag)
                    running.append(stack.enter_context(peer))
            yield running, stack.enter_context(clients())

    def in_turn(
        self,
        running: list[Server],
        fresh: Callable[[], Given],
        once: Callable[[Server, Given], float],
    ) -> dict[str, list[float]]:
        """Give all servers the same fresh thing, again and again, to and fro."""
        measured: dict[str, list[float]] = {server.name: [] for server in running}
        for turn in self.turns():
            given = fresh()
            for server in to_and_fro(running, turn):
                measured[server.name].append(once(server, given))
        return measured

    def words(self, count: int) -> str:
        """Return a prompt of so many tokens that begins like no other."""
        return " ".join(self._random.choice(WORDS) for _ in range(count))

    def alike(self) -> str:
        """Return a prompt of some 16 tokens that begins as all of these do, and is a new one."""
        number = self._random.randrange(100_000, 1_000_000)
        return f"Tell me a story about number {number} and then say what it means."


def to_and_fro(subjects: Sequence[Given], turn: int) -> Sequence[Given]:
    """Return the subjects in the order of a turn: what comes first in one is last in the next."""
    return subjects if turn % 2 == 0 else subjects[::-1]
