# SPDX-License-Identifier: GPL-3.0-only
"""The messages of a request, and the chat that the service knows them as.

A turn with the results of tools becomes several messages, one for each result; turns of one speaker
that follow each other become one, as this API has it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, Literal, assert_never

import msgspec
from pydantic import Discriminator, Field, Tag

from modeld.dialects.body import Strict, wrong
from modeld.dialects.chat_fields import MAX_MESSAGES, MAX_PARTS
from modeld.messages import ImagePart, Message, Part, TextPart, ToolCall
from modeld_anthropic.messages.blocks import (
    Block,
    Content,
    ContentBlock,
    DocumentBlock,
    ImageBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    content_kind,
)
from modeld_anthropic.messages.thinking import thinking_of

_FAILED: Final = TextPart(text="The tool has failed:")
"""What the model reads before a result that is an error."""

_OWNERS: Final[dict[type[Block], tuple[str, ...]]] = {
    TextBlock: ("user", "assistant", "system"),
    ImageBlock: ("user",),
    DocumentBlock: ("user",),
    ToolResultBlock: ("user",),
    ToolUseBlock: ("assistant",),
    ThinkingBlock: ("assistant",),
    RedactedThinkingBlock: ("assistant",),
}
"""Whose messages may have which blocks."""

_REMINDER: Final = "<system-reminder>\n{}\n</system-reminder>"
"""How the model reads a later message of the system. Coding agents write them so themselves."""

_ATTRIBUTION: Final = "x-anthropic-billing-header:"
"""What begins a block of the system that is for the API and not for the model.

It changes with each request and stands first, so that nothing after it could come from the cache.
"""


class MessageBody(Strict):
    """One turn of a conversation."""

    elsewhere = {
        "name": "no speaker has one here; leave it out",
        "reasoning_content": "send it as a block of `content`, of the type thinking",
        "tool_calls": 'send each as a block of `content`: {"type": "tool_use", "id": "…", "name":'
        ' "…", "input": {…}}',
        "tool_call_id": 'send the result as a block of a message of the user: {"type":'
        ' "tool_result", "tool_use_id": "…", "content": "…"}',
    }

    role: Literal["user", "assistant", "system"] = Field(description="who speaks")
    content: Content = Field(description="what was said: a text, or a list of blocks")


Conversation = Annotated[
    list[MessageBody], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)
]
System = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[
        Annotated[list[TextBlock], Field(max_length=MAX_PARTS, fail_fast=True)], Tag("~blocks")
    ],
    Discriminator(content_kind),
]


def chat_of(
    system: str | list[TextBlock] | None, messages: Sequence[MessageBody], *, with_thinking: bool
) -> tuple[Message, ...]:
    """Return a conversation as the service knows it.

    Most chat templates have a system at their beginning only: what comes later is read as a part of
    the user's turn.

    What was thought in former turns is a part of it only ``with_thinking``. A last message of the
    model without content says nothing and is left out, and so is what a client says to the API.

    Raises:
        InvalidRequestError: a message has what its role cannot have, or a result has no call.
    """
    reader = _Reader(with_thinking=with_thinking)
    reader.say("system", _parts(_for_the_model(system or "")))
    for index, message in enumerate(messages):
        reader.read(f"messages[{index}]", message)
    return tuple(turn.message() for turn in reader.turns)


@dataclass(slots=True, kw_only=True)
class _Turn:
    """A message that is being put together."""

    role: str
    parts: list[Part] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    name: str = ""
    tool_call_id: str = ""

    def message(self) -> Message:
        """Return it, with a content in its shortest form."""
        return Message(
            role=self.role,
            content=_content(self.parts),
            name=self.name,
            reasoning="\n".join(self.thoughts),
            tool_calls=tuple(self.calls),
            tool_call_id=self.tool_call_id,
        )


class _Reader:
    """Puts a chat together, message by message."""

    def __init__(self, *, with_thinking: bool) -> None:
        self.turns: list[_Turn] = []
        self._with_thinking = with_thinking
        self._names: dict[str, str] = {}

    def read(self, where: str, message: MessageBody) -> None:
        """Add a message."""
        if message.role == "system":
            self._remind(where, message.content)
            return
        if isinstance(message.content, str):
            self.say(message.role, _parts(message.content))
            return
        for index, block in enumerate(message.content):
            here = f"{where}.content[{index}]"
            _check_owner(here, message.role, block)
            self._add(here, message.role, block)

    def say(self, role: str, parts: Sequence[Part]) -> None:
        """Add what a speaker says."""
        if parts:
            self._turn(role).parts += parts

    def _remind(self, where: str, content: str | Sequence[ContentBlock]) -> None:
        """Add what the system says, at the beginning or later."""
        for index, block in enumerate(() if isinstance(content, str) else content):
            _check_owner(f"{where}.content[{index}]", "system", block)
        parts = _parts(content)
        if all(turn.role == "system" for turn in self.turns):
            self.say("system", parts)
            return
        texts = [part.text for part in parts if isinstance(part, TextPart)]
        self.say("user", [TextPart(text=_REMINDER.format(text)) for text in texts])

    def _add(self, where: str, role: str, block: ContentBlock) -> None:
        match block:
            case TextBlock() | ImageBlock() | DocumentBlock():
                self.say(role, _parts([block]))
            case ToolResultBlock():
                self.turns.append(self._result(where, block))
            case ToolUseBlock():
                self._names[block.id] = block.name
                self._turn(role).calls.append(_call(block))
            case ThinkingBlock():
                thought = thinking_of(block.thinking, block.signature)
                if thought and self._with_thinking:
                    self._turn(role).thoughts.append(thought)
            case RedactedThinkingBlock():
                pass
            case _:
                assert_never(block)

    def _turn(self, role: str) -> _Turn:
        """Return the turn of a speaker: the last one, where that is theirs."""
        if not self.turns or self.turns[-1].role != role:
            self.turns.append(_Turn(role=role))
        return self.turns[-1]

    def _result(self, where: str, block: ToolResultBlock) -> _Turn:
        name = self._names.get(block.tool_use_id)
        if name is None:
            raise wrong(f"{where}.tool_use_id", "no tool_use before it has this id")
        parts = _parts(block.content or "")
        if block.is_error is True:
            parts.insert(0, _FAILED)
        return _Turn(role="tool", parts=parts, name=name, tool_call_id=block.tool_use_id)


def _check_owner(where: str, role: str, block: ContentBlock) -> None:
    """Refuse a block in messages that cannot have it.

    Raises:
        InvalidRequestError: it is in one.
    """
    if role not in _OWNERS[type(block)]:
        raise wrong(where, f"{block.type} is not for messages of the role {role}")


def _for_the_model(system: str | list[TextBlock]) -> str | list[TextBlock]:
    if isinstance(system, str):
        return system
    return [block for block in system if not block.text.startswith(_ATTRIBUTION)]


def _parts(content: str | Iterable[ContentBlock]) -> list[Part]:
    """Return what can be read of a content: texts, documents and images."""
    if isinstance(content, str):
        return [TextPart(text=content)] if content else []
    parts: list[Part] = []
    for block in content:
        match block:
            case TextBlock(text=text):
                parts += [TextPart(text=text)] if text else []
            case ImageBlock(source=source):
                data = base64.b64decode(source.data)
                parts.append(ImagePart(data=data, media_type=source.media_type))
            case DocumentBlock():
                said = (block.title, block.context, block.source.data)
                parts.append(TextPart(text="\n".join(filter(None, said))))
    return parts


def _call(block: ToolUseBlock) -> ToolCall:
    arguments = msgspec.json.encode(block.input).decode()
    return ToolCall(id=block.id, name=block.name, arguments=arguments)


def _content(parts: list[Part]) -> str | tuple[Part, ...]:
    """Return parts as a content; one text as such."""
    match parts:
        case []:
            return ""
        case [TextPart(text=text)]:
            return text
        case _:
            return tuple(parts)
