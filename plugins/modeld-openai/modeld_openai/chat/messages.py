# SPDX-License-Identifier: GPL-3.0-only
"""The messages of a chat, and what the service knows them as.

The tags of alternatives begin with ``~``, so that errors name a field without them.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from modeld.dialects.body import Strict, only_kinds, refused, wrong
from modeld.messages import AudioPart, ImagePart, Message, Part, TextPart, ToolCall

MAX_MESSAGES = 1024
MAX_PARTS = 1024
MAX_CALLS = 128

_DATA_URL: Final = re.compile(
    r"data:(?P<media_type>[\w.+/-]{0,128});base64,(?P<data>.*)", re.DOTALL
)
AUDIO_TYPES: Final = {"wav": "audio/wav", "mp3": "audio/mpeg"}
"""The media types of the formats that sounds have."""


class ImageUrl(Strict):
    """Where an image is: in the address itself."""

    url: str = Field(description="`data:image/…;base64,…`; nothing is fetched from elsewhere")
    detail: Literal["auto"] | None = Field(None, description="only auto: the model decides")


class InputAudio(Strict):
    """A sound."""

    data: str = Field(description="the bytes of the file, as base64")
    format: Literal["wav", "mp3"]


class TextContent(Strict):
    """A text among other parts."""

    type: Literal["text"]
    text: str


class ImageContent(Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class AudioContent(Strict):
    """A sound."""

    type: Literal["input_audio"]
    input_audio: InputAudio


_KINDS: Final = {"text": "~text", "image_url": "~image", "input_audio": "~audio"}


def _kind_of_part(given: Any) -> str:
    kind = given.get("type") if isinstance(given, dict) else None
    return _KINDS.get(kind, "~text") if isinstance(kind, str) else "~text"


ContentPart = Annotated[
    Annotated[TextContent, Tag("~text")]
    | Annotated[ImageContent, Tag("~image")]
    | Annotated[AudioContent, Tag("~audio")],
    Discriminator(_kind_of_part),
    only_kinds(_KINDS, f"is not served; there is {', '.join(_KINDS)}"),
]


def _kind_of_content(given: Any) -> str:
    return "~parts" if isinstance(given, list) else "~text"


Content = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[
        Annotated[list[ContentPart], Field(max_length=MAX_PARTS, fail_fast=True)], Tag("~parts")
    ],
    Discriminator(_kind_of_content),
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
        content=_content(f"{where}.content", turn.content),
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


def _content(where: str, content: str | list[Any] | None) -> str | tuple[Part, ...]:
    if not isinstance(content, list):
        return content or ""
    if len(content) == 1 and isinstance(content[0], TextContent):
        return content[0].text
    return tuple(_part(f"{where}[{index}]", part) for index, part in enumerate(content))


def _part(where: str, part: TextContent | ImageContent | AudioContent) -> Part:
    match part:
        case TextContent():
            return TextPart(text=part.text)
        case ImageContent():
            return image_of(f"{where}.image_url.url", part.image_url.url)
        case AudioContent():
            audio = part.input_audio
            data = bytes_of(f"{where}.input_audio.data", audio.data)
            return AudioPart(data=data, media_type=AUDIO_TYPES[audio.format])


def image_of(where: str, url: str) -> ImagePart:
    """Return the image in an address.

    Raises:
        InvalidRequestError: it is elsewhere, or cannot be read.
    """
    found = _DATA_URL.fullmatch(url)
    if found is None:
        raise wrong(where, "must be a data: URL with base64; nothing is fetched from elsewhere")
    return ImagePart(data=bytes_of(where, found["data"]), media_type=found["media_type"])


def bytes_of(where: str, data: str) -> bytes:
    """Return the bytes of a file that comes as base64.

    Raises:
        InvalidRequestError: it is none, or has no bytes.
    """
    try:
        decoded = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise wrong(where, f"is no base64: {exc}") from exc
    if not decoded:
        raise wrong(where, "has no bytes")
    return decoded
