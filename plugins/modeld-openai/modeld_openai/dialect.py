# SPDX-License-Identifier: GPL-3.0-only
"""OpenAI's wire format: its routes, and how its errors look."""

from __future__ import annotations

from collections.abc import Sequence

from modeld.dialects import Dialect, DialectRoute, WholeResponse
from modeld.dialects.sampling_fields import with_parameters
from modeld.errors import ModeldError
from modeld.sampling import SamplingParameter
from modeld_openai.chat.body import ChatCompletionBody
from modeld_openai.chat.route import chat_route
from modeld_openai.completions.body import CompletionBody
from modeld_openai.completions.route import completion_route
from modeld_openai.embeddings import embeddings_route
from modeld_openai.errors import OpenAIErrorBody, error_response
from modeld_openai.fields import GenerationBody
from modeld_openai.model_list import model_routes
from modeld_openai.rerank import rerank_route
from modeld_openai.tokens import token_routes
from modeld_openai.unversioned import unversioned


class OpenAI(Dialect):
    """Chats, completions, embeddings, rankings, tokens and the list of models under ``/v1``."""

    name = "openai"
    prefixes = ("/v1",)
    base_path = "/v1"
    error_body = OpenAIErrorBody

    def __init__(self, parameters: tuple[SamplingParameter, ...]) -> None:
        self._parameters = parameters

    def routes(self) -> Sequence[DialectRoute]:
        """Return all routes, without ``/v1`` too where the native wire has no such address."""
        usual: tuple[DialectRoute, ...] = (
            chat_route(with_parameters(ChatCompletionBody, self._own(ChatCompletionBody))),
            completion_route(with_parameters(CompletionBody, self._own(CompletionBody))),
            embeddings_route(),
        )
        return (
            *usual,
            *map(unversioned, usual),
            rerank_route(),
            *token_routes(),
            *model_routes(),
        )

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:  # noqa: ARG002
        """Return an error as this API has it."""
        return error_response(error, status)

    def _own(self, body: type[GenerationBody]) -> tuple[SamplingParameter, ...]:
        """Return what backends declare, without what this API has under the same name."""
        return tuple(row for row in self._parameters if row.name not in body.model_fields)
