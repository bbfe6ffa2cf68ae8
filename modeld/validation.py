# SPDX-License-Identifier: GPL-3.0-only
"""Checks a request where it enters the service, from whichever door it came.

A struct takes whatever it is made with. A worker would find a wrong type in it only when it decodes
the frame, and an engine only in the middle of a step, where others pay for it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from modeld.chats import NO_PROMPT, PROMPTS, fault_of_chat
from modeld.constraints import fault_of_constraints, fault_of_many
from modeld.errors import InvalidRequestError, PromptRequiredError
from modeld.expectation import nearest
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    BackendSampling,
    DetokenizeRequest,
    EmbedRequest,
    GenerateRequest,
    RerankRequest,
    Sampling,
    TokenizeRequest,
)
from modeld.sampling import OWN, SamplingParameter, parameters_of

LONGEST_SHOWN: Final = 64

R = TypeVar("R", GenerateRequest, AnyUnaryRequest, Sampling)
B = TypeVar("B", bound=BackendSampling)

_encoder = msgspec.msgpack.Encoder()
_DECODERS: Final[Mapping[type, msgspec.msgpack.Decoder[Any]]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (
        GenerateRequest,
        Sampling,
        EmbedRequest,
        RerankRequest,
        TokenizeRequest,
        DetokenizeRequest,
        ApplyTemplateRequest,
    )
}
_SEQUENCES: Final[Mapping[type, tuple[str, ...]]] = {
    GenerateRequest: ("prompt_tokens", "messages", "tools", "stop", "choice"),
    Sampling: ("logit_bias",),
    EmbedRequest: ("inputs",),
    RerankRequest: ("documents",),
    DetokenizeRequest: ("tokens",),
    ApplyTemplateRequest: ("messages", "tools"),
}
_WHERE = re.compile(r"(?s)(?P<fault>.*?)(?: - at (?:`key` in )?`\$(?P<path>.*)`)?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`")
_ORDERED: Final = (tuple, list)
_UNSET: Final = Sampling()


def checked_request(request: GenerateRequest) -> GenerateRequest:
    """Return the same request with every member of its declared type and in its range.

    Lists become tuples, and nothing of it can be changed any more by whoever has made it.

    Raises:
        PromptRequiredError: there is neither a prompt nor a chat.
        InvalidRequestError: a member is wrong; ``field`` names it as the wire does.
    """
    if type(request) is not GenerateRequest:
        raise InvalidRequestError(f"the request is {_named(request)}, not a GenerateRequest")
    if type(request.sampling) is Sampling:
        _check_order(request.sampling)
    request = _converted(request)
    _check_pairs(request)
    return request


def checked_unary_request(request: AnyUnaryRequest) -> AnyUnaryRequest:
    """Return the same request with every member of its declared type and in its range.

    Raises:
        InvalidRequestError: a member is wrong; ``field`` names it.
    """
    if type(request) not in _DECODERS or isinstance(request, GenerateRequest | Sampling):
        raise InvalidRequestError(f"the request is {_named(request)}, not a unary one")
    request = _converted(request)
    if isinstance(request, ApplyTemplateRequest) and (fault := fault_of_chat(request)):
        raise _wrong(*fault)
    return request


def checked_sampling(sampling: Sampling) -> Sampling:
    """Return the same with every parameter that all engines know in its range.

    ``own`` stays as it is, for :func:`checked_own_sampling`.

    Raises:
        InvalidRequestError: a value is of another type or out of range; it is named.
    """
    return _converted(sampling)


def checked_own_sampling(sampling: Sampling, declared: type[B]) -> B:
    """Return the parameters of a model's backend as the type in which that declares them.

    Raises:
        InvalidRequestError: the backend does not declare one, or a value is of another type or out
            of range; the message has its name, the value and what was expected.
    """
    # Most requests have none, and each is checked twice: before it waits, and where it is obeyed.
    rows = {row.name: row for row in parameters_of(declared)} if sampling.own else {}
    for name, value in sampling.own.items():
        if name in Sampling.__struct_fields__:
            raise _wrong(name, "every engine knows this one: set it beside own, not in it")
        if name not in rows:
            hint = nearest(name, [*Sampling.__struct_fields__, *rows])
            raise _wrong(name, f"the model's backend has no such sampling parameter{hint}")
        if isinstance(value, float) and not math.isfinite(value):
            raise _wrong(name, f"expected {rows[name].expected}, got {value}")
    try:
        return msgspec.convert(dict(sampling.own), declared)
    except msgspec.ValidationError as exc:
        for name, value in sampling.own.items():
            # Only now, one by one: some may be right together and wrong alone.
            _check_own(rows[name], value, declared, str(exc))
        raise InvalidRequestError(str(exc)) from exc  # what belongs together, in its author's words


def check_served(sampling: Sampling, unserved: Iterable[str]) -> None:
    """Refuse what a model's backend does not serve of the parameters that all know.

    Raises:
        InvalidRequestError: the request sets one of ``unserved``; it is named.
    """
    for name in unserved:
        if getattr(sampling, name) != getattr(_UNSET, name):
            raise _wrong(name, "the model's backend does not serve this sampling parameter")


def _check_own(
    row: SamplingParameter, value: object, declared: type[BackendSampling], fault: str
) -> None:
    """Refuse a value that brings about ``fault`` by itself."""
    try:
        msgspec.convert({row.name: value}, declared)
    except msgspec.ValidationError as exc:
        if str(exc) != fault:
            return
        message, field = explain(exc)
        if field is None:  # its author's words
            raise InvalidRequestError(str(exc), field=row.name) from exc
        if field != row.name:
            raise InvalidRequestError(message, field=field) from exc
        raise _wrong(row.name, f"expected {row.expected}, got {_got(value)}") from exc


def explain(fault: msgspec.ValidationError, *, within: str = "") -> tuple[str, str | None]:
    """Return what a decoder found wrong, in words that name the field first, and that field.

    ``within`` is the path to the request in what was decoded.
    """
    matched = _WHERE.fullmatch(str(fault))
    assert matched is not None  # it matches any text
    path, words = (matched["path"] or "").removeprefix(within), matched["fault"].replace("`", "")
    if unknown := _UNKNOWN.fullmatch(matched["fault"]):
        path, words = f"{path}.{unknown['name']}", "unknown field"
    path = _as_on_the_wire(path)
    words = _shortened(words[:1].lower() + words[1:])
    return (f"{_shortened(path)}: {words}", _shortened(path)) if path else (words, None)


def _converted(value: R) -> R:
    """Return ``value`` as a frame would carry it: there types and ranges are checked anyway."""
    _check_order(value)
    try:
        encoded = _encoder.encode(value)
    except Exception as exc:
        raise _wrong(*_unencodable(value, "", exc)) from exc
    try:
        converted: R = _DECODERS[type(value)].decode(encoded)
    except msgspec.ValidationError as exc:
        message, field = explain(exc)
        raise InvalidRequestError(message, field=field) from exc
    return converted


def _check_order(value: msgspec.Struct) -> None:
    """Refuse a set: it is written like a list, in any order, and would be taken for one."""
    members = [(name, getattr(value, name)) for name in _SEQUENCES.get(type(value), ())]
    members += _own_members(value) if isinstance(value, Sampling) else []
    if isinstance(value, EmbedRequest) and issubclass(type(value.inputs), _ORDERED):
        members += [(f"inputs[{index}]", each) for index, each in enumerate(value.inputs)]
    for name, member in members:
        if issubclass(type(member), set | frozenset):
            raise _wrong(name, f"is {_named(member)}, which has no order")


def _check_pairs(request: GenerateRequest) -> None:
    """Check what the types cannot say, in the order and the words of the native wire."""
    given = {name: said for name in PROMPTS if (said := getattr(request, name)) is not None}
    if fault := fault_of_many(given):
        raise _wrong(*fault)
    if not any(given.values()) and not (request.suffix and "prompt" in given):
        raise PromptRequiredError(NO_PROMPT, field="prompt")
    if fault := fault_of_constraints(request) or fault_of_chat(request):
        raise _wrong(*fault)


def _unencodable(value: object, path: str, exc: Exception) -> tuple[str, str]:
    """Return the innermost member that cannot be encoded, and why."""
    for name, member in _members(value):
        try:
            _encoder.encode(member)
        except Exception as inner:  # noqa: BLE001  (a foreign object may raise anything)
            return _unencodable(member, f"{path}{name}", inner)
    return path, _why_not(value, exc)


def _members(value: object) -> list[tuple[str, object]]:
    kind = type(value)  # isinstance would ask the value, which may raise
    if issubclass(kind, msgspec.Struct):
        members = [(f".{name}", getattr(value, name)) for name in kind.__struct_fields__]
        return [*_own_members(value), *members] if isinstance(value, Sampling) else members
    if issubclass(kind, _ORDERED):
        assert isinstance(value, _ORDERED)
        return [(f"[{index}]", member) for index, member in enumerate(value)]
    return []


def _own_members(sampling: Sampling) -> list[tuple[str, object]]:
    """Return the members of a dictionary; say of anything else that it is none."""
    if type(own := sampling.own) is not dict:
        return []
    return [(f".{OWN}.{name}", member) for name, member in own.items() if type(name) is str]


def _why_not(value: object, exc: Exception) -> str:
    match exc:
        case UnicodeEncodeError():
            return f"has half of a surrogate pair at character {exc.start}"
        case OverflowError():
            return "has a whole number of more than 64 bits"
        case RecursionError():
            return "is nested too deeply"
        case _:
            return f"is {_named(value)}, which is no plain data or holds something that is none"


def _named(value: object) -> str:
    """Return what a value is; never the value itself, which may be somebody's secret."""
    kind = type(value)
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return _shortened(f"a {home}{kind.__qualname__}")


def _wrong(path: str, fault: str) -> InvalidRequestError:
    field = _shortened(_as_on_the_wire(path))
    return InvalidRequestError(f"{field}: {fault}" if field else fault, field=field or None)


def _got(value: object) -> str:
    """Return a number as it is, anything else by its kind: it may be somebody's secret."""
    return str(value) if type(value) in {int, float} else _named(value)


def _as_on_the_wire(path: str) -> str:
    """Return where a member of a request stands there: sampling's are fields beside it."""
    inside = path.removeprefix(".").removeprefix("sampling.")
    return inside.removeprefix(f"{OWN}.")


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
