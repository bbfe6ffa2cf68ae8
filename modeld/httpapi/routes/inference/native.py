# SPDX-License-Identifier: GPL-3.0-only
"""The native wire as a dialect like all others; its formats are plugins."""

from __future__ import annotations

from collections.abc import Sequence

from modeld.dialects import Dialect, DialectRoute, WholeResponse
from modeld.errors import ModeldError
from modeld.httpapi.exchange.problems import ErrorBody, native_error
from modeld.httpapi.exchange.reading.accept import Formatters
from modeld.httpapi.routes.inference.infer import infer_route
from modeld.httpapi.routes.inference.unary import UNARY_ROUTES
from modeld.sampling import SamplingParameter


class Native(Dialect):
    """``POST /infer`` and its siblings. Its errors are those of all routes of no other dialect."""

    name = "native"
    error_body = ErrorBody

    def __init__(
        self, formatters: Formatters, parameters: tuple[SamplingParameter, ...] = ()
    ) -> None:
        self._formatters = formatters
        self._parameters = parameters

    def routes(self) -> Sequence[DialectRoute]:
        """Return the route for text and those for everything else."""
        return (infer_route(self._formatters, self._parameters), *UNARY_ROUTES)

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:  # noqa: ARG002
        """Return an error as modeld's own document."""
        return native_error(error, status)
