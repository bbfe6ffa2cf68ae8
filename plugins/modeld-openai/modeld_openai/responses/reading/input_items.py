# SPDX-License-Identifier: GPL-3.0-only
"""The items that a request's ``input`` is made of.

The tags of alternatives begin with ``~``, so that errors name a field without them.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, Tag

from modeld.dialects.body import Strict, only_kinds, refused
from modeld_openai.chat.parts import MAX_PARTS, AudioContent, by_type, kind_of_content
from modeld_openai.chat.tools import ToolName

MAX_ITEMS = 1024
MAX_ID_CHARACTERS = 256

ItemId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARACTERS)]
ItemStatus = Literal["in_progress", "completed", "incomplete"]

_THOUGHT: Final = (
    'send it as an item: {"type": "reasoning", "content": [{"type": "reasoning_text", "text":'
    ' "…"}]}'
)
_OF_RESPONSE: Final = "of a response that comes back; taken and without effect"


class InputText(Strict):
    """A text; ``output_text`` is one that the model has said."""

    type: Literal["input_text", "output_text"]
    text: str
    annotations: Annotated[list[Any], Field(max_length=0)] | None = Field(
        None, description="of a response that comes back; it must be empty"
    )
    logprobs: list[Any] | None = Field(None, description=_OF_RESPONSE)


class InputImage(Strict):
    """An image."""

    type: Literal["input_image"]
    image_url: str = Field(description="`data:image/…;base64,…`; nothing is fetched from elsewhere")
    detail: Literal["auto"] | None = Field(None, description="only auto: the model decides")
    file_id: Annotated[None, refused("is not served; send `image_url`")] = None


_PARTS: Final = {
    "input_text": "~text",
    "output_text": "~text",
    "input_image": "~image",
    "input_audio": "~sound",
}
_ITEMS: Final = {
    "message": "~message",
    "function_call": "~call",
    "function_call_output": "~result",
    "reasoning": "~reasoning",
}


InputPart = Annotated[
    Annotated[InputText, Tag("~text")]
    | Annotated[InputImage, Tag("~image")]
    | Annotated[AudioContent, Tag("~sound")],
    by_type(_PARTS, "~text"),
    only_kinds(_PARTS, f"is not served; there is {', '.join(_PARTS)}"),
]


InputContent = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[
        Annotated[list[InputPart], Field(max_length=MAX_PARTS, fail_fast=True)], Tag("~parts")
    ],
    Discriminator(kind_of_content),
]


class InputMessage(Strict):
    """One turn of a chat."""

    elsewhere = {
        "reasoning": _THOUGHT,
        "reasoning_content": _THOUGHT,
        "tool_calls": 'send each as an item: {"type": "function_call", "call_id": "…", "name": "…",'
        ' "arguments": "…"}',
        "tool_call_id": 'send the result as an item: {"type": "function_call_output", "call_id":'
        ' "…", "output": "…"}',
    }

    type: Literal["message"] | None = Field(None, description="may be left out")
    role: Literal["system", "developer", "user", "assistant"] = Field(
        description="who speaks; developer means system"
    )
    content: InputContent = Field(description="what was said: a text, or a list of parts")
    id: ItemId | None = Field(None, description="what the list of input items calls it")
    status: ItemStatus | None = Field(None, description=_OF_RESPONSE)
    phase: Annotated[None, refused("is not served")] = None


class InputCall(Strict):
    """A call of a tool that the model has made before."""

    type: Literal["function_call"]
    call_id: ItemId = Field(description="what the result names it by")
    name: ToolName
    arguments: str = Field(description="an object, as JSON text")
    id: ItemId | None = Field(None, description="what the list of input items calls it")
    status: ItemStatus | None = Field(None, description=_OF_RESPONSE)
    namespace: Annotated[None, refused("is not served")] = None
    caller: Annotated[None, refused("is not served")] = None


class InputResult(Strict):
    """What a tool has said to a call."""

    type: Literal["function_call_output"]
    call_id: ItemId = Field(description="the call whose result this is")
    output: InputContent = Field(description="a text, or a list of parts")
    name: ToolName | None = Field(None, description="the tool that was called")
    id: ItemId | None = Field(None, description="what the list of input items calls it")
    status: ItemStatus | None = Field(None, description=_OF_RESPONSE)


class ReasoningText(Strict):
    """A text that the model has thought."""

    type: Literal["reasoning_text"]
    text: str


class InputReasoning(Strict):
    """What the model thought before its next item."""

    type: Literal["reasoning"]
    content: Annotated[list[ReasoningText], Field(max_length=MAX_PARTS, fail_fast=True)] | None = (
        Field(None, description="what it thought; many clients send the item back without it")
    )
    id: ItemId | None = Field(None, description="what the list of input items calls it")
    summary: Annotated[list[Any], Field(max_length=0)] | None = Field(
        None, description="it must be empty: thoughts are taken and sent whole, as `content`"
    )
    encrypted_content: Annotated[None, refused("is not served; send `content`")] = None
    status: ItemStatus | None = Field(None, description=_OF_RESPONSE)


Item = InputMessage | InputCall | InputResult | InputReasoning


InputItem = Annotated[
    Annotated[InputMessage, Tag("~message")]
    | Annotated[InputCall, Tag("~call")]
    | Annotated[InputResult, Tag("~result")]
    | Annotated[InputReasoning, Tag("~reasoning")],
    by_type(_ITEMS, "~message"),
    only_kinds(_ITEMS, f"is not served; there is {', '.join(_ITEMS)}"),
]
InputItems = Annotated[list[InputItem], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)]


def _kind_of_input(given: Any) -> str:
    return "~items" if isinstance(given, list) else "~text"


ResponseInput = Annotated[
    Annotated[Annotated[str, Field(min_length=1)], Tag("~text")]
    | Annotated[InputItems, Tag("~items")],
    Discriminator(_kind_of_input),
]
