# SPDX-License-Identifier: GPL-3.0-only
"""modeld against llama.cpp's own server: the same model, threads, context and slots, in turn.

llama-server runs twice, with its KV cache split among the slots and unified. Every figure of
modeld's is compared with both, and the better one counts.
"""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.bench import servers
from tests.bench.load import Load, clients
from tests.bench.servers import Server, Size
from tests.support.gguf.real_models import SMOLLM2, models_folder

WORDS = (
    *("river", "castle", "bread", "train", "glass", "winter", "map", "stone", "light", "table"),
    *("garden", "window", "letter", "music", "summer", "road", "village", "bridge", "ocean"),
    *("forest", "market", "silver", "paper", "engine", "school", "island", "mountain", "horse"),
    *("cloud", "dinner", "story", "king", "farm", "door", "night", "hand", "water", "house"),
)
"""Each is one token of SmolLM2's, with the space before it."""

_CACHES = {"split": "--no-kv-unified", "unified": "--kv-unified"}

Given = TypeVar("Given")

Measured = dict[str, list[float]]
"""By server, a number for each repeat."""


@dataclass(frozen=True, kw_only=True)
class Contest:
    """What is compared, how often and with how many threads."""

    repeats: int
    llama_server: str
    threads: int
    _random: random.Random = field(init=False, repr=False, default_factory=lambda: random.Random(1))

    @property
    def model(self) -> Path:
        """The model file of all servers."""
        return models_folder() / SMOLLM2

    @contextmanager
    def arena(self, *, context: int, slots: int) -> Iterator[tuple[list[Server], Load]]:
        """modeld and both of its peer, each with the model in memory, and clients for them."""
        size = Size(context=context, slots=slots, threads=self.threads)
        with ExitStack() as stack:
            running = [stack.enter_context(servers.modeld(self.model, size))]
            for name, flag in _CACHES.items():
                peer = servers.llama_server(name, self.llama_server, self.model, size, flag)
                running.append(stack.enter_context(peer))
            yield running, stack.enter_context(clients())

    def in_turn(
        self,
        running: list[Server],
        fresh: Callable[[], Given],
        once: Callable[[Server, Given], float],
    ) -> Measured:
        """Give all servers the same fresh thing, again and again, to and fro."""
        measured: Measured = {server.name: [] for server in running}
        for repeat in range(self.repeats):
            given = fresh()
            for server in running if repeat % 2 == 0 else reversed(running):
                measured[server.name].append(once(server, given))
        return measured

    def words(self, count: int) -> str:
        """Return a prompt of so many tokens that begins like no other."""
        return " ".join(self._random.choice(WORDS) for _ in range(count))


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Return the median of the ratios of what was measured in turn."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def compared(measured: Measured, form: str, unit: str) -> str:
    """Return all medians in words, and modeld's ratio to each form of its peer."""
    medians = {name: statistics.median(values) for name, values in measured.items()}
    peers = [
        f"{medians[name]:{form}} ({name}, ratio {ratio(measured['modeld'], measured[name]):.2f})"
        for name in _CACHES
    ]
    return f"modeld {medians['modeld']:{form}} {unit}, llama-server {' and '.join(peers)}"
