# SPDX-License-Identifier: GPL-3.0-only
"""Tokenizing, detokenizing and rendering chats: requests for which nothing is computed."""

from __future__ import annotations

from typing import TypeAlias

from modeld.errors import InvalidRequestError
from modeld.requests import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    TokenizeRequest,
    not_supported,
)
from modeld.responses import TextResponse, TokenizeResponse
from modeld_llama_cpp.chat.template import ChatTemplate
from modeld_llama_cpp.tokens.prompts import check_known, encoded
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

TokenToolRequest: TypeAlias = TokenizeRequest | DetokenizeRequest | ApplyTemplateRequest


class TokenTools:
    """What any loaded model can say about texts and tokens.

    A long text may take seconds: :meth:`respond` belongs on the thread that prepares requests.
    """

    def __init__(self, vocabulary: Vocabulary, template: ChatTemplate) -> None:
        self._vocabulary = vocabulary
        self._template = template

    def respond(self, request: TokenToolRequest) -> TokenizeResponse | TextResponse:
        """Return the response to a request.

        Raises:
            InvalidRequestError: a token is none of the vocabulary's, or there are no messages.
            NotSupportedError: the request is of a later kind.
            ModeldError: the chat template is missing or failed, or cannot serve the request.
        """
        match request:
            case TokenizeRequest():
                return self._tokens(request)
            case DetokenizeRequest():
                return self._text(request.tokens)
            case ApplyTemplateRequest():
                if not request.messages:
                    raise InvalidRequestError("there are no messages", field="messages")
                return TextResponse(text=self._template.render(request).shown)
            case _:  # of a later version of modeld
                raise not_supported(request)

    def _tokens(self, request: TokenizeRequest) -> TokenizeResponse:
        ids = self._vocabulary.tokenize(
            encoded(request.text, "content"),
            add_special=request.add_special,
            parse_special=request.parse_special,
        )
        written = map(self._vocabulary.written, ids if request.with_pieces else ())
        return TokenizeResponse(ids=tuple(ids), pieces=tuple(written))

    def _text(self, tokens: tuple[int, ...]) -> TextResponse:
        check_known(tokens, self._vocabulary, "tokens")
        written = b"".join(map(self._vocabulary.written, tokens))
        return TextResponse(text=written.decode(errors="replace"))
