# SPDX-License-Identifier: GPL-3.0-only
"""The input items of a response as documents, and a page of their list."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from modeld.dialects import WholeResponse
from modeld.dialects.body import wrong
from modeld_openai.responses.reading.input_items import InputMessage, InputReasoning, Item

MAX_LIMIT: Final = 100
USUAL_LIMIT: Final = 20

_PREFIXES: Final[Mapping[str, str]] = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fco",
    "reasoning": "rs",
}

_encode = msgspec.json.Encoder().encode


class _Named(msgspec.Struct):
    """The part of an item that says which it is."""

    id: str


def documents_of(given: str | Sequence[Item], response_id: str) -> tuple[bytes, ...]:
    """Return the items of an input as JSON, each with an id and its parts in a list."""
    items: Sequence[Item] = (
        [InputMessage.model_validate({"role": "user", "content": given})]
        if isinstance(given, str)
        else given
    )
    name = response_id.removeprefix("resp_")
    return tuple(_document(item, f"{name}_in{index}") for index, item in enumerate(items))


def page(items: Sequence[bytes], query: Mapping[str, str]) -> WholeResponse:
    """Return the part of a list that a query wants.

    Raises:
        InvalidRequestError: the query is wrong, or names an item that is not in the list.
    """
    limit, order = _limit(query.get("limit")), query.get("order", "desc")
    if order not in {"asc", "desc"}:
        raise wrong("order", "must be 'asc' or 'desc'")
    ordered = list(items if order == "asc" else reversed(items))
    names = [msgspec.json.decode(item, type=_Named).id for item in ordered]
    start = 0
    if (after := query.get("after")) is not None:
        if after not in names:
            raise wrong("after", "is the id of none of these items")
        start = names.index(after) + 1
    shown = names[start : start + limit]
    return WholeResponse.of(
        {
            "object": "list",
            "data": [msgspec.Raw(item) for item in ordered[start : start + limit]],
            "first_id": shown[0] if shown else "",
            "last_id": shown[-1] if shown else "",
            "has_more": start + limit < len(names),
        }
    )


def _document(item: Item, made_id: str) -> bytes:
    kind = item.type or "message"
    members: dict[str, object] = item.model_dump(exclude_none=True)
    if isinstance(item, InputMessage) and isinstance(item.content, str):
        members["content"] = [_text(item)]
    if isinstance(item, InputReasoning):
        members["summary"] = []
    name = item.id or f"{_PREFIXES[kind]}_{made_id}"
    return _encode({**members, "type": kind, "id": name, "status": "completed"})


def _text(message: InputMessage) -> dict[str, object]:
    if message.role == "assistant":
        return {"type": "output_text", "text": message.content, "annotations": []}
    return {"type": "input_text", "text": message.content}


def _limit(given: str | None) -> int:
    if given is None:
        return USUAL_LIMIT
    if not re.fullmatch(r"[1-9][0-9]?|100", given):
        raise wrong("limit", f"must be a whole number from 1 to {MAX_LIMIT}")
    return int(given)
