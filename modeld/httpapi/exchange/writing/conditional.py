# SPDX-License-Identifier: GPL-3.0-only
"""Conditional responses: 304 where what the client has is current."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from modeld.dialects.documents import Header, Parameter, ResponseDoc
from modeld.httpapi.exchange.writing.json_response import LongDocument

REVALIDATED: Final = "private, no-cache"

TAGGED: Final = (
    Header(name="ETag", description="names this version; send it as If-None-Match the next time"),
    Header(
        name="Cache-Control",
        value=REVALIDATED,
        description="it may be kept, and is asked for again each time",
    ),
)

IF_NONE_MATCH: Final = Parameter(
    name="If-None-Match",
    location="header",
    description="the ETag of a response that is at hand: 304 without a body where it is the same",
    example='"2c26b46b68ffc68ff99b453c1d304134"',
)

UNCHANGED: Final = ResponseDoc(
    status=304, description="It is what If-None-Match names", headers=TAGGED
)


def tag_of(pieces: Iterable[bytes]) -> str:
    """Return the entity tag of a body."""
    digest = blake2b(digest_size=16)
    for piece in pieces:
        digest.update(piece)
    return f'"{digest.hexdigest()}"'


def conditional(request: Request, pieces: Sequence[bytes], tag: str) -> Response:
    """Return a JSON document, or 304 where the client has the one of this tag."""
    headers = {"ETag": tag, "Cache-Control": REVALIDATED}
    if _has(request.headers.getlist("if-none-match"), tag):
        return Response(status_code=304, headers=headers)
    return LongDocument(pieces, headers)


def _has(sent: Sequence[str], tag: str) -> bool:
    """Return whether a tag is among those that were sent, strong or weak."""
    tags = [each.strip().removeprefix("W/") for value in sent for each in value.split(",")]
    return tag in tags or "*" in tags
