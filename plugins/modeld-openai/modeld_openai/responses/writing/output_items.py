# SPDX-License-Identifier: GPL-3.0-only
"""The items that a response is made of, as documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from modeld.messages import ToolCall
from modeld.responses import Done, TokenLogprobs
from modeld_openai.events import json_long_text
from modeld_openai.logprobs import chat_logprobs

Document: TypeAlias = dict[str, object]
Status: TypeAlias = Literal["in_progress", "completed", "incomplete"]
ItemKind: TypeAlias = Literal["message", "reasoning", "function_call"]

_PREFIXES: dict[ItemKind, str] = {"message": "msg", "reasoning": "rs", "function_call": "fc"}


def item_id(kind: ItemKind, response_id: str, index: int) -> str:
    """Return the id of one of a response's items."""
    return f"{_PREFIXES[kind]}_{response_id.removeprefix('resp_')}_{index}"


def call_id(response_id: str, number: int) -> str:
    """Return an id for a call to which the engine has given none."""
    return f"call_{response_id.removeprefix('resp_')}_{number}"


def text_part(text: object, logprobs: Sequence[TokenLogprobs] = ()) -> Document:
    """Return the part that a message has."""
    return {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": chat_logprobs(logprobs)["content"],
    }


def reasoning_part(text: object) -> Document:
    """Return the part that thoughts have."""
    return {"type": "reasoning_text", "text": text}


def message_item(name: str, status: Status, *parts: Document) -> Document:
    """Return what the model has said."""
    return {
        "id": name,
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": parts,
    }


def reasoning_item(name: str, status: Status, *parts: Document) -> Document:
    """Return what the model has thought."""
    return {"id": name, "type": "reasoning", "status": status, "summary": [], "content": parts}


def call_item(name: str, status: Status, call: ToolCall) -> Document:
    """Return a call of a tool."""
    return {
        "id": name,
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": call.arguments,
    }


def last_status(done: Done) -> Status:
    """Return how a generation's last item has ended; all others are completed."""
    return "incomplete" if done.finish_reason.is_cut else "completed"


def items_of(
    done: Done, calls: Sequence[ToolCall], logprobs: Sequence[TokenLogprobs], response_id: str
) -> list[Document]:
    """Return the items of a whole generation; one that has nothing is an empty message.

    ``logprobs`` are those of its content.
    """
    items: list[Document] = []

    def name(kind: ItemKind) -> str:
        return item_id(kind, response_id, len(items))

    if done.reasoning:
        thought = reasoning_part(json_long_text(done.reasoning))
        items.append(reasoning_item(name("reasoning"), "completed", thought))
    if done.content or not (done.reasoning or calls):
        said = text_part(json_long_text(done.content or ""), logprobs)
        items.append(message_item(name("message"), "completed", said))
    items += [
        call_item(item_id("function_call", response_id, index), "completed", call)
        for index, call in enumerate(calls, start=len(items))
    ]
    items[-1]["status"] = last_status(done)
    return items
