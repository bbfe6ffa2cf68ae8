# SPDX-License-Identifier: GPL-3.0-only
"""Makes a prompt of a chat, by the model's own template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from modeld import Message
from modeld.errors import InvalidRequestError, TemplateError
from modeld_openvino.vocabulary import Vocabulary, check_text

_SIGNS: Final = range(0xE000, 0xF900)
"""Characters for private use, which stand for what looks like a special token in a message."""


class ChatTemplate:
    """A model's chat template. OpenVINO runs it, in the worker's process."""

    def __init__(self, tokenizer: Any, vocabulary: Vocabulary) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary

    def render(self, messages: Sequence[Message]) -> str:
        """Return the prompt for a chat.

        Raises:
            TemplateError: there is no template, or it fails.
            InvalidRequestError: there are no messages, or one is not Unicode.
        """
        return self._rendered(_checked(messages))

    def tokens(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of that prompt, in which what was said is text.

        Raises:
            TemplateError: as :meth:`render`.
            InvalidRequestError: as :meth:`render`.
        """
        said = _checked(messages)
        names = set(self._vocabulary.special_pattern.findall("\n".join(each.text for each in said)))
        if not names:
            return self._vocabulary.tokens(self._rendered(said), add_special=False)
        hidden = _hidden(sorted(names), said)
        shown = {name: sign for sign, name in hidden.items()}
        masked = [
            Message(
                role=message.role,
                content=self._vocabulary.special_pattern.sub(
                    lambda found: shown[found[0]], message.text
                ),
            )
            for message in said
        ]
        return self._tokens(self._rendered(masked), hidden)

    def _tokens(self, rendered: str, hidden: dict[str, str]) -> list[int]:
        """Return the tokens of a prompt, cut within whatever was hidden in it."""
        pieces = [""]
        for part in re.split(f"([{''.join(hidden)}])", rendered):
            first, *rest = self._vocabulary.torn(hidden[part]) if part in hidden else [part]
            pieces[-1] += first
            pieces += rest
        return [
            token for piece in pieces for token in self._vocabulary.tokens(piece, add_special=False)
        ]

    def _rendered(self, messages: Sequence[Message]) -> str:
        if not self._tokenizer.chat_template:
            raise TemplateError(
                "the model has no chat template; send `prompt` instead of `messages`"
            )
        turns = [{"role": message.role, "content": message.text} for message in messages]
        try:
            return str(self._tokenizer.apply_chat_template(turns, add_generation_prompt=True))
        except RuntimeError as exc:
            raise TemplateError(f"the model's chat template failed: {exc}") from exc


def _checked(messages: Sequence[Message]) -> Sequence[Message]:
    if not messages:
        raise InvalidRequestError("there are no messages", field="messages")
    for message in messages:
        check_text(message.role + message.text, "messages")
    return messages


def _hidden(names: Sequence[str], messages: Sequence[Message]) -> dict[str, str]:
    """Return a sign for each name, none of which is in the chat.

    Raises:
        InvalidRequestError: the chat has taken them all.
    """
    taken = {character for message in messages for character in message.text}
    free = [sign for sign in map(chr, _SIGNS) if sign not in taken]
    if len(free) < len(names):
        raise InvalidRequestError(
            "messages have too many characters for private use, and names of special tokens",
            field="messages",
        )
    return dict(zip(free, names, strict=False))
