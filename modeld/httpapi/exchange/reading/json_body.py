# SPDX-License-Identifier: GPL-3.0-only
"""Decodes JSON strictly into values; nothing about a body is trusted."""

from __future__ import annotations

import asyncio
import re
from typing import TypeVar
from weakref import WeakKeyDictionary

import msgspec
from pydantic import BaseModel, ValidationError
from starlette.datastructures import Headers
from starlette.types import Receive, Scope

from modeld.dialects.body import MISSING_FIELD, UNKNOWN_FIELD, UNSERVED_KIND, Strict
from modeld.errors import (
    BodyTooLargeError,
    InvalidJsonError,
    InvalidRequestError,
    UnsupportedMediaTypeError,
)
from modeld.expectation import nearest
from modeld.httpapi.exchange.disconnect import ClientLeft
from modeld.httpapi.exchange.reading.body_shape import (
    MAX_NESTING,
    BodyShape,
    checked_shape,
    is_too_deep,
)
from modeld.httpapi.exchange.reading.repeated_names import repeated_name

_LONG_BYTES = 64 << 10
"""A longer body is counted, decoded, searched and checked in a turn of the event loop each."""

_OUGHT = re.compile(r"(?:Input|List|String|Dictionary) should ")
_READING: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()

_JSON_TYPES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "a boolean",
    type(None): "null",
}
_OTHER_NAME = "its name must be the id of a token"  # in the one object whose names have a form
_WANTED = {
    "dict_type": "must be an object",
    "list_type": "must be an array",
    "missing": "must be given",
    MISSING_FIELD: "must be given",
    "model_type": "must be an object",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}

Body = TypeVar("Body", bound=BaseModel)


async def read_body(model: type[Body], scope: Scope, receive: Receive, limit_bytes: int) -> Body:
    """Read a request's whole body and return it as a checked ``model``.

    Each step is short, however the body is; long bodies take their steps one after the other, so
    that many of them at once hold up other requests no longer than one does.

    Raises:
        UnsupportedMediaTypeError: it is not announced as plain ``application/json``.
        BodyTooLargeError: it is, or is announced to be, longer than ``limit_bytes``.
        InvalidJsonError: it is not what RFC 8259 describes, or says more than a request may.
        InvalidRequestError: it does not fit, or an object in it has two members of one name; the
            message names the field and what was expected.
        ClientLeft: it never came to its end.
    """
    headers = Headers(scope=scope)
    _check_media_type(headers)
    if _announced_bytes(headers) > limit_bytes:
        raise _too_large(limit_bytes)
    body = await _read(receive, limit_bytes)
    if len(body) <= _LONG_BYTES:
        return parse(model, decode(body))
    async with _long_body():
        shape = checked_shape(body)
        await asyncio.sleep(0)
        value = _decoded(body, shape)
        await asyncio.sleep(0)
        _refuse_repeated_name(body, value, shape)
        await asyncio.sleep(0)
        parsed = parse(model, value)
        await asyncio.sleep(0)
    return parsed


class _Nothing(Strict):
    """The body of a request to a path that takes none."""


async def read_no_body(scope: Scope, receive: Receive) -> None:
    """Refuse a request's body if it says anything: nobody would look at it.

    Raises:
        ModeldError: as :func:`read_body` for an object without fields.
        ClientLeft: it never came to its end.
    """
    await read_optional_body(_Nothing, scope, receive)


async def read_optional_body(model: type[Body], scope: Scope, receive: Receive) -> Body:
    """Return a request's body, which is short; one that is left out says nothing.

    Raises:
        ModeldError: as :func:`read_body`.
        ClientLeft: it never came to its end.
    """
    headers = Headers(scope=scope)
    is_announced = _announced_bytes(headers) or "transfer-encoding" in headers
    body = await _read(receive, _LONG_BYTES) if is_announced else b""
    if not body:
        return model()
    _check_media_type(headers)
    return parse(model, decode(body))


def _long_body() -> asyncio.Lock:
    """Return the lock whose holder has the one long body that is read on this event loop."""
    return _READING.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def decode(body: bytes) -> object:
    """Return the value that ``body`` says.

    Raises:
        InvalidJsonError: it is not what RFC 8259 describes, or says more than a request may.
        InvalidRequestError: an object in it has two members of one name.
    """
    if not body:
        raise InvalidJsonError("the body is empty; send a JSON object")
    shape = checked_shape(body)
    value = _decoded(body, shape)
    _refuse_repeated_name(body, value, shape)
    return value


def _decoded(body: bytes, shape: BodyShape) -> object:
    try:
        value: object = msgspec.json.decode(body)
    except RecursionError:
        raise _too_deep() from None
    except UnicodeDecodeError as exc:
        raise InvalidJsonError(f"the body is not valid UTF-8 at byte {exc.start}") from exc
    except msgspec.DecodeError as exc:
        raise InvalidJsonError(_explain(str(exc))) from exc
    if is_too_deep(shape.brackets):
        raise _too_deep()
    return value


def _refuse_repeated_name(body: bytes, value: object, shape: BodyShape) -> None:
    if (location := repeated_name(body, value, shape)) is not None:
        field = _shortened(_path(location))
        raise InvalidRequestError(f"{field}: is there twice; send it once", field=field)


def parse(model: type[Body], value: object) -> Body:
    """Return ``value`` as a checked ``model``.

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
    """Return the announced length; 0 without one, as in a chunked body."""
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


def _refusal(model: type[BaseModel], invalid: ValidationError) -> InvalidRequestError:
    """Return the error for the first of the faults, which tells a client what to change."""
    fault = invalid.errors(include_url=False)[0]
    kind, location = fault["type"], fault["loc"]
    if kind == UNKNOWN_FIELD:
        return _unknown_field(model, (*location, fault["ctx"]["name"]), fault["ctx"]["advice"])
    if kind in {MISSING_FIELD, UNSERVED_KIND}:
        location = (*location, fault["ctx"]["name"])
    field = _shortened(_path(location))
    wanted = _WANTED.get(kind) or _lowered(_OUGHT.sub("must ", fault["msg"]))
    if location[-1:] == ("[key]",):
        wanted = _OTHER_NAME
    if wanted.startswith("must be ") and kind not in {"missing", MISSING_FIELD}:
        wanted += f", got {_named(fault['input'])}"
    return InvalidRequestError(f"{field}: {wanted}", field=field)


def _unknown_field(
    model: type[BaseModel], location: tuple[int | str, ...], advice: str
) -> InvalidRequestError:
    field = _shortened(_path(location))
    if advice:
        hint = f"; {advice}"
    else:
        hint = nearest(field, list(model.model_fields)) if len(location) == 1 else ""
    return InvalidRequestError(f"{field}: unknown field{hint}", field=field)


def _path(location: tuple[int | str, ...]) -> str:
    """Return ``("messages", 2, "~text", "role")`` as ``messages[2].role``."""
    named = (part for part in location if isinstance(part, int) or not part.startswith("~"))
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in named)
    return text.removeprefix(".").removesuffix(".[key]")


def _named(value: object) -> str:
    """Return what a value is; only numbers are repeated: a text may be somebody's secret."""
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
