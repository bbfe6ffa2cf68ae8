# SPDX-License-Identifier: GPL-3.0-only
"""Turns a request into the tokens of its prompt."""

from __future__ import annotations

from collections.abc import Sequence

from modeld import GenerateRequest
from modeld.errors import InvalidRequestError, PromptRequiredError, PromptTooLongError
from modeld_llama_cpp.chat.hidden_texts import Rendered
from modeld_llama_cpp.chat.template import ChatTemplate
from modeld_llama_cpp.tokens.infill import infill_tokens
from modeld_llama_cpp.tokens.rendered_prompts import read_rendered
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

PIECE_BYTES = 16 << 10
"""Longer prompts are first counted in pieces of this size."""

_PIECE_SLACK = 16
"""At most so many tokens come of cutting a text where a token would not end."""


class PromptReader:
    """Renders and tokenises the prompts of one model.

    The prompt of a chat comes from the model's template. Special tokens that are written out, as
    in ``<|im_end|>``, are read as such in a plain prompt and in what the template writes, and not
    in what is said in a chat. What the model wants around a text is added where the prompt does
    not bring it. Beside a suffix, special tokens that are written out are text in both.
    """

    def __init__(self, vocabulary: Vocabulary, template: ChatTemplate, context_length: int) -> None:
        self._vocabulary = vocabulary
        self._template = template
        self._context_length = context_length

    def render(self, request: GenerateRequest) -> Rendered:
        """Return the text of the request's prompt.

        Raises:
            PromptRequiredError: there is no prompt.
            ModeldError: the chat template is missing or failed, or cannot serve the request.
        """
        if request.messages:
            return self._template.render(request)
        if request.messages is None and (request.prompt is not None or request.prompt_tokens):
            return Rendered(request.prompt or "")
        raise PromptRequiredError("a prompt or messages are required", field=_field(request))

    def read(self, request: GenerateRequest, rendered: Rendered) -> list[int]:
        """Return the tokens of the request's prompt, at least one of them.

        Raises:
            PromptRequiredError: it has no tokens.
            PromptTooLongError: it leaves no space in the context for even one more token.
            InvalidRequestError: a token of it is none of the vocabulary's.
            NotSupportedError: there is a suffix, and the model cannot fill in what is before it.
        """
        if request.suffix is not None:
            return self._before_middle(request.prompt or "", request.suffix, request)
        if request.prompt_tokens is not None:
            return self._given(request.prompt_tokens, request)
        text = encoded(rendered.shown, _field(request))
        excess = known_excess(self._vocabulary, text, self._context_length)
        if excess is not None:
            raise self._too_long(excess, request)
        if rendered.hidden:
            tokens = read_rendered(rendered, self._template.marks, self._vocabulary)
        else:
            tokens = self._vocabulary.tokenize(text, add_special=True)
        if not tokens:
            raise PromptRequiredError("the prompt is empty", field=_field(request))
        return self._fitting(tokens, request)

    def _before_middle(self, prompt: str, suffix: str, request: GenerateRequest) -> list[int]:
        before, after = encoded(prompt, "prompt"), encoded(suffix, "suffix")
        for text in (before, after):
            excess = known_excess(self._vocabulary, text, self._context_length)
            if excess is not None:
                raise self._too_long(excess, request)
        return self._fitting(infill_tokens(before, after, self._vocabulary), request)

    def _given(self, tokens: Sequence[int], request: GenerateRequest) -> list[int]:
        check_known(tokens, self._vocabulary, _field(request))
        return self._fitting(list(tokens), request)

    def _fitting(self, tokens: list[int], request: GenerateRequest) -> list[int]:
        if len(tokens) >= self._context_length:
            raise self._too_long(str(len(tokens)), request)
        return tokens

    def _too_long(self, tokens: str, request: GenerateRequest) -> PromptTooLongError:
        return PromptTooLongError(
            f"the prompt has {tokens} tokens and the context {self._context_length}, of which one"
            " must be left for the generation; shorten the prompt or set a larger `context`",
            field=_field(request),
        )


def template_of(source: str | None, vocabulary: Vocabulary) -> ChatTemplate:
    """Return the chat template of a model with this vocabulary."""
    return ChatTemplate(
        source,
        bos=vocabulary.bos_text,
        eos=vocabulary.eos_text,
        specials=lambda: vocabulary.special_tokens.texts,
    )


def check_known(
    tokens: Sequence[int], vocabulary: Vocabulary, field: str, name: str | None = None
) -> None:
    """Refuse ids that stand for nothing; errors call the tokens ``name``, or else as the field.

    Raises:
        InvalidRequestError: a token is none of the vocabulary's.
    """
    for index, token in enumerate(tokens):
        if not 0 <= token < vocabulary.size:
            raise InvalidRequestError(
                f"{name or field}[{index}] is {token}; the model's tokens go from 0 to"
                f" {vocabulary.size - 1}",
                field=field,
            )


def encoded(text: str, field: str, name: str | None = None) -> bytes:
    """Return the bytes of a text. ``field`` is where it comes from, ``name`` what errors call it.

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
    """Return what is known of the tokens of a text that surely has more than ``most``, or ``None``.

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
    if request.messages is not None:
        return "messages"
    return "prompt" if request.prompt_tokens is None else "prompt_tokens"
