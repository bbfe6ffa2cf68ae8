# SPDX-License-Identifier: GPL-3.0-only
"""Examples of requests, responses and events, for the documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modeld_openai.events import named_event

_NUMBER: Final = "0123456789abcdef"
_TEXT: Final = "The capital of France is Paris."
_ASKED: Final = "What is the capital of France?"
RESPONSE_ID: Final = f"resp_{_NUMBER}"

BODIES: Final[Mapping[str, Mapping[str, Any]]] = {
    "text": {"input": _ASKED, "max_output_tokens": 16, "temperature": 0},
    "next": {"input": "And of Spain?", "previous_response_id": RESPONSE_ID},
    "stream": {"input": [{"role": "user", "content": _ASKED}], "stream": True},
}

_PART: Final = {"type": "output_text", "text": _TEXT, "annotations": [], "logprobs": []}
_ITEM: Final = {
    "id": f"msg_{_NUMBER}_0",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [_PART],
}
_USAGE: Final = {
    "input_tokens": 37,
    "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
    "output_tokens": 8,
    "output_tokens_details": {"reasoning_tokens": 0},
    "total_tokens": 45,
}

RESPONSE: Final = {
    "id": RESPONSE_ID,
    "object": "response",
    "created_at": 1764547200,
    "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "background": False,
    "instructions": None,
    "max_output_tokens": 16,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "disabled",
    "user": None,
    "status": "completed",
    "output": [_ITEM],
    "completed_at": 1764547201,
    "error": None,
    "incomplete_details": None,
    "usage": _USAGE,
}
DELETED: Final = {"id": RESPONSE_ID, "object": "response", "deleted": True}
ITEMS: Final = {
    "object": "list",
    "data": [
        {
            "id": f"msg_{_NUMBER}_in0",
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": _ASKED}],
            "status": "completed",
        }
    ],
    "first_id": f"msg_{_NUMBER}_in0",
    "last_id": f"msg_{_NUMBER}_in0",
    "has_more": False,
}

_BEGUN: Final = RESPONSE | {
    "status": "in_progress",
    "output": [],
    "completed_at": None,
    "usage": None,
}
_WHERE: Final = {"item_id": _ITEM["id"], "output_index": 0, "content_index": 0}
_EVENTS: Final[tuple[tuple[str, Mapping[str, Any]], ...]] = (
    ("response.created", {"response": _BEGUN}),
    ("response.in_progress", {"response": _BEGUN}),
    (
        "response.output_item.added",
        {"output_index": 0, "item": _ITEM | {"status": "in_progress", "content": []}},
    ),
    ("response.content_part.added", {**_WHERE, "part": _PART | {"text": ""}}),
    ("response.output_text.delta", {**_WHERE, "logprobs": [], "delta": _TEXT}),
    ("response.output_text.done", {**_WHERE, "text": _TEXT, "logprobs": []}),
    ("response.content_part.done", {**_WHERE, "part": _PART}),
    ("response.output_item.done", {"output_index": 0, "item": _ITEM}),
    ("response.completed", {"response": RESPONSE}),
)
STREAM: Final = "".join(
    named_event(name, {"type": name, **members, "sequence_number": number}).decode()
    for number, (name, members) in enumerate(_EVENTS)
)
