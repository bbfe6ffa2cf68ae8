# SPDX-License-Identifier: GPL-3.0-only
"""What is measured of one request while it is served."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from modeld.events import RequestFinished
from modeld.values import Done, Token, Usage


class Meter:
    """Collects the answer and the times of one request. Times are on a monotonic clock."""

    def __init__(
        self, request_id: str, model: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._request_id = request_id
        self._model = model
        self._clock = clock
        self._arrived_s = clock()
        self._texts: list[str] = []
        self._stamps_s: list[float] = []
        self._usage: Usage | None = None
        self.outcome = "cancelled"

    @property
    def waited_s(self) -> float:
        """Seconds since the request's arrival."""
        return self._clock() - self._arrived_s

    def token(self, token: Token) -> None:
        """Note one piece of the answer."""
        self._texts.append(token.text)
        self._stamps_s.append(self._clock())

    def done(self, done: Done) -> Done:
        """Note the good end; returns it with the whole answer in it."""
        self.outcome = str(done.finish_reason)
        self._usage = done.usage
        return Done(
            finish_reason=done.finish_reason, usage=done.usage, content="".join(self._texts)
        )

    def finished(self) -> RequestFinished:
        """The event for observers. Without a good end, tokens are counted as they came."""
        stamps = self._stamps_s
        usage = self._usage or Usage(completion_tokens=len(stamps))
        return RequestFinished(
            request_id=self._request_id,
            model=self._model,
            outcome=self.outcome,
            seconds=self.waited_s,
            first_token_s=stamps[0] - self._arrived_s if stamps else None,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            gaps_s=tuple(later - earlier for earlier, later in itertools.pairwise(stamps)),
        )
