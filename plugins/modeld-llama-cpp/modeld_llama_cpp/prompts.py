# SPDX-License-Identifier: GPL-3.0-only
"""Turns a request into the tokens of its prompt."""

from __future__ import annotations

from modeld import GenerateRequest
from modeld.errors import InvalidRequestError, PromptRequiredError, PromptTooLongError
from modeld_llama_cpp.template import ChatTemplate
from modeld_llama_cpp.vocabulary import Vocabulary

PIECE_BYTES = 16 << 10
"""Longer prompts are first counted in pieces of this size."""

_PIECE_SLACK = 16
"""At most so many tokens come of cutting a text where a token would not end."""


class PromptReader:
    """Renders and tokenises the prompts of one model.

    The prompt of a chat comes from the model's template. Special tokens that are written out, as
    in ``<|im_end|>``, are read as such in all prompts, as llama.cpp's own server does. A beginning
    of text is added where the model wants one and the prompt does not bring it.
    """

    def __init__(self, vocabulary: Vocabulary, template: ChatTemplate, context_length: int) -> None:
        self._vocabulary = vocabulary
        self._template = template
        self._context_length = context_length

    def read(self, request: GenerateRequest) -> list[int]:
        """The tokens of the request's prompt, at least one of them.

        Raises:
            PromptRequiredError: there is no prompt, or it has no tokens.
            PromptTooLongError: it does not leave room in the context for even one more token.
            TemplateError: the chat template is missing or failed.
        """
        text = self._text(request)
        excess = known_excess(self._vocabulary, text, self._context_length)
        if excess is not None:
            raise self._too_long(excess, request)
        bos = self._vocabulary.bos_text.encode()
        tokens = self._vocabulary.tokenize(text, add_special=not (bos and text.startswith(bos)))
        if not tokens:
            raise PromptRequiredError("the prompt is empty", field="prompt")
        if len(tokens) >= self._context_length:
            raise self._too_long(str(len(tokens)), request)
        return tokens

    def _text(self, request: GenerateRequest) -> bytes:
        field = _field(request)
        if request.messages:
            text = self._template.render(request.messages)
        elif request.prompt is not None and request.messages is None:
            text = request.prompt
        else:
            raise PromptRequiredError("a prompt or messages are required", field=field)
        return encoded(text, field)

    def _too_long(self, tokens: str, request: GenerateRequest) -> PromptTooLongError:
        return PromptTooLongError(
            f"the prompt has {tokens} tokens and the context {self._context_length}, of which one"
            " must be left for the answer; shorten the prompt or set a larger `context`",
            field=_field(request),
        )


def encoded(text: str, field: str, name: str | None = None) -> bytes:
    """The bytes of a text. ``field`` is where it comes from, ``name`` what an error calls it.

    Raises:
        InvalidRequestError: there is half a character in it.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequestError(
            f"{name or field} has half of a surrogate pair at character {exc.start}", field=field
        ) from exc


def known_excess(vocabulary: Vocabulary, text: bytes, most: int) -> str | None:
    """What is known of the tokens of a text that has surely more than ``most``, else ``None``.

    A text that is far too long is found out before all of it is tokenised. Cutting a text can
    only add tokens, a few at each cut.
    """
    if len(text) <= 2 * PIECE_BYTES:
        return None
    count = 0
    for start in range(0, len(text), PIECE_BYTES):
        piece = text[start : start + PIECE_BYTES]
        count += len(vocabulary.tokenize(piece, add_special=False)) - _PIECE_SLACK
        if count > most:
            read = min(start + PIECE_BYTES, len(text))
            return f"more than {count} (in {read} of {len(text)} bytes)"
    return None


def _field(request: GenerateRequest) -> str:
    return "prompt" if request.messages is None else "messages"
