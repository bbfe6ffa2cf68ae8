# SPDX-License-Identifier: GPL-3.0-only
"""Measures one request while it is served."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, assert_never

from msgspec.structs import replace

from modeld.events import RequestFinished, RequestRefused, RequestStarted
from modeld.generation import Whole
from modeld.responses import (
    AnyUnaryResponse,
    Done,
    EmbedResponse,
    Piece,
    Placed,
    RerankResponse,
    TakePiece,
    Usage,
)
from modeld.status import PlanOutcome

MOST_GAPS: Final = 8192
"""How many of the times between tokens are kept of one generation, the first ones."""


class Tally:
    """How many tokens one model has read and written since the start.

    While a generation runs, ``completion_tokens`` counts its pieces of text, and at its end the
    tokens that they were, if its backend says so. What is broken off stays counted by pieces.
    Neither number ever falls.
    """

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0


@dataclass(frozen=True, slots=True)
class _Waiting:
    """It has no model yet."""


@dataclass(frozen=True, slots=True)
class _Served:
    """It has a slot of ``model``, or had one."""

    model: str


class Meter:
    """Collects the text and the times of one request. Times are on a monotonic clock.

    ``outcome`` is what observers are told of its end; without an end it was cancelled. ``placed``
    is how it came to its slot, once it has one.
    """

    def __init__(self, request_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._request_id = request_id
        self._clock = clock
        self._arrived_s = clock()
        self._phase: _Waiting | _Served = _Waiting()
        self._tally = Tally()  # nobody's, until the model is known
        self._whole = Whole()
        self._tokens = 0
        self._stamps_s = array("d")
        self._usage: Usage | None = None
        self.placed = Placed(placement=PlanOutcome.RESIDENT, queue_wait_s=0.0)
        self.outcome = "cancelled"

    def started(
        self,
        model: str,
        tally: Tally,
        *,
        load_s: float = 0.0,
        placement: PlanOutcome = PlanOutcome.RESIDENT,
        fit: str = "",
    ) -> RequestStarted:
        """Note that it has a slot of ``model``, whose ``tally`` it adds to.

        ``load_s`` of the time until now it has waited for the model to be loaded; ``placement`` is
        where it stood as it came, ``fit`` by which step the model was made to fit. Returns the
        event for observers.
        """
        self._phase = _Served(model)
        self._tally = tally
        waited_s = self._clock() - self._arrived_s
        self.placed = Placed(placement=placement, queue_wait_s=waited_s, load_s=load_s, fit=fit)
        return RequestStarted(
            request_id=self._request_id,
            model=model,
            queue_wait_s=waited_s,
            placement=placement,
        )

    def piece(self, piece: Piece) -> None:
        """Note one piece of the generation."""
        if self._tokens <= MOST_GAPS:
            self._stamps_s.append(self._clock())
        self._tokens += 1
        self._tally.completion_tokens += 1
        self._whole.add(piece)

    def noting(self, take: TakePiece) -> TakePiece:
        """Return what notes each piece that ``take`` takes."""

        def taken(piece: Piece) -> bool:
            if not take(piece):
                return False
            self.piece(piece)
            return True

        return taken

    def done(self, done: Done) -> Done:
        """Note the good end, and return it with the whole text in it, if that is not too long.

        Its ``logprobs`` stay those after the last text: gathered, they would be kept for all.
        """
        self.outcome = str(done.finish_reason)
        self._use(done.usage)
        return Done(
            finish_reason=done.finish_reason,
            usage=self._told(done.usage),
            content=self._whole.content,
            logprobs=done.logprobs,
            reasoning=self._whole.reasoning,
            tool_calls=self._whole.tool_calls,
            stop_text=done.stop_text,
        )

    def responded(self, response: AnyUnaryResponse) -> AnyUnaryResponse:
        """Note the response to a unary request, and return it."""
        self.outcome = "answered"
        if isinstance(response, EmbedResponse | RerankResponse):
            self._use(response.usage)
            return replace(response, usage=self._told(response.usage))
        return response

    def ended(self, asked_for: str) -> RequestFinished | RequestRefused:
        """Return the event for observers: a request that has never started was refused.

        ``asked_for`` is the model to name for it. Without a good end, tokens are counted as they
        came.
        """
        match self._phase:
            case _Waiting():
                return RequestRefused(
                    request_id=self._request_id,
                    model=asked_for,
                    reason=self.outcome,
                    seconds=self._clock() - self._arrived_s,
                )
            case _Served(model):
                usage = self._usage or Usage(completion_tokens=self._tokens)
                stamps_s = self._stamps_s
                return RequestFinished(
                    request_id=self._request_id,
                    model=model,
                    outcome=self.outcome,
                    seconds=self._clock() - self._arrived_s,
                    first_token_s=stamps_s[0] - self._arrived_s if stamps_s else None,
                    prompt_tokens=usage.prompt_tokens,
                    completion_tokens=usage.completion_tokens,
                    gaps_s=tuple(later_s - before_s for before_s, later_s in pairwise(stamps_s)),
                    queue_wait_s=self.placed.queue_wait_s,
                    load_s=self.placed.load_s,
                )
            case _:
                assert_never(self._phase)

    def _told(self, usage: Usage) -> Usage:
        return replace(usage, load_s=self.placed.load_s, fit=self.placed.fit)

    def _use(self, usage: Usage) -> None:
        prompt_tokens, completion_tokens = max(0, usage.prompt_tokens), usage.completion_tokens
        self._usage = Usage(  # no total shrinks, whatever an engine says
            prompt_tokens=prompt_tokens, completion_tokens=max(0, completion_tokens)
        )
        self._tally.prompt_tokens += prompt_tokens
        self._tally.completion_tokens += max(0, completion_tokens - self._tokens)
