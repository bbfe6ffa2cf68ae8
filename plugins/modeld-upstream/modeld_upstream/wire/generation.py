# SPDX-License-Identifier: GPL-3.0-only
"""A generation as it comes from a server: events become chunks."""

from __future__ import annotations

from typing import Final

import msgspec

from modeld.requests import GenerateRequest
from modeld.responses import (
    Done,
    FinishReason,
    Piece,
    ReasoningToken,
    Token,
    TokenLogprobs,
    ToolCallDelta,
    Usage,
)
from modeld_upstream.connection.errors import UpstreamError, error_of, status_in, told_by
from modeld_upstream.wire.documents import (
    CallDocument,
    ChoiceDocument,
    ChunkDocument,
    DeltaDocument,
    UsageDocument,
)
from modeld_upstream.wire.logprobs import logprobs_of

_decode = msgspec.json.Decoder(ChunkDocument).decode

_REASONS: Final = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
}
"""Other words are a server's own for that the model has ended."""

_FAILED: Final = frozenset({"abort", "error"})


class Generation:
    """One generation of a server called ``server``. It is fed with the events of its stream."""

    def __init__(self, request: GenerateRequest, server: str) -> None:
        self._request = request
        self._server = server
        self._usage: UsageDocument | None = None
        self._reason: str | None = None
        self._stop_text: str | None = None
        self._pieces = 0
        self._calls: dict[int, bool] = {}  # by index: whether its name has come
        self._logprobs: tuple[TokenLogprobs, ...] = ()

    @property
    def has_ended(self) -> bool:
        """Return whether the server has said why the generation is over."""
        return self._reason is not None

    def pieces(self, event: bytes) -> list[Piece]:
        """Return what an event brings.

        Raises:
            ModeldError: the server tells of a failure in it.
            UpstreamError: it is no event of a generation.
        """
        try:
            chunk = _decode(event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            # Never the event itself: it may have a part of what was said.
            raise UpstreamError(
                f"server {self._server!r} sent what is no part of a generation: {exc}"
            ) from exc
        if chunk.error is not None:
            said = told_by({"error": chunk.error})
            raise error_of(self._server, status_in(said), said)
        self._usage = chunk.usage or self._usage
        return self._of_choice(chunk.choices[0]) if chunk.choices else []

    def done(self) -> Done:
        """Return the end of the generation, after the last event.

        Raises:
            UpstreamError: the server has given it up.
        """
        if self._reason in _FAILED:
            raise UpstreamError(f"server {self._server!r} has given the generation up")
        reason = _REASONS.get(self._reason or "", FinishReason.STOP)
        if self._calls and reason is FinishReason.STOP:
            reason = FinishReason.TOOL_CALLS
        return Done(
            finish_reason=reason,
            usage=self._counted(),
            logprobs=self._logprobs,
            stop_text=self._stop_text,
        )

    def _of_choice(self, choice: ChoiceDocument) -> list[Piece]:
        if choice.finish_reason is not None:
            self._reason = choice.finish_reason
            if isinstance(choice.stop_reason, str) and choice.stop_reason in self._request.stop:
                self._stop_text = choice.stop_reason
        if choice.logprobs is not None and self._request.logprobs is not None:
            self._logprobs += logprobs_of(choice.logprobs, self._request.logprobs)
        if choice.text:
            self._pieces += 1
            return [Token(text=choice.text, logprobs=self._taken())]
        return self._of_delta(choice.delta) if choice.delta is not None else []

    def _of_delta(self, delta: DeltaDocument) -> list[Piece]:
        pieces: list[Piece] = []
        if thought := delta.reasoning_content or delta.reasoning:
            pieces.append(ReasoningToken(text=thought, logprobs=self._taken()))
        if text := delta.content or delta.refusal:
            pieces.append(Token(text=text, logprobs=self._taken()))
        for call in delta.tool_calls or ():
            pieces.append(self._of_call(call))  # noqa: PERF401  (each one is noted)
        self._pieces += len(pieces)
        return pieces

    def _of_call(self, call: CallDocument) -> ToolCallDelta:
        """Return a part of a call; only the first part of each has its id and name."""
        function = call.function
        index = call.index if call.index is not None else self._unnumbered(call)
        begins = not self._calls.get(index, False)
        name = (function.name or "") if begins and function else ""
        self._calls[index] = bool(name) or not begins
        return ToolCallDelta(
            index=index,
            id=(call.id or "") if begins else "",
            name=name,
            arguments=(function.arguments or "") if function else "",
            logprobs=self._taken(),
        )

    def _unnumbered(self, call: CallDocument) -> int:
        """Return the index of a call that comes without: a name begins the next one."""
        is_new = bool(call.function and call.function.name)
        return len(self._calls) if is_new else max(len(self._calls) - 1, 0)

    def _taken(self) -> tuple[TokenLogprobs, ...]:
        """Return the probabilities since the last piece; they go with this one."""
        taken, self._logprobs = self._logprobs, ()
        return taken

    def _counted(self) -> Usage:
        """Return what it cost; a server that does not say so is taken to send token by token."""
        if self._usage is None:
            return Usage(completion_tokens=self._pieces)
        return usage_of(self._usage)


def usage_of(said: UsageDocument | None) -> Usage:
    """Return what a server says that a request has cost."""
    if said is None:
        return Usage()
    prompt, completion = said.prompt_tokens_details, said.completion_tokens_details
    return Usage(
        prompt_tokens=_count(said.prompt_tokens),
        completion_tokens=_count(said.completion_tokens),
        cached_tokens=_count(prompt.cached_tokens if prompt else None),
        reasoning_tokens=_count(completion.reasoning_tokens if completion else None),
    )


def _count(said: int | None) -> int:
    return max(0, said or 0)
