# SPDX-License-Identifier: GPL-3.0-only
"""Ollama's wire format: its routes, and how its errors look."""

from __future__ import annotations

from collections.abc import Sequence

from modeld.dialects import Dialect, DialectRoute, WholeResponse
from modeld.errors import ModeldError
from modeld.sampling import SamplingParameter
from modeld_ollama.chat.body import OllamaChatBody
from modeld_ollama.embedding.bodies import OllamaEmbedBody, OllamaEmbeddingsBody
from modeld_ollama.embedding.embed import EmbedRoutes
from modeld_ollama.errors import OllamaErrorBody, error_line, error_response
from modeld_ollama.models.catalogue import Catalogue
from modeld_ollama.models.library import (
    pull_route,
    refused_routes,
    running_route,
    version_route,
)
from modeld_ollama.models.listings import listing_routes
from modeld_ollama.models.show import show_route
from modeld_ollama.text.fields import with_options
from modeld_ollama.text.generate import OllamaGenerateBody
from modeld_ollama.text.options import options_body
from modeld_ollama.text.routes import TextRoutes


class Ollama(Dialect):
    """Chats, texts, embeddings and the lists of models under ``/api``, and a word at ``/``."""

    name = "ollama"
    prefixes = ("/api",)
    base_path = ""
    error_body = OllamaErrorBody

    def __init__(self, parameters: tuple[SamplingParameter, ...]) -> None:
        self._options = options_body(parameters)
        self._own = frozenset(row.name for row in parameters)

    def routes(self) -> Sequence[DialectRoute]:
        """Return all routes."""
        catalogue, options = Catalogue(), self._options
        text = TextRoutes(catalogue=catalogue, failure=lambda error: error_line(error, self._own))
        embed = EmbedRoutes(catalogue=catalogue)
        return (
            text.chat(with_options(OllamaChatBody, options)),
            text.generate(with_options(OllamaGenerateBody, options)),
            embed.embed(with_options(OllamaEmbedBody, options)),
            embed.embeddings(with_options(OllamaEmbeddingsBody, options)),
            *listing_routes(),
            show_route(catalogue),
            version_route(),
            running_route(),
            pull_route(catalogue),
            *refused_routes(),
        )

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:  # noqa: ARG002
        """Return an error as this API has it."""
        return error_response(error, status, self._own)
