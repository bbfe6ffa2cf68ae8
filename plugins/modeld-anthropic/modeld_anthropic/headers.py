# SPDX-License-Identifier: GPL-3.0-only
"""The headers of this API."""

from __future__ import annotations

from typing import Final

from modeld.dialects import Call
from modeld.dialects.body import wrong
from modeld.dialects.documents import NO_STORE, Header, Parameter

VERSIONS: Final = ("2023-06-01", "2026-10-21")
"""What clients may ask for. What differs between these, is served in both."""

REQUEST_ID: Final = Header(
    name="request-id", description="what the server's log calls the request, as X-Request-ID"
)
HEADERS: Final = (NO_STORE, REQUEST_ID)

PARAMETERS: Final = (
    Parameter(
        name="beta",
        location="query",
        description="taken and without effect: what a beta brings stands in the body",
        choices=("true",),
    ),
    Parameter(
        name="anthropic-version",
        location="header",
        description="the version of the API, if it is sent",
        choices=VERSIONS,
    ),
    Parameter(
        name="anthropic-beta",
        location="header",
        description="taken and without effect: what a beta brings stands in the body",
    ),
)
"""What clients send beside the body."""


def own_headers(request_id: str) -> dict[str, str]:
    """Return the headers that every response has."""
    return {"request-id": request_id}


def check_version(call: Call) -> None:
    """Refuse a request that wants another version of the API.

    Raises:
        InvalidRequestError: it does.
    """
    if call.headers.get("anthropic-version", VERSIONS[-1]) not in VERSIONS:
        raise wrong("anthropic-version", f"must be one of {', '.join(VERSIONS)}")
