# SPDX-License-Identifier: GPL-3.0-only
"""The messages of a chat, and what the service knows them as.

The tags of alternatives begin with ``~``, so that errors name a field without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from modeld.dialects.body import Strict, only_kinds, refused, wrong
from modeld.messages import Message, Part, TextPart, ToolCall
from modeld_openai.chat.parts import (
    MAX_PARTS,
    AudioContent,
    by_type,
    content_of,
    image_of,
    kind_of_content,
    sound_of,
)

MAX_MESSAGES = 1024
MAX_CALLS = 128


class ImageUrl(Strict):
    """Where an image is: in the address itself."""

    url: str = Field(description="`data:image/…;base64,…`; nothing is fetched from elsewhere")
    detail: Literal["auto"] | None = Field(None, description="only auto: the model decides")


class TextContent(Strict):
    """A text among other parts."""

    type: Literal["text"]
    text: str


class ImageContent(Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


_KINDS: Final = {"text": "~text", "image_url": "~image", "input_audio": "~audio"}


ContentPart = Annotated[
    Annotated[TextContent, Tag("~text")]
    | Annotated[ImageContent, Tag("~image")]
    | Annotated[AudioContent, Tag("~audio")],
    by_type(_KINDS, "~text"),
    only_kinds(_KINDS, f"is not served; there is {', '.join(_KINDS)}"),
]


Content = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[
        Annotated[list[ContentPart], Field(max_length=MAX_PARTS, fail_fast=True)], Tag("~parts")
    ],
    Discriminator(kind_of_content),
]


class CalledFunction(Strict):
    """What a model has called."""

    name: str = Field(min_length=1, max_length=128)
    arguments: str = Field(description="an object, as JSON text")
    parsed_arguments: Any = Field(
        None, description="what a client read the arguments as; taken and without effect"
    )


class MadeCall(Strict):
    """A call of a tool that the model has made before."""

    elsewhere = dict.fromkeys(
        ("name", "arguments", "input"),
        'the form here is {"id": "…", "type": "function", "function": {"name": "…", "arguments":'
        ' "…"}}',
    )

    id: str = Field(min_length=1, max_length=256, description="what the result names it by")
    type: Literal["function"]
    function: CalledFunction
    index: int | None = Field(
        None,
        ge=0,
        le=2**31,
        description="of a call that came in a stream; taken and without effect",
    )


class ChatTurn(Strict):
    """One turn of a chat."""

    elsewhere = {
        "images": 'send each as a part of `content`: {"type": "image_url", "image_url": {…}}',
        "thinking": "it is called `reasoning_content` here",
        "tool_name": "send `tool_call_id`, the id of the call",
        "type": "a message has none here; leave it out",
    }

    role: Literal["system", "developer", "user", "assistant", "tool"] = Field(
        description="who speaks; developer means system"
    )
    content: Content | None = Field(
        None, description="what was said; only a turn with tool_calls may do without"
    )
    name: str | None = Field(None, max_length=128, description="name of the speaker")
    reasoning_content: str | None = Field(
        None, description="what the model thought before it said this"
    )
    reasoning: str | None = Field(
        None, description="the same, as some servers call it; it must not contradict the other"
    )
    tool_calls: Annotated[list[MadeCall], Field(max_length=MAX_CALLS, fail_fast=True)] | None = (
        Field(None, description="calls that the model made in its turn")
    )
    tool_call_id: str | None = Field(
        None, min_length=1, max_length=256, description="the call whose result this is"
    )
    refusal: Annotated[None, refused("is not taken; send it as `content`")] = None
    audio: Annotated[None, refused("is not taken; send it as a part of `content`")] = None
    function_call: Annotated[None, refused("is deprecated and not served; send `tool_calls`")] = (
        None
    )
    annotations: Annotated[list[Any], Field(max_length=0)] | None = Field(
        None, description="of a response that comes back as a message; it must be empty"
    )
    parsed: Any = Field(
        None, description="what a client read the content as; taken and without effect"
    )


ChatTurns = Annotated[list[ChatTurn], Field(min_length=1, max_length=MAX_MESSAGES, fail_fast=True)]


def messages_of(turns: Sequence[ChatTurn]) -> tuple[Message, ...]:
    """Return a chat as the service knows it.

    Raises:
        InvalidRequestError: a turn has what its role cannot have, or a file cannot be read.
    """
    return tuple(_message(f"messages[{index}]", turn) for index, turn in enumerate(turns))


def _message(where: str, turn: ChatTurn) -> Message:
    _check_role(where, turn)
    return Message(
        role="system" if turn.role == "developer" else turn.role,
        content=content_of(f"{where}.content", turn.content, _part),
        name=turn.name or "",
        reasoning=turn.reasoning_content or turn.reasoning or "",
        tool_calls=tuple(
            ToolCall(id=call.id, name=call.function.name, arguments=call.function.arguments)
            for call in turn.tool_calls or ()
        ),
        tool_call_id=turn.tool_call_id or "",
    )


def _check_role(where: str, turn: ChatTurn) -> None:
    if turn.role != "assistant":
        for name in ("tool_calls", "reasoning_content", "reasoning"):
            if getattr(turn, name) is not None:
                raise wrong(f"{where}.{name}", "is for messages of the assistant only")
    if turn.reasoning and turn.reasoning_content and turn.reasoning != turn.reasoning_content:
        raise wrong(f"{where}.reasoning", "differs from reasoning_content; send one of them")
    if turn.content is None and not turn.tool_calls:
        raise wrong(f"{where}.content", "must be given")
    if (turn.role == "tool") is not (turn.tool_call_id is not None):
        words = "must be given" if turn.role == "tool" else "is for messages of a tool only"
        raise wrong(f"{where}.tool_call_id", words)


def _part(where: str, part: TextContent | ImageContent | AudioContent) -> Part:
    match part:
        case TextContent():
            return TextPart(text=part.text)
        case ImageContent():
            return image_of(f"{where}.image_url.url", part.image_url.url)
        case AudioContent():
            return sound_of(where, part)
