# SPDX-License-Identifier: GPL-3.0-only
"""modeld's own API."""

from __future__ import annotations

from typing import Final

import msgspec

from modeld.cli.benchmark.api import Api, Fault, Part, decoded, word
from modeld.cli.benchmark.outcome import Usage
from modeld.cli.benchmark.payloads import JsonLines


class _ModeldUsage(msgspec.Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


class _ModeldLine(msgspec.Struct):
    token: str = ""
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
        """A request to ``POST /infer``."""
        return msgspec.json.encode(self._question(prompt) | self._sampling())

    def read(self, payload: bytes) -> Part:
        """A token, the end with its usage, or an error."""
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
        return _TEXT if line.token else _NOTHING

    def fault(self, body: bytes) -> Fault:
        """The object of an error answer."""
        try:
            found = _modeld_line.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return Fault(reason="", message="")
        return Fault(reason=word(found.reason), message=found.error or "")
