# SPDX-License-Identifier: GPL-3.0-only
"""An engine that costs nothing: one token for each running request in every step."""

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
from modeld.questions import Reply

TOKEN = Token(text=" token")


class InstantEngine(StepEngine):
    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._left: dict[int, int] = {}

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> "InstantEngine":
        return cls(options["slots"])

    def submit(self, request_id: int, request: GenerateRequest) -> None:
        self._left[request_id] = request.max_tokens or 1

    def step(self) -> Sequence[tuple[int, StepChunk | Reply]]:
        produced: list[tuple[int, StepChunk | Reply]] = [
            (request_id, TOKEN) for request_id in self._left
        ]
        for request_id in list(self._left):
            self._left[request_id] -= 1
            if not self._left[request_id]:
                del self._left[request_id]
                done = Done(finish_reason=FinishReason.LENGTH, usage=Usage())
                produced.append((request_id, done))
        return produced

    def cancel(self, request_id: int) -> None:
        self._left.pop(request_id, None)

    def close(self) -> None:
        pass
