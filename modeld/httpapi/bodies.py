# SPDX-License-Identifier: GPL-3.0-only
"""JSON to values: the only place that trusts nothing."""

from __future__ import annotations

import re
from typing import TypeVar

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from modeld.errors import (
    BodyTooLargeError,
    InvalidJsonError,
    InvalidRequestError,
    UnsupportedMediaTypeError,
)
from modeld.httpapi.presence import ClientLeft
from modeld.settings import nearest

MAX_NESTING = 64
"""How deeply the arrays and objects of a body may be nested."""

MAX_CONTAINERS = 16_384
"""How many arrays and objects a body may have: a million of them keep the event loop busy."""

# Also matches a string that is cut off, so that there is no quote at which it has to start again.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)', re.DOTALL)
_ROUND_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_JSON_TYPES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}
_WANTED = {
    "dict_type": "must be an object",
    "extra_forbidden": "unknown field",
    "list_type": "must be an array",
    "missing": "must be given",
    "model_type": "must be an object",
}

Body = TypeVar("Body", bound=BaseModel)


async def read_json(scope: Scope, receive: Receive, limit_bytes: int) -> object:
    """Read a request's whole body and decode it.

    Raises:
        UnsupportedMediaTypeError: it is not announced as plain ``application/json``.
        BodyTooLargeError: it is, or is announced to be, longer than ``limit_bytes``.
        InvalidJsonError: it is not what RFC 8259 describes, or nested too deeply.
        ClientLeft: it never came to its end.
    """
    headers = Headers(scope=scope)
    _check_media_type(headers)
    if _announced_bytes(headers) > limit_bytes:
        raise _too_large(limit_bytes)
    return decode(await _read(receive, limit_bytes))


def decode(body: bytes) -> object:
    """The value that ``body`` says, under the rules of :func:`read_json`."""
    if not body:
        raise InvalidJsonError("the body is empty; send a JSON object")
    brackets = _brackets(body)
    if len(brackets) > 2 * MAX_CONTAINERS:
        raise InvalidJsonError(f"the body has more than {MAX_CONTAINERS} arrays and objects")
    try:
        value: object = msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as exc:
        raise InvalidJsonError(f"the body is not valid UTF-8 at byte {exc.start}") from exc
    except msgspec.DecodeError as exc:
        raise InvalidJsonError(_explain(str(exc))) from exc
    if _is_too_deep(brackets):
        raise _too_deep()
    return value


def parse(model: type[Body], value: object) -> Body:
    """``value`` as a checked ``model``.

    Raises:
        InvalidRequestError: it does not fit; the message names the field and what was expected.
    """
    if not isinstance(value, dict):
        raise InvalidRequestError(f"the body must be a JSON object, got {_named(value)}")
    try:
        return model.model_validate(value)
    except ValidationError as exc:
        raise _refusal(model, exc) from None


def _check_media_type(headers: Headers) -> None:
    media_type, *parameters = headers.get("content-type", "").lower().split(";")
    if media_type.strip() != "application/json":
        raise UnsupportedMediaTypeError("the body must be sent with Content-Type: application/json")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip(' "') not in {"utf-8", "utf8"}:
            raise UnsupportedMediaTypeError("JSON must be sent as UTF-8; leave the charset out")
    if headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}:
        raise UnsupportedMediaTypeError("the body must not be compressed; send it as it is")


def _announced_bytes(headers: Headers) -> float:
    """The announced length; 0 without one, as in a chunked body."""
    announced = headers.get("content-length", "")
    return float(announced) if announced.isdecimal() else 0.0


async def _read(receive: Receive, limit_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientLeft
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _brackets(body: bytes) -> bytes:
    """The brackets of all arrays and objects, without what is in strings; none if they are few.

    This costs a few milliseconds for the largest body, a walk over the decoded value a hundred.
    """
    if body.count(b"[") + body.count(b"{") <= MAX_NESTING:
        return b""
    return _STRING.sub(b"", body).translate(_ROUND_TO_SQUARE, _NO_BRACKET)


def _is_too_deep(brackets: bytes) -> bool:
    """Whether more than the allowed levels are left when the innermost are taken away in turn."""
    for _ in range(MAX_NESTING):
        if not brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _refusal(model: type[BaseModel], invalid: ValidationError) -> InvalidRequestError:
    """The first of the faults, in words that tell a client what to change."""
    fault = invalid.errors(include_url=False)[0]
    kind, location = fault["type"], fault["loc"]
    field = _shortened(_path(location))
    wanted = _WANTED.get(kind) or _lowered(fault["msg"].replace("Input should be", "must be"))
    if kind == "extra_forbidden" and len(location) == 1:
        wanted += nearest(field, list(model.model_fields))
    elif wanted.startswith("must be ") and kind != "missing":
        wanted += f", got {_named(fault['input'])}"
    return InvalidRequestError(f"{field}: {wanted}", field=field)


def _path(location: tuple[int | str, ...]) -> str:
    """``("messages", 2, "role")`` as ``messages[2].role``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".").removesuffix(".[key]")


def _named(value: object) -> str:
    """What a value is; only numbers are repeated, because a text may be somebody's secret."""
    return _JSON_TYPES.get(type(value)) or _shortened(str(value))


def _lowered(text: str) -> str:
    return (text[:1].lower() + text[1:]).replace(" after validation", "")


def _shortened(text: str) -> str:
    return text if len(text) <= 64 else f"{text[:64]}…"


def _explain(fault: str) -> str:
    if "truncated" in fault:
        return "the body is not valid JSON: it ends too early or has half of a surrogate pair"
    return f"the body is not valid JSON: {fault.removeprefix('JSON is malformed: ')}"


def _too_large(limit_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"the body is larger than {limit_bytes} bytes, which is the limit")


def _too_deep() -> InvalidJsonError:
    return InvalidJsonError(f"the body is nested more than {MAX_NESTING} levels deep")
