# SPDX-License-Identifier: GPL-3.0-only
"""OpenAI's responses: a dialect of their own, as their bodies have names of their own."""

from __future__ import annotations

from collections.abc import Sequence

from modeld.dialects import Dialect, DialectRoute, WholeResponse
from modeld.dialects.sampling_fields import with_parameters
from modeld.errors import ModeldError
from modeld.sampling import SamplingParameter
from modeld_openai.errors import OpenAIErrorBody, error_response
from modeld_openai.responses.names import named
from modeld_openai.responses.reading.body import ResponsesBody
from modeld_openai.responses.routes import ResponseRoutes
from modeld_openai.responses.store import ResponseStore
from modeld_openai.unversioned import unversioned


class OpenAIResponses(Dialect):
    """Responses under ``/v1/responses`` and ``/responses``, and the store that keeps them."""

    name = "openai-responses"
    prefixes = ("/v1/responses", "/responses")
    error_body = OpenAIErrorBody

    def __init__(self, parameters: tuple[SamplingParameter, ...]) -> None:
        self._parameters = parameters

    def routes(self) -> Sequence[DialectRoute]:
        """Return all routes."""
        own = tuple(row for row in self._parameters if row.name not in ResponsesBody.model_fields)
        routes = ResponseRoutes(with_parameters(ResponsesBody, own), ResponseStore()).all()
        return (*routes, *map(unversioned, routes))

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:  # noqa: ARG002
        """Return an error as this API has it."""
        return error_response(error, status, named)
