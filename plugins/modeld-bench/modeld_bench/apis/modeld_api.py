# SPDX-License-Identifier: GPL-3.0-only
"""modeld's own API."""

from __future__ import annotations

from typing import Final

import msgspec

from modeld_bench.apis.api import Api, Fault, Part, decoded, word
from modeld_bench.apis.payloads import JsonLines
from modeld_bench.outcome import Usage


class _ModeldUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


class _ModeldLine(msgspec.Struct):
    token: str = ""
    reasoning: str = ""
    done: bool = False
    usage: _ModeldUsage = msgspec.field(default_factory=_ModeldUsage)
    error: str | None = None
    reason: str = ""


_TEXT: Final = Part(text=True)
_NOTHING: Final = Part()
_modeld_line: Final = msgspec.json.Decoder(_ModeldLine)


class ModeldApi(Api):
    """modeld's own API: one JSON object a line."""

    name = "modeld"
    media_type = "application/x-ndjson"
    payloads = JsonLines
    path = "/infer"

    def body(self, prompt: str) -> bytes:
        """Return a request to ``POST /infer``."""
        return msgspec.json.encode(self._prompt_fields(prompt) | self._sampling())

    def read(self, payload: bytes) -> Part:
        """Return a token, the end with its usage, or an error."""
        line = decoded(_modeld_line, payload)
        if line.error is not None:
            return Part(fault=Fault(reason=word(line.reason), message=line.error))
        if line.done:
            usage = line.usage
            return Part(
                ends=True,
                usage=Usage(
                    prompt_tokens=usage.prompt_tokens,
                    completion_tokens=usage.completion_tokens,
                    cached_tokens=usage.cached_tokens,
                ),
            )
        return _TEXT if line.token or line.reasoning else _NOTHING

    def fault(self, body: bytes) -> Fault:
        """Return the object of an error response."""
        try:
            found = _modeld_line.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Fault(reason="", message="")
        return Fault(reason=word(found.reason), message=found.error or "")
