# SPDX-License-Identifier: GPL-3.0-only
"""Input items as the turns of a chat that the service knows.

Several items are one turn of the model: what it thought, what it then said, and what it called.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from modeld.messages import Message, Part, TextPart, ToolCall
from modeld_openai.chat.parts import AudioContent, content_of, image_of, sound_of
from modeld_openai.responses.reading.input_items import (
    InputCall,
    InputImage,
    InputMessage,
    InputReasoning,
    InputResult,
    InputText,
    Item,
)

_MODEL: Final = "assistant"


def messages_of(given: str | Sequence[Item]) -> tuple[Message, ...]:
    """Return an input as turns.

    Raises:
        InvalidRequestError: a file in it cannot be read.
    """
    if isinstance(given, str):
        return (Message(role="user", content=given),)
    turns = _Chat()
    for index, item in enumerate(given):
        turns.add(f"input[{index}]", item)
    return turns.all()


class _Chat:
    """Puts turns together, the model's own out of several items."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._reasoning: list[str] = []
        self._content: str | tuple[Part, ...] | None = None
        self._calls: list[ToolCall] = []

    def add(self, where: str, item: Item) -> None:
        """Take the next item."""
        match item:
            case InputReasoning():
                if self._content is not None or self._calls:
                    self._end()
                self._reasoning += (part.text for part in item.content or ())
            case InputMessage(role="assistant"):
                if self._content is not None or self._calls:
                    self._end()
                self._content = content_of(f"{where}.content", item.content, _part)
            case InputMessage():
                self._end()
                role = "system" if item.role == "developer" else item.role
                content = content_of(f"{where}.content", item.content, _part)
                self._messages.append(Message(role=role, content=content))
            case InputCall():
                call = ToolCall(id=item.call_id, name=item.name, arguments=item.arguments)
                self._calls.append(call)
            case InputResult():
                self._end()
                content = content_of(f"{where}.output", item.output, _part)
                self._messages.append(
                    Message(
                        role="tool",
                        content=content,
                        tool_call_id=item.call_id,
                        name=item.name or "",
                    )
                )
            case _:
                assert_never(item)

    def all(self) -> tuple[Message, ...]:
        """Return all turns."""
        self._end()
        return tuple(self._messages)

    def _end(self) -> None:
        """End a turn of the model's, if one has begun."""
        if self._content is None and not self._calls and not self._reasoning:
            return
        self._messages.append(
            Message(
                role=_MODEL,
                content=self._content or "",
                reasoning="".join(self._reasoning),
                tool_calls=tuple(self._calls),
            )
        )
        self._reasoning, self._content, self._calls = [], None, []


def _part(where: str, part: InputText | InputImage | AudioContent) -> Part:
    match part:
        case InputText():
            return TextPart(text=part.text)
        case InputImage():
            return image_of(f"{where}.image_url", part.image_url)
        case AudioContent():
            return sound_of(where, part)
        case _:
            assert_never(part)
