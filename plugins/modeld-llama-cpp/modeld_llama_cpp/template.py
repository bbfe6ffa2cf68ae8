# SPDX-License-Identifier: GPL-3.0-only
"""A model's chat template, rendered in a process of its own; :mod:`.rendering` says why."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from modeld import Message
from modeld.errors import TemplateError
from modeld_llama_cpp.limited import LimitedProcess
from modeld_llama_cpp.rendering import MAX_TEXT_CHARS

MAX_TEMPLATE_BYTES = 256 << 10
TIME_LIMIT_S = 2

_MAX_REPLY_BYTES = 6 * MAX_TEXT_CHARS + 64
"""JSON writes a character outside ASCII as at most six bytes for each of its UTF-16 units."""


class ChatTemplate:
    """Turns messages into a prompt.

    The process is started by the first chat (about 0.1 s) and kept. One that takes too long is
    killed, and the next chat starts another. :meth:`render` is called on one thread at a time;
    :meth:`close` may come from another and ends a running :meth:`render`.
    """

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        self._source = source
        values = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True}
        self._process = LimitedProcess(
            "modeld_llama_cpp.rendering",
            {"template": source, "values": values},
            limit_s=TIME_LIMIT_S,
            max_reply_bytes=_MAX_REPLY_BYTES,
        )

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt for a chat.

        Raises:
            TemplateError: there is no template, it fails, or it runs over its limits.
        """
        self._check_source()
        try:
            reply = self._process.ask({"messages": msgspec.to_builtins(messages)})
        except OSError as exc:
            raise TemplateError(f"the model's chat template failed: {exc}") from exc
        if "text" not in reply:
            raise TemplateError(f"the model's chat template failed: {reply.get('error')}")
        return str(reply["text"])

    def close(self) -> None:
        """End the process. May be called twice."""
        self._process.close()

    def _check_source(self) -> None:
        if not self._source:
            raise TemplateError(
                "the model has no chat template; send `prompt` instead of `messages`"
            )
        size = len(self._source.encode())
        if size > MAX_TEMPLATE_BYTES:
            raise TemplateError(
                f"the model's chat template has {size} bytes; at most {MAX_TEMPLATE_BYTES}"
                " are allowed"
            )
