# SPDX-License-Identifier: GPL-3.0-only
"""A generation as a whole, gathered from its pieces."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable
from dataclasses import dataclass, field
from io import StringIO
from typing import Final

from modeld.errors import InternalError
from modeld.messages import Message, ToolCall
from modeld.responses import (
    Chunk,
    Done,
    FinishReason,
    Piece,
    ReasoningToken,
    Token,
    TokenLogprobs,
    ToolCallDelta,
    Usage,
)
from modeld.values import Value

MOST_REPEATED: Final = 1 << 20
"""Longest generation that is repeated as a whole at its end, in characters."""


@dataclass(slots=True)
class _Call:
    id: str = ""
    name: str = ""
    arguments: StringIO = field(default_factory=StringIO)


class Whole:
    """Gathers the text, the reasoning and the tool calls of one generation.

    They are ``None`` once all together have more than ``most`` characters, for one stream must not
    fill the memory.
    """

    def __init__(self, most: int = MOST_REPEATED) -> None:
        self._most = most
        self._characters = 0
        self._begin()

    def add(self, piece: Piece) -> None:
        """Gather one piece, in the order in which they come."""
        if isinstance(piece, Token):  # nearly all are; a call would cost each as much again
            text = piece.text
            self._characters += len(text)
            if self._characters <= self._most:
                self._write_content(text)
            else:
                self._let_go()
        elif isinstance(piece, ReasoningToken):
            self._write(self._reasoning, piece.text)
        else:
            self._add_to_call(piece)

    @property
    def is_too_long(self) -> bool:
        """Return whether it is longer than what is gathered."""
        return self._characters > self._most

    @property
    def content(self) -> str | None:
        """Return the text."""
        return None if self.is_too_long else self._content.getvalue()

    @property
    def reasoning(self) -> str | None:
        """Return what the model thought before."""
        return None if self.is_too_long else self._reasoning.getvalue()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...] | None:
        """Return the calls in their order."""
        if self.is_too_long:
            return None
        return tuple(
            ToolCall(id=call.id, name=call.name, arguments=call.arguments.getvalue())
            for _, call in sorted(self._calls.items())
        )

    def _add_to_call(self, delta: ToolCallDelta) -> None:
        call = self._calls.setdefault(delta.index, _Call())
        call.id = call.id or delta.id
        call.name = call.name or delta.name
        # An empty delta counts too, or an engine could begin calls without end.
        self._characters += 1
        self._write(call.arguments, delta.arguments)

    def _write(self, text: StringIO, more: str) -> None:
        self._characters += len(more)
        if self._characters <= self._most:
            text.write(more)
        else:
            self._let_go()

    def _let_go(self) -> None:
        if self._content.tell() or self._reasoning.tell() or self._calls:
            self._begin()

    def _begin(self) -> None:
        self._content = StringIO()
        self._write_content = self._content.write
        self._reasoning = StringIO()
        self._calls: dict[int, _Call] = {}


class Generation(Value, frozen=True, kw_only=True):
    """A whole generation: what a :class:`~modeld.responses.Done` tells, however long it is.

    ``logprobs`` are those of all tokens, where the request wants them.
    """

    content: str
    finish_reason: FinishReason
    usage: Usage
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[TokenLogprobs, ...] = ()
    stop_text: str | None = None

    @property
    def message(self) -> Message:
        """Return the same as the model's own turn, for a chat that goes on."""
        return Message(
            role="assistant",
            content=self.content,
            reasoning=self.reasoning,
            tool_calls=self.tool_calls,
        )


async def gathered(chunks: AsyncIterable[Chunk]) -> Generation:
    """Return the whole of what is streamed.

    Raises:
        InternalError: the stream ends without its end.
    """
    whole = Whole(sys.maxsize)
    logprobs: list[TokenLogprobs] = []
    async for chunk in chunks:
        logprobs += chunk.logprobs
        if not isinstance(chunk, Done):
            whole.add(chunk)
            continue
        return Generation(
            content=whole.content or "",
            finish_reason=chunk.finish_reason,
            usage=chunk.usage,
            reasoning=whole.reasoning or "",
            tool_calls=whole.tool_calls or (),
            logprobs=tuple(logprobs),
            stop_text=chunk.stop_text,
        )
    raise InternalError("the generation has no end")
