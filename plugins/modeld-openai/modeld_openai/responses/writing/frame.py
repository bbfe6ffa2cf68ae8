# SPDX-License-Identifier: GPL-3.0-only
"""The response itself, in each of its states."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from modeld.dialects import Call
from modeld.messages import Message
from modeld.responses import Done, FinishReason
from modeld_openai.responses.reading.body import ResponsesBody
from modeld_openai.responses.writing.output_items import Document

Keep: TypeAlias = Callable[[bytes, Message], None]
"""Keeps a response: as JSON, and as the turn of a chat that it is."""

_BY_STATUS: Mapping[int, str] = {429: "rate_limit_exceeded"}


class Frame:
    """What all states of one response have: its id, and what was asked for."""

    def __init__(self, body: ResponsesBody, call: Call) -> None:
        self.id = f"resp_{uuid.uuid4().hex}"
        self._members: Document = {
            "id": self.id,
            "object": "response",
            "created_at": call.created_unix,
            "model": call.model,
            **_asked(body),
        }

    def begun(self) -> Document:
        """Return the response as it begins."""
        return self._state("in_progress", ())

    def ended(self, output: Sequence[Document], done: Done) -> Document:
        """Return the response as it has ended well, or has been cut off."""
        if done.finish_reason.is_cut:
            is_long = done.finish_reason is FinishReason.LENGTH
            details = {"reason": "max_output_tokens" if is_long else "content_filter"}
            state = self._state("incomplete", output) | {"incomplete_details": details}
        else:
            state = self._state("completed", output) | {"completed_at": int(time.time())}
        return state | {"usage": _usage(done)}

    def failed(self, output: Sequence[Document], message: str, status: int) -> Document:
        """Return the response as it has failed half-way."""
        code = _BY_STATUS.get(status) or ("server_error" if status >= 500 else "invalid_prompt")
        told = {"code": code, "message": message}
        return self._state("failed", output) | {"error": told}

    def _state(self, status: str, output: Sequence[Document]) -> Document:
        return {
            **self._members,
            "status": status,
            "output": output,
            "completed_at": None,
            "error": None,
            "incomplete_details": None,
            "usage": None,
        }


def _asked(body: ResponsesBody) -> Document:
    """Return what a request has asked for, as its response repeats it."""
    sampling = body.to_sampling()
    effort = None if body.reasoning is None else body.reasoning.effort
    form = None if body.text is None else body.text.format
    return {
        "background": False,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls is not False,
        "previous_response_id": body.previous_response_id,
        "prompt_cache_key": body.prompt_cache_key,
        "reasoning": {"effort": effort, "summary": None},
        "safety_identifier": body.safety_identifier,
        "service_tier": "default",
        "store": body.is_stored,
        "temperature": sampling.temperature,
        "text": {"format": {"type": "text"} if form is None else _dumped(form)},
        "tool_choice": _choice(body),
        "tools": [_dumped(tool) for tool in body.tools or ()],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": sampling.top_p,
        "truncation": "disabled",
        "user": body.user,
    }


def _choice(body: ResponsesBody) -> object:
    choice = body.tool_choice
    if choice is None:
        return "auto"
    return choice if isinstance(choice, str) else _dumped(choice)


def _dumped(model: Any) -> Document:
    dumped: Document = model.model_dump(by_alias=True, exclude_none=True)
    return dumped


def _usage(done: Done) -> Document:
    """Return what a response cost, under the names that this route has for it."""
    usage = done.usage
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.total_tokens,
        **({"fit": usage.fit} if usage.fit else {}),
    }
