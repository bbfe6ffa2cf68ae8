# SPDX-License-Identifier: GPL-3.0-only
"""Swagger UI under ``/swagger``, from files in the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

# Swagger UI sets styles of its own; everything else comes from this server or not at all.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_FOLDER = Path(__file__).parent / "static" / "swagger"


class _Pages(StaticFiles):
    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def swagger_route() -> Mount:
    """The route that serves the pages; they read ``doc.json`` beside them."""
    return Mount("/swagger", _Pages(directory=_FOLDER, html=True), name="swagger")
