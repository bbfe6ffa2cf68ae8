# SPDX-License-Identifier: GPL-3.0-only
"""An engine that costs nothing: one token for each running request in every step.

A token is " token", or as many characters as the option ``piece`` says. With ``stubborn`` it cannot
hold a request back. ``pace_s`` is how long a step takes, which waits and computes nothing.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from modeld import (
    Done,
    FinishReason,
    GenerateRequest,
    ModelSpec,
    StepChunk,
    StepEngine,
    Token,
    Usage,
)
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest, not_supported
from modeld.responses import AnyUnaryResponse

TOKEN = Token(text=" token")


class InstantEngine(StepEngine):
    def __init__(self, slots: int, piece: int, *, stubborn: bool, pace_s: float = 0.0) -> None:
        self.slots = slots
        self._pace_s = pace_s
        self._stubborn = stubborn
        self._token = Token(text="z" * piece) if piece else TOKEN
        self._left: dict[int, int] = {}
        self._paused: dict[int, int] = {}

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> "InstantEngine":
        return cls(
            options["slots"],
            options["piece"],
            stubborn=options["stubborn"],
            pace_s=options["pace_s"],
        )

    def submit(self, request_id: int, request: AnyRequest) -> None:
        if not isinstance(request, GenerateRequest):
            raise not_supported(request)
        self._left[request_id] = request.max_tokens or 1

    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        if self._pace_s:
            time.sleep(self._pace_s)
        produced: list[tuple[int, StepChunk | AnyUnaryResponse]] = [
            (request_id, self._token) for request_id in self._left
        ]
        for request_id in list(self._left):
            self._left[request_id] -= 1
            if not self._left[request_id]:
                del self._left[request_id]
                done = Done(finish_reason=FinishReason.LENGTH, usage=Usage())
                produced.append((request_id, done))
        return produced

    def pause(self, request_id: int) -> bool:
        if self._stubborn:
            return False
        self._paused[request_id] = self._left.pop(request_id)
        return True

    def resume(self, request_id: int) -> None:
        self._left[request_id] = self._paused.pop(request_id)

    def cancel(self, request_id: int) -> None:
        self._left.pop(request_id, None)
        self._paused.pop(request_id, None)

    def close(self) -> None:
        pass
