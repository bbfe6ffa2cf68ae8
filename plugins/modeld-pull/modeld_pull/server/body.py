# SPDX-License-Identifier: GPL-3.0-only
"""What a client asks for with ``POST /models/pull``, and what it is told."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from starlette.requests import Request

from modeld.errors import (
    BodyTooLargeError,
    DrainingError,
    InvalidJsonError,
    InvalidRequestError,
    ModeldError,
    UnsupportedMediaTypeError,
)
from modeld.expectation import json_fault, twice_in_json
from modeld.validation import explain
from modeld.values import Value
from modeld_pull.server.job import Job

LONGEST_BODY: Final = 16 << 10

_Text = Annotated[str, Meta(max_length=2048)]


class PullBody(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of ``POST /models/pull``."""

    source: _Text
    file: _Text = ""
    revision: _Text = ""
    sha256: _Text = ""
    stream: bool = False
    detach: bool = False


async def read_body(request: Request) -> PullBody:
    """Return the body of a request.

    Raises:
        InvalidRequestError: it is no such body; the message names the field.
        ModeldError: it is not JSON, or too long.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaTypeError("the body must be sent with Content-Type: application/json")
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > LONGEST_BODY:
            raise BodyTooLargeError(f"the body is larger than {LONGEST_BODY} bytes")
    return decoded(bytes(content))


def decoded(content: bytes) -> PullBody:
    """Return what the bytes of a body say.

    Raises:
        InvalidRequestError: they say something else than a pull.
    """
    try:
        body = msgspec.json.decode(content, type=PullBody)
    except msgspec.ValidationError as exc:
        message, field = explain(exc)
        raise InvalidRequestError(message, field=field) from exc
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        said = json_fault(content, exc)
        raise InvalidJsonError(f"the body is not valid JSON: {said}") from exc
    if twice := twice_in_json(content):
        name = twice[0]
        raise InvalidRequestError(f"{name}: is there twice; send it once", field=name)
    return body


def document_of(job: Job) -> dict[str, Any]:
    """Return a job as clients are told of it."""
    progress = job.progress
    status = progress.status if job.state == "running" else job.state
    return {
        "id": job.id,
        "source": str(job.reference),
        "status": status,
        "file": progress.file,
        "completed_bytes": progress.completed_bytes,
        "total_bytes": progress.total_bytes,
        "detail": progress.detail if job.state == "running" else "",
        "models": list(job.models),
        "error": failure_of(job.error) if job.error else None,
    }


def failure_of(error: ModeldError) -> dict[str, Any]:
    """Return an error as the last line of a stream has it."""
    found = {"error": error.message, "code": status_of(error), "reason": error.code}
    return found | ({"field": error.field} if error.field else {})


def status_of(error: ModeldError) -> int:
    """Return the HTTP status of what may go wrong with a pull."""
    match error:
        case ModeldError(status=int(status)):
            return status
        case InvalidRequestError():
            return 400
        case DrainingError():
            return 503
        case _:
            return 500
