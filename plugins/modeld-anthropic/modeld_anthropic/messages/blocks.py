# SPDX-License-Identifier: GPL-3.0-only
"""The content blocks of messages, as requests have them.

The tags of alternatives begin with ``~``, so that errors name a field without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BeforeValidator, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from modeld.dialects.body import OnlyFalse, Strict, refused
from modeld.dialects.chat_fields import MAX_PARTS, Base64, ToolName

CallId = Annotated[str, Field(min_length=1, max_length=256)]


def only(kind: str, advice: str) -> BeforeValidator:
    """Return what refuses objects of another type than ``kind`` before it looks at their fields."""

    def check(given: Any) -> Any:
        other = given.get("type", kind) if isinstance(given, dict) else kind
        if isinstance(other, str) and other != kind:
            raise PydanticCustomError("unknown_kind", "{advice}", {"advice": advice})
        return given

    return BeforeValidator(check)


class CacheControl(Strict):
    """Where the API may keep a part of the prompt. Here the cache finds by itself what is alike."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None
    scope: str | None = Field(None, max_length=64)


class Block(Strict):
    """Base of all blocks."""

    cache_control: CacheControl | None = Field(None, description="taken and without effect")


class TextBlock(Block):
    """A text."""

    type: Literal["text"]
    text: str
    citations: Annotated[list[Any], Field(max_length=0)] | None = Field(
        None, description="of a response that comes back; it must be empty"
    )


class ImageSource(Strict):
    """The bytes of an image."""

    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: Base64


class ImageBlock(Block):
    """An image."""

    type: Literal["image"]
    source: Annotated[
        ImageSource, only("base64", "only base64 is served: nothing is fetched from elsewhere")
    ]


class DocumentSource(Strict):
    """The text of a document."""

    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


class NoCitations(Strict):
    """That a response shall have no citations."""

    enabled: OnlyFalse


class DocumentBlock(Block):
    """A document of plain text, which the model reads after its title and its context."""

    type: Literal["document"]
    source: Annotated[
        DocumentSource,
        only("text", "only text is served: nothing is fetched, and no PDF is read"),
    ]
    title: str | None = Field(None, max_length=500)
    context: str | None = None
    citations: NoCitations | None = Field(None, description="only that there are none")


class DirectCaller(Strict):
    """That the model itself has made a call."""

    type: Literal["direct"]


class ToolUseBlock(Block):
    """A call of a tool that the model has made before."""

    type: Literal["tool_use"]
    id: CallId = Field(description="what the result names it by")
    name: ToolName
    input: dict[str, Any]
    caller: DirectCaller | None = None
    toolset_name: Annotated[None, refused("is not served: there are no toolsets")] = None


class ThinkingBlock(Block):
    """What the model thought in a former turn."""

    type: Literal["thinking"]
    thinking: str
    signature: str = Field(description="what came with it, from whichever server")


class RedactedThinkingBlock(Block):
    """What a model of another server thought, in a form that only that server can read."""

    type: Literal["redacted_thinking"]
    data: str = Field(description="taken and without effect")


def one_of(**kinds: str) -> Discriminator:
    """Return what tells blocks apart by their type, and names the types where there is another."""
    words = f"must be an object whose type is {' or '.join(kinds)}"
    return Discriminator(
        _tag_among(kinds), custom_error_type="unknown_kind", custom_error_message=words
    )


def _tag_among(kinds: dict[str, str]) -> Callable[[Any], str | None]:
    def tag_of(given: Any) -> str | None:
        kind = given.get("type") if isinstance(given, dict) else getattr(given, "type", None)
        return kinds.get(kind) if isinstance(kind, str) else None

    return tag_of


_READABLE: Final = {"text": "~text", "image": "~image", "document": "~document"}

ResultBlock: TypeAlias = Annotated[
    Annotated[TextBlock, Tag("~text")]
    | Annotated[ImageBlock, Tag("~image")]
    | Annotated[DocumentBlock, Tag("~document")],
    one_of(**_READABLE),
]


def content_kind(given: Any) -> str:
    """Return the tag of a content, which is a text or a list."""
    return "~blocks" if isinstance(given, list) else "~text"


ResultContent: TypeAlias = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[
        Annotated[list[ResultBlock], Field(max_length=MAX_PARTS, fail_fast=True)], Tag("~blocks")
    ],
    Discriminator(content_kind),
]


class ToolResultBlock(Block):
    """What came of a call of a tool."""

    type: Literal["tool_result"]
    tool_use_id: CallId = Field(description="the call whose result this is")
    content: ResultContent | None = None
    is_error: bool | None = Field(None, description="true tells the model so, before the content")
    toolset_name: Annotated[None, refused("is not served: there are no toolsets")] = None


ContentBlock: TypeAlias = Annotated[
    Annotated[TextBlock, Tag("~text")]
    | Annotated[ImageBlock, Tag("~image")]
    | Annotated[DocumentBlock, Tag("~document")]
    | Annotated[ToolUseBlock, Tag("~tool_use")]
    | Annotated[ToolResultBlock, Tag("~tool_result")]
    | Annotated[ThinkingBlock, Tag("~thinking")]
    | Annotated[RedactedThinkingBlock, Tag("~redacted_thinking")],
    one_of(
        **_READABLE,
        tool_use="~tool_use",
        tool_result="~tool_result",
        thinking="~thinking",
        redacted_thinking="~redacted_thinking",
    ),
]

Content: TypeAlias = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[
        Annotated[list[ContentBlock], Field(max_length=MAX_PARTS, fail_fast=True)], Tag("~blocks")
    ],
    Discriminator(content_kind),
]
