# SPDX-License-Identifier: GPL-3.0-only
"""What is measured of one request or question while it is served."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from modeld.events import RequestFinished, RequestRefused, RequestStarted
from modeld.questions import Embeddings, Ranking, Reply
from modeld.values import Done, Token, Usage


class Tally:
    """How many tokens one model has read and written since the start.

    While an answer runs, ``completion_tokens`` counts its pieces of text, and at its end the tokens
    that they were, if its backend says so. What is broken off stays counted by pieces. Neither
    number ever falls.
    """

    def __init__(self) -> None:
        self.prompt_tokens = 0
        self.completion_tokens = 0


class Meter:
    """Collects the answer and the times of one request. Times are on a monotonic clock.

    ``outcome`` is what observers are told of its end; without an end it was cancelled.
    """

    def __init__(self, request_id: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._request_id = request_id
        self._clock = clock
        self._arrived_s = clock()
        self._model: str | None = None
        self._tally = Tally()
        self._texts: list[str] = []
        self._stamps_s: list[float] = []
        self._usage: Usage | None = None
        self.outcome = "cancelled"

    def started(self, model: str, tally: Tally) -> RequestStarted:
        """Note that it has a slot of ``model``, whose ``tally`` it adds to.

        Returns the event for observers.
        """
        self._model = model
        self._tally = tally
        waited_s = self._clock() - self._arrived_s
        return RequestStarted(request_id=self._request_id, model=model, queue_wait_s=waited_s)

    def token(self, token: Token) -> None:
        """Note one piece of the answer."""
        self._texts.append(token.text)
        self._stamps_s.append(self._clock())
        self._tally.completion_tokens += 1

    def done(self, done: Done) -> Done:
        """Note the good end; returns it with the whole answer in it.

        Its ``logprobs`` stay those after the last text: gathered, they would be kept for all.
        """
        self.outcome = str(done.finish_reason)
        self._use(done.usage)
        return Done(
            finish_reason=done.finish_reason,
            usage=done.usage,
            content="".join(self._texts),
            logprobs=done.logprobs,
        )

    def replied(self, reply: Reply) -> Reply:
        """Note the reply to a question, and return it."""
        self.outcome = "answered"
        if isinstance(reply, Embeddings | Ranking):
            self._use(reply.usage)
        return reply

    def ended(self, asked_for: str) -> RequestFinished | RequestRefused:
        """The event for observers: a request that has never started was refused.

        ``asked_for`` is the model to name for it. Without a good end, tokens are counted as they
        came.
        """
        if self._model is None:
            return RequestRefused(request_id=self._request_id, model=asked_for, reason=self.outcome)
        stamps = self._stamps_s
        usage = self._usage or Usage(completion_tokens=len(stamps))
        return RequestFinished(
            request_id=self._request_id,
            model=self._model,
            outcome=self.outcome,
            seconds=self._clock() - self._arrived_s,
            first_token_s=stamps[0] - self._arrived_s if stamps else None,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            gaps_s=tuple(later - earlier for earlier, later in itertools.pairwise(stamps)),
        )

    def _use(self, usage: Usage) -> None:
        self._usage = usage
        self._tally.prompt_tokens += usage.prompt_tokens
        self._tally.completion_tokens += max(0, usage.completion_tokens - len(self._stamps_s))
