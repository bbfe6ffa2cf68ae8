# SPDX-License-Identifier: GPL-3.0-only
"""Turns the texts of a request into the tokens that an embedding model reads."""

from __future__ import annotations

import re
from collections.abc import Callable

from modeld.errors import InvalidRequestError, PromptTooLongError
from modeld.requests import EmbedRequest
from modeld_llama_cpp.embedding.vectors import VectorRequest
from modeld_llama_cpp.tokens.prompts import check_known, encoded, known_excess
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

_PLACEHOLDERS = re.compile(r"\{(query|document)\}")


class InputReader:
    """Tokenises for one model. ``longest`` is the most tokens of one input.

    ``pair_template`` is how the model wants a query and a document to be joined, with the
    placeholders ``{query}`` and ``{document}``; without one, special tokens are put around them.
    """

    def __init__(self, vocabulary: Vocabulary, longest: int, pair_template: str | None) -> None:
        self._vocabulary = vocabulary
        self._longest = longest
        self._pair_template = pair_template

    def read(self, request: VectorRequest) -> list[list[int]]:
        """Return the tokens of each input, or of the query with each document.

        Raises:
            InvalidRequestError: a text is empty or has no tokens, or a token is none of the
                vocabulary's.
            PromptTooLongError: one has more tokens than the model can read at once.
        """
        if isinstance(request, EmbedRequest):
            return [self._input(given, index) for index, given in enumerate(request.inputs)]
        self._checked(request.query, "query", "query")
        join = self._joining(request.query)
        return [self._pair(join, text, index) for index, text in enumerate(request.documents)]

    def _input(self, given: str | tuple[int, ...], index: int) -> list[int]:
        name = f"input[{index}]"
        if not isinstance(given, str):
            check_known(given, self._vocabulary, "input", name)
            return self._fitting(list(given), name, "input")
        data = self._checked(given, name, "input")
        return self._fitting(self._vocabulary.tokenize(data, add_special=True), name, "input")

    def _pair(self, join: Callable[[str], list[int]], document: str, index: int) -> list[int]:
        name = f"documents[{index}]"
        self._checked(document, name, "documents")
        return self._fitting(join(document), f"{name} with the query", "documents")

    def _joining(self, query: str) -> Callable[[str], list[int]]:
        """Return what joins the query and a document: the template, or what separates texts."""
        template, vocabulary = self._pair_template, self._vocabulary
        if template is not None:
            return lambda document: vocabulary.tokenize(
                _filled_in(template, query, document), add_special=False
            )
        beginning = [
            *vocabulary.beginning,
            *vocabulary.tokenize(query.encode(), add_special=False, parse_special=False),
            *vocabulary.ending,
            *vocabulary.separator,
        ]
        return lambda document: [
            *beginning,
            *vocabulary.tokenize(document.encode(), add_special=False, parse_special=False),
            *vocabulary.ending,
        ]

    def _checked(self, text: str, name: str, field: str) -> bytes:
        if not text:
            raise InvalidRequestError(f"{name} is empty; it must be a text", field=field)
        data = encoded(text, field, name)
        excess = known_excess(self._vocabulary, data, self._longest)
        if excess is not None:
            raise self._too_long(excess, name, field)
        return data

    def _fitting(self, tokens: list[int], name: str, field: str) -> list[int]:
        if not tokens:
            raise InvalidRequestError(f"{name} has no tokens", field=field)
        if len(tokens) > self._longest:
            raise self._too_long(str(len(tokens)), name, field)
        return tokens

    def _too_long(self, tokens: str, name: str, field: str) -> PromptTooLongError:
        return PromptTooLongError(
            f"{name} has {tokens} tokens and the model reads {self._longest} at once; shorten it,"
            " or set a larger `context` where the model was trained for more",
            field=field,
        )


def _filled_in(template: str, query: str, document: str) -> bytes:
    """Return a template filled in at one go, so that no text brings a placeholder along."""
    texts = {"query": query, "document": document}
    return _PLACEHOLDERS.sub(lambda found: texts[found[1]], template).encode()
