# SPDX-License-Identifier: GPL-3.0-only
"""The items of a stream while they are written: how each begins, grows and ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import ClassVar, TypeAlias

import msgspec

from modeld.messages import ToolCall
from modeld.responses import ReasoningToken, Token, TokenLogprobs
from modeld_openai.events import json_long_text
from modeld_openai.logprobs import chat_logprobs
from modeld_openai.responses.writing.output_items import (
    Document,
    ItemKind,
    Status,
    call_item,
    item_id,
    message_item,
    reasoning_item,
    reasoning_part,
    text_part,
)

Event: TypeAlias = tuple[str, Document]
"""The type of an event, and its members but the type and the number."""

_encode = msgspec.json.Encoder().encode


class StreamText(ABC):
    """A text of the model's. ``before`` is what stands before a piece of it in an event."""

    kind: ClassVar[ItemKind]
    name: ClassVar[str]
    takes: ClassVar[type[Token | ReasoningToken]]

    def __init__(self, response_id: str, index: int) -> None:
        self.texts: list[str] = []
        self.logprobs: list[TokenLogprobs] = []
        self._id = item_id(self.kind, response_id, index)
        self._index = index
        name = f"{self.name}.delta"
        head = _encode({"type": name, **self._part_of(), **self._logprobs(())})[:-1]
        self.before = b'event: %b\ndata: %b,"delta":' % (name.encode(), head)

    def begin(self) -> list[Event]:
        """Return the events with which it begins."""
        item = {"output_index": self._index, "item": self._item("in_progress")}
        return [
            ("response.output_item.added", item),
            ("response.content_part.added", {**self._part_of(), "part": self._part("")}),
        ]

    def delta(self, text: str, logprobs: Iterable[TokenLogprobs]) -> Event:
        """Take a piece and return its event."""
        logprobs = tuple(logprobs)
        self.texts.append(text)
        self.logprobs += logprobs
        return f"{self.name}.delta", {
            **self._part_of(),
            "delta": text,
            **self._logprobs(logprobs),
        }

    def end(self, status: Status) -> list[Event]:
        """Return the events with which it ends."""
        text = self._whole()
        said = {**self._part_of(), "text": text, **self._logprobs(self.logprobs)}
        item = self._item(status, self._part(text))
        return [
            (f"{self.name}.done", said),
            ("response.content_part.done", {**self._part_of(), "part": self._part(text)}),
            ("response.output_item.done", {"output_index": self._index, "item": item}),
        ]

    def document(self, status: Status) -> Document:
        """Return the item as it has ended."""
        return self._item(status, self._part(self._whole()))

    @abstractmethod
    def _part(self, text: object) -> Document:
        """Return its one part."""

    @abstractmethod
    def _item(self, status: Status, *parts: Document) -> Document:
        """Return the item with its parts."""

    def _logprobs(self, logprobs: Iterable[TokenLogprobs]) -> Document:  # noqa: ARG002
        """Return what its events have of probabilities."""
        return {}

    def _whole(self) -> msgspec.Raw:
        return json_long_text("".join(self.texts))

    def _part_of(self) -> Document:
        return {"item_id": self._id, "output_index": self._index, "content_index": 0}


class StreamMessage(StreamText):
    """What the model says."""

    kind = "message"
    name = "response.output_text"
    takes = Token

    def _part(self, text: object) -> Document:
        return text_part(text, self.logprobs)

    def _item(self, status: Status, *parts: Document) -> Document:
        return message_item(self._id, status, *parts)

    def _logprobs(self, logprobs: Iterable[TokenLogprobs]) -> Document:
        return {"logprobs": chat_logprobs(logprobs)["content"]}


class StreamReasoning(StreamText):
    """What the model thinks."""

    kind = "reasoning"
    name = "response.reasoning_text"
    takes = ReasoningToken

    def _part(self, text: object) -> Document:
        return reasoning_part(text)

    def _item(self, status: Status, *parts: Document) -> Document:
        return reasoning_item(self._id, status, *parts)


class StreamCall:
    """A call of a tool."""

    def __init__(self, response_id: str, index: int, call_id: str, name: str) -> None:
        self._id = item_id("function_call", response_id, index)
        self._index = index
        self._call = ToolCall(id=call_id, name=name, arguments="")
        self._arguments: list[str] = []

    @property
    def call(self) -> ToolCall:
        """Return the call as it is by now."""
        arguments = "".join(self._arguments)
        return ToolCall(id=self._call.id, name=self._call.name, arguments=arguments)

    def begin(self) -> list[Event]:
        """Return the event with which it begins."""
        item = call_item(self._id, "in_progress", self._call)
        return [("response.output_item.added", {"output_index": self._index, "item": item})]

    def delta(self, arguments: str) -> Event:
        """Take a part of the arguments and return its event."""
        self._arguments.append(arguments)
        return "response.function_call_arguments.delta", {**self._which(), "delta": arguments}

    def end(self, status: Status) -> list[Event]:
        """Return the events with which it ends."""
        call = self.call
        arguments = {**self._which(), "name": call.name, "arguments": call.arguments}
        item = {"output_index": self._index, "item": self.document(status)}
        return [
            ("response.function_call_arguments.done", arguments),
            ("response.output_item.done", item),
        ]

    def document(self, status: Status) -> Document:
        """Return the item as it has ended."""
        return call_item(self._id, status, self.call)

    def _which(self) -> Document:
        return {"item_id": self._id, "output_index": self._index}
