# SPDX-License-Identifier: GPL-3.0-only
"""What the scheduler decides over and with: sequences, and the plan of a step. No llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass, field
from typing import TypeAlias

from modeld_llama_cpp.engine.drafting import PromptLookup
from modeld_llama_cpp.engine.kv_cells import Holding
from modeld_llama_cpp.engine.prefix_cache import SavedSequence

HEADROOM = 256
"""How many tokens of generation must fit beside the others before a sequence is admitted."""


@dataclass(slots=True, eq=False)
class Sequence:
    """One request's tokens, and how many of them are in the KV cache.

    The last token of ``tokens`` has been chosen but is computed only in the next step, with those
    that a constraint has forced after it. The first ``prompt`` of them are the request's. ``limit``
    is the most tokens it can come to; it fits into the cache. ``salt`` names those whose cached
    prompts it may use and who may use its; ``None`` keeps it to itself. ``seq_id`` is llama.cpp's
    name for it while it has cells, else ``None``. ``cached`` of its prompt's tokens were found in
    memory when it was admitted first. It waits for ``leader`` to have computed ``awaited`` tokens
    that both begin with; ``awaited_from`` is where that one was when last looked at, below 0 if it
    waits no more. ``lookup`` drafts what follows, where that is wanted. While it is ``paused``
    nothing is computed for it.
    """

    request_id: int
    tokens: list[int]
    limit: int
    salt: str | None = None
    computed: int = 0
    cached: int | None = None
    seq_id: int | None = None
    headroom: int = HEADROOM
    holding: Holding = field(default_factory=Holding)
    leader: Sequence | None = None
    awaited: int = 0
    awaited_from: int = 0
    lookup: PromptLookup | None = None
    paused: bool = False
    prompt: int = field(init=False)

    def __post_init__(self) -> None:
        self.prompt = len(self.tokens)

    @property
    def is_writing(self) -> bool:
        """Return whether its prompt is computed, so that only generated tokens are missing."""
        return self.computed >= self.prompt

    @property
    def wanted(self) -> int:
        """Return how many cells must be there for it before it is admitted."""
        return max(len(self.tokens), min(self.limit, len(self.tokens) + self.headroom))

    @property
    def missing(self) -> int:
        """Return how many of its tokens are still to be computed."""
        return len(self.tokens) - self.computed


@dataclass(slots=True, frozen=True)
class Resting:
    """An ended sequence whose cells have exactly these tokens, under llama.cpp's ``seq_id``.

    It is for those of its ``salt`` only. ``is_saved`` says that the prefix cache has seen it.
    """

    tokens: list[int]
    salt: str
    seq_id: int
    holding: Holding
    is_saved: bool


@dataclass(slots=True)
class Part:
    """A stretch of one sequence's tokens in a step's batch, and a draft of what follows it."""

    sequence: Sequence
    start: int
    stop: int
    draft: SequenceOf[int] = ()

    @property
    def completes(self) -> bool:
        """Return whether the next token can be chosen after it."""
        return self.stop == len(self.sequence.tokens)


@dataclass(slots=True, frozen=True)
class Copy:
    """Let ``target`` hold the first ``count`` cells of ``source`` too."""

    source: int
    target: int
    count: int


@dataclass(slots=True, frozen=True)
class Restore:
    """Bring a saved sequence back under an id and cut it to ``count`` tokens."""

    saved: SavedSequence
    seq_id: int
    count: int


@dataclass(slots=True, frozen=True)
class Forget:
    """Take a whole sequence out of memory."""

    seq_id: int


@dataclass(slots=True, frozen=True)
class Save:
    """Put a whole sequence, which has these tokens, into the prefix cache, if that wants it."""

    seq_id: int
    tokens: tuple[int, ...]
    salt: str


@dataclass(slots=True, frozen=True)
class Cut:
    """Take what a sequence has behind its first ``count`` tokens out of memory."""

    seq_id: int
    count: int


Edit: TypeAlias = Copy | Restore | Forget | Save | Cut


@dataclass(slots=True)
class Plan:
    """One step: make the ``edits`` in memory, in their order, then compute the ``parts``."""

    parts: list[Part] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
