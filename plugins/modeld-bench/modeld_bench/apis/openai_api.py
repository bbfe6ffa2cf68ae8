# SPDX-License-Identifier: GPL-3.0-only
"""The API that OpenAI has and many servers copy."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from modeld_bench.apis.api import Api, Fault, Part, decoded, word
from modeld_bench.apis.payloads import Events
from modeld_bench.outcome import Usage


class _Delta(msgspec.Struct):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class _Choice(msgspec.Struct):
    text: str | None = None
    delta: _Delta | None = None
    finish_reason: str | None = None


class _PromptDetails(msgspec.Struct):
    cached_tokens: int | None = None


class _OpenAIUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None


class _OpenAIEvent(msgspec.Struct):
    choices: list[_Choice] = msgspec.field(default_factory=list)
    usage: _OpenAIUsage | None = None
    error: Any = None


_END: Final = Part(ends=True)
_openai_event: Final = msgspec.json.Decoder(_OpenAIEvent)


class OpenAIApi(Api):
    """The API that OpenAI has and many servers copy: server-sent events."""

    name = "openai"
    media_type = "text/event-stream"
    payloads = Events

    @property
    def path(self) -> str:
        """Return the path: completions go on with a text, chat completions answer a message."""
        return "/v1/chat/completions" if self.wish.chat else "/v1/completions"

    def body(self, prompt: str) -> bytes:
        """Return a request whose stream ends with the usage, where the server can do that."""
        options = {"stream_options": {"include_usage": True}}
        return msgspec.json.encode(self._prompt_fields(prompt) | self._sampling() | options)

    def read(self, payload: bytes) -> Part:
        """Return a piece of text, the end of the text, the usage after it, or an error."""
        if payload.strip() == b"[DONE]":
            return _END
        event = decoded(_openai_event, payload)
        if event.error is not None:
            return Part(fault=_openai_fault(event.error))
        return Part(
            text=any(map(_has_text, event.choices)),
            ends=any(choice.finish_reason is not None for choice in event.choices),
            usage=None if event.usage is None else _openai_usage(event.usage),
        )

    def fault(self, body: bytes) -> Fault:
        """Return the ``error`` of an error response."""
        try:
            return _openai_fault(_openai_event.decode(body).error)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Fault(reason="", message="")


def _has_text(choice: _Choice) -> bool:
    delta = choice.delta
    if delta is None:
        return bool(choice.text)
    return bool(choice.text or delta.content or delta.reasoning_content or delta.reasoning)


def _openai_usage(usage: _OpenAIUsage) -> Usage:
    details = usage.prompt_tokens_details
    return Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cached_tokens=details.cached_tokens if details else None,
    )


def _openai_fault(error: Any) -> Fault:
    """Return what an error says.

    ``code`` is a word at OpenAI and a status at others, which have the word in ``type``.
    """
    if not isinstance(error, dict):
        return Fault(reason="", message=error if isinstance(error, str) else "")
    code, kind = error.get("code"), error.get("type")
    message = error.get("message")
    reason = word(code if isinstance(code, str) else kind)
    return Fault(reason=reason, message=message if isinstance(message, str) else "")
