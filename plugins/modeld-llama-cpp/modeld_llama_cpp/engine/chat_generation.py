# SPDX-License-Identifier: GPL-3.0-only
"""A generation for a chat in which reasoning and calls of tools are told apart from text."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf
from typing import assert_never

from modeld import FinishReason, GenerateRequest, Token, Usage
from modeld.responses import Chunk, Piece, ReasoningToken, TokenLogprobs, ToolCallDelta
from modeld_llama_cpp.chat.formats.chat_format import (
    CallDelta,
    Delta,
    ReasoningDelta,
    TextDelta,
)
from modeld_llama_cpp.engine.generation import Generation
from modeld_llama_cpp.engine.request_reader import Reading
from modeld_llama_cpp.engine.sequence import Sequence
from modeld_llama_cpp.sampling.logits import Row
from modeld_llama_cpp.sampling.sampler import Sampler
from modeld_llama_cpp.tokens.vocabulary import Vocabulary


def generation_of(
    sequence: Sequence,
    request: GenerateRequest,
    reading: Reading,
    sampler: Sampler,
    vocabulary: Vocabulary,
) -> Generation:
    """Return the generation for a request: with a parser only where there is something to parse."""
    if reading.output is None:
        return Generation(sequence, request, reading.stops, sampler, vocabulary)
    generation = ChatGeneration(sequence, request, reading, sampler, vocabulary)
    if reading.is_past_reasoning:
        generation.hold_constraint()
    return generation


class ChatGeneration(Generation):
    """A generation whose text goes through a parser.

    Where the request's constraint is held, the model thinks first, or may begin to with its first
    token; the constraint is about what comes after that.
    """

    def __init__(
        self,
        sequence: Sequence,
        request: GenerateRequest,
        reading: Reading,
        sampler: Sampler,
        vocabulary: Vocabulary,
    ) -> None:
        super().__init__(sequence, request, reading.stops, sampler, vocabulary)
        assert reading.output is not None
        self._output = reading.output
        self._parser = self._output.new_parser()
        self._budget = self._output.budget
        self._queue: list[int] = []
        self._reasoning_tokens = 0
        self._is_held = self._has_thought = False

    def hold_constraint(self) -> None:
        """Leave the constraint for what comes after reasoning, where there is or may be some."""
        if self._parser.thinking or self._output.may_think:
            self._is_held = True
            self._sampler.hold()
            if not self._parser.thinking:
                self._queue = list(self._output.begin)

    @property
    def usage(self) -> Usage:
        """Return what it has cost so far. The token that ends it is counted too."""
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._tokens,
            cached_tokens=self.sequence.cached or 0,
            reasoning_tokens=self._reasoning_tokens,
        )

    def _choose(self, row: Row) -> int:
        if self._is_queued():
            token = self._queue.pop(0)
        elif not self._is_held:
            return self._sampler.choose(row)
        else:
            token = self._sampler.look(row)
            if not self._parser.thinking and not self._opens(token):
                self._constrain()
                return self._sampler.choose(row)
            if self._vocabulary.piece(token) is None:  # what conforms must still come
                self._queue = list(self._output.close)
                token = self._queue.pop(0)
        self._sampler.accept(token)
        return token

    def _forced(self) -> SequenceOf[int]:
        if not self._is_queued():
            return super()._forced()
        queue, self._queue = self._queue, []
        return queue

    def _is_queued(self) -> bool:
        """Return whether there are tokens that come next, whatever the model would choose."""
        if self._queue:
            return True
        if self._has_thought:
            self._constrain()
        spent = self._budget is not None and self._reasoning_tokens >= self._budget
        if spent and self._parser.thinking and self._text.is_whole:
            self._budget = None  # once, or a mark that ends nothing would come for ever
            self._queue = list(self._output.close)
        return bool(self._queue)

    def _opens(self, token: int) -> bool:
        """Return whether a generation that begins with a token begins with reasoning."""
        parser = self._output.new_parser()
        parser.feed(self._vocabulary.written(token).decode(errors="replace"))
        return parser.thinking

    def _constrain(self) -> None:
        self._is_held = self._has_thought = False
        self._sampler.constrain()

    def _read(self, token: int) -> tuple[str, FinishReason | None]:
        if token not in self._output.kept:
            return super()._read(token)
        text = self._text.push(self._vocabulary.written(token))
        return self._read_end(text, ends=self._vocabulary.piece(token) is None)

    def _show(
        self, text: str, reason: FinishReason | None, chunks: list[Chunk]
    ) -> FinishReason | None:
        parser = self._parser
        was_thinking = parser.thinking
        deltas = parser.feed(text) if text else []
        if reason is not None:
            deltas += parser.finish(cut=reason is FinishReason.LENGTH)
        self._reasoning_tokens += was_thinking or parser.thinking
        if self._is_held and was_thinking and not parser.thinking:
            self._has_thought = True
            self._queue = list(self._output.resume)
        for delta in deltas:
            if isinstance(delta, CallDelta) and delta.index and not self._output.parallel:
                return FinishReason.TOOL_CALLS
            chunks.append(_piece(delta, self._take_logprobs()))
        if reason is FinishReason.STOP and parser.tool_calls:
            return FinishReason.TOOL_CALLS
        return reason


def _piece(delta: Delta, logprobs: tuple[TokenLogprobs, ...]) -> Piece:
    match delta:
        case TextDelta(text=text):
            return Token(text=text, logprobs=logprobs)
        case ReasoningDelta(text=text):
            return ReasoningToken(text=text, logprobs=logprobs)
        case CallDelta(index=index, id=id_, name=name, arguments=arguments):
            return ToolCallDelta(
                index=index, id=id_, name=name, arguments=arguments, logprobs=logprobs
            )
        case _:
            assert_never(delta)
