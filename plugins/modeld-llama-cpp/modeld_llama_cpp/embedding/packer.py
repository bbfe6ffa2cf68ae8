# SPDX-License-Identifier: GPL-3.0-only
"""Decides which inputs are computed together. Pure: knows tokens and positions, and no llama.cpp.

An *input* is one text of a request, as tokens. Requests are served in rotation, one input at a
time, so that one of thousands of inputs does not stop one of a few. A batch takes the inputs that
are next for as long as they fit; none is passed over for a smaller one behind it.

Where each token sees only those before it, an input may be cut: what does not fit into a batch
goes on in the next one. There is never more than one such input. Elsewhere an input is computed
in one piece, if need be in a batch of its own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest


@dataclass(slots=True, frozen=True, eq=False)
class Input:
    """One text of a request: the request's id, its index there, its tokens."""

    request_id: int
    index: int
    tokens: Sequence[int]


@dataclass(slots=True, frozen=True)
class Part:
    """A stretch of an input's tokens in a batch. ``seq_id`` is llama.cpp's name for the input."""

    input: Input
    start: int
    stop: int
    seq_id: int

    @property
    def completes(self) -> bool:
        """Return whether the input is complete after it."""
        return self.stop == len(self.input.tokens)


@dataclass(slots=True, frozen=True, kw_only=True)
class Limits:
    """What fits into a batch.

    ``tokens`` is what a batch is filled up to and ``sequences`` how many inputs it may have.
    ``longest`` is the most tokens of an input. With ``may_cut`` an input that does not fit is cut,
    and ``longest`` tokens are in memory at most; otherwise it gets a batch of its own.
    """

    tokens: int
    longest: int
    sequences: int
    may_cut: bool


@dataclass(slots=True, eq=False)
class _Request:
    """The inputs of a request that have not begun."""

    id: int
    inputs: deque[Input]


class Packer:
    """The inputs that wait, and the one that has been cut.

    :meth:`plan` decides and changes nothing; :meth:`account` counts what was computed. So a batch
    that was stopped is planned again as if it had never been.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rotation: deque[_Request] = deque()
        self._begun: Part | None = None

    @property
    def busy(self) -> bool:
        """Return whether there is anything to compute."""
        return bool(self._rotation or self._begun)

    def add(self, request_id: int, inputs: Sequence[Sequence[int]]) -> None:
        """Take on the inputs of a request. Its first comes after one of every other request."""
        longest = max(map(len, inputs))
        if not 0 < min(map(len, inputs)) <= longest <= self._limits.longest:
            raise ValueError(f"an input has no tokens, or more than {self._limits.longest}")
        waiting = deque(Input(request_id, *item) for item in enumerate(inputs))
        self._rotation.append(_Request(request_id, waiting))

    def remove(self, request_id: int) -> None:
        """Forget a request. What it has in memory is not in the next plan."""
        self._rotation = deque(request for request in self._rotation if request.id != request_id)
        if self._begun is not None and self._begun.input.request_id == request_id:
            self._begun = None

    def plan(self) -> list[Part]:
        """Return the next batch. Nothing counts as computed before :meth:`account`.

        An input that was cut comes first; nothing but it is still needed in memory.
        """
        limits = self._limits
        parts = [] if self._begun is None else [self._go_on(self._begun)]
        free = limits.tokens - sum([part.stop - part.start for part in parts])
        if limits.may_cut and parts:
            # What was computed of the cut input is still in memory and leaves less for the others.
            free = min(free, limits.longest - parts[0].stop)
        # The cut input keeps its sequence: llama.cpp finds what it has computed of it there.
        free_ids = (seq for seq in range(limits.sequences) if not parts or seq != parts[0].seq_id)
        for seq_id, item in zip(free_ids, self._in_rotation(), strict=False):
            size = len(item.tokens)
            alone = not parts and not limits.may_cut
            if size > free and limits.may_cut:
                size = free
            if size == 0 or (size > free and not alone):
                break  # a smaller one behind it must not pass it over
            parts.append(Part(item, 0, size, seq_id))
            free -= size
        return parts

    def account(self, parts: Sequence[Part]) -> None:
        """Count a plan as computed."""
        for part in parts:
            if part.start == 0:
                self._begin(part.input)
            self._begun = None if part.completes else part

    def _begin(self, item: Input) -> None:
        request = self._rotation.popleft()
        assert request.inputs[0] is item
        request.inputs.popleft()
        if request.inputs:
            self._rotation.append(request)

    def _go_on(self, begun: Part) -> Part:
        stop = min(len(begun.input.tokens), begun.stop + self._limits.tokens)
        return Part(begun.input, begun.stop, stop, begun.seq_id)

    def _in_rotation(self) -> Iterator[Input]:
        """Return the waiting inputs: the first of every request, then the second, and so on."""
        rounds = zip_longest(*[request.inputs for request in self._rotation])
        return (item for item in chain.from_iterable(rounds) if item is not None)
