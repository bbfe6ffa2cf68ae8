# SPDX-License-Identifier: GPL-3.0-only
"""Anthropic's wire format: its routes, and how its errors look."""

from __future__ import annotations

from collections.abc import Sequence

from modeld.dialects import Dialect, DialectRoute, WholeResponse
from modeld.dialects.sampling_fields import with_parameters
from modeld.errors import ModeldError
from modeld.sampling import SamplingParameter
from modeld_anthropic.count_tokens import count_tokens_route
from modeld_anthropic.errors import AnthropicErrorBody, error_response
from modeld_anthropic.messages.body import MessagesBody
from modeld_anthropic.messages.route import messages_route


class Anthropic(Dialect):
    """Messages, and how many tokens they have."""

    name = "anthropic"
    prefixes = ("/v1/messages",)
    base_path = ""
    error_body = AnthropicErrorBody

    def __init__(self, parameters: tuple[SamplingParameter, ...]) -> None:
        self._own = tuple(row for row in parameters if row.name not in MessagesBody.model_fields)

    def routes(self) -> Sequence[DialectRoute]:
        """Return all routes."""
        return (messages_route(with_parameters(MessagesBody, self._own)), count_tokens_route())

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        """Return an error as this API has it."""
        return error_response(error, status, request_id)
