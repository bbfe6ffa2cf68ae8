# SPDX-License-Identifier: GPL-3.0-only
"""Answers questions about texts and tokens, for which nothing is computed."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from modeld.errors import InvalidRequestError
from modeld.questions import (
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    Text,
    TokenizeQuestion,
    Tokens,
)
from modeld_llama_cpp.prompts import encoded
from modeld_llama_cpp.template import ChatTemplate
from modeld_llama_cpp.vocabulary import Vocabulary

TextQuestion: TypeAlias = TokenizeQuestion | DetokenizeQuestion | ApplyTemplateQuestion


class Answers:
    """What any loaded model can say about texts and tokens.

    A long text may take seconds: :meth:`answer` belongs on the thread that prepares requests.
    """

    def __init__(self, vocabulary: Vocabulary, template: ChatTemplate) -> None:
        self._vocabulary = vocabulary
        self._template = template

    def answer(self, question: TextQuestion) -> Tokens | Text:
        """The reply to a question.

        Raises:
            InvalidRequestError: a token is none of the vocabulary's, or there are no messages.
            TemplateError: the chat template is missing or failed.
        """
        match question:
            case TokenizeQuestion():
                return self._tokens(question)
            case DetokenizeQuestion():
                return self._text(question.tokens)
            case ApplyTemplateQuestion():
                if not question.messages:
                    raise InvalidRequestError("there are no messages", field="messages")
                return Text(text=self._template.render(question.messages))
            case _:
                assert_never(question)

    def _tokens(self, question: TokenizeQuestion) -> Tokens:
        ids = self._vocabulary.tokenize(
            encoded(question.text, "content"),
            add_special=question.add_special,
            parse_special=question.parse_special,
        )
        written = map(self._vocabulary.written, ids if question.with_pieces else ())
        return Tokens(ids=tuple(ids), pieces=tuple(written))

    def _text(self, tokens: tuple[int, ...]) -> Text:
        size = self._vocabulary.size
        for place, token in enumerate(tokens):
            if not 0 <= token < size:
                raise InvalidRequestError(
                    f"tokens[{place}] is {token}; the model's tokens go from 0 to {size - 1}",
                    field="tokens",
                )
        written = b"".join(map(self._vocabulary.written, tokens))
        return Text(text=written.decode(errors="replace"))
