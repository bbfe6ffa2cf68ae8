# SPDX-License-Identifier: GPL-3.0-only
"""Words for errors about values: what was expected, and what was given."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec
from msgspec import inspect

_LONGEST: Final = 64
_PLAIN: Final[dict[type[inspect.Type], str]] = {
    inspect.BoolType: "true or false",
    inspect.NoneType: "nothing (null)",
    inspect.DictType: "a table",
    inspect.StructType: "a table",
}
_TRUNCATED: Final = "Input data was truncated"
_JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:]|\n', re.DOTALL)
_BYTE = re.compile(r"(?P<fault>.*) \(byte (?P<byte>\d+)\)")


def expected(annotation: Any) -> str:
    """Return what values of a type are, like ``a whole number from 0 to 16``."""
    return in_words(inspect.type_info(annotation))


def number(noun: str, limits: Any) -> str:
    """Return ``noun`` with the range that ``limits`` (``ge``, ``gt``, ``le``, ``lt``) allow."""
    low = limits.ge if limits.ge is not None else limits.gt
    high = limits.le if limits.le is not None else limits.lt
    if limits.ge is not None and limits.le is not None:
        return f"{noun} from {low} to {high}"
    words = [noun]
    if low is not None:
        words.append(f"of {low} or more" if limits.ge is not None else f"above {low}")
    if high is not None:
        words.append(f"up to {high}" if limits.le is not None else f"below {high}")
    return " ".join(words)


def shown(value: object) -> str:
    """Return a value as it was written, if that is short; else what it is."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            text = repr(value)
            return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
        case list() | tuple():
            return "a list"
        case dict():
            return "a table"
        case _:
            return str(value)[:_LONGEST]


def json_fault(text: str | bytes, fault: Exception) -> str:
    """Return where and why ``text`` is no JSON, from what the decoder raised."""
    data = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    found = _BYTE.fullmatch(str(fault).removeprefix("JSON is malformed: "))
    if isinstance(fault, RecursionError):
        return "it is nested too deeply"
    if isinstance(fault, UnicodeError):
        return "it is not UTF-8"
    if found is None:
        said = str(fault).partition(" - at ")[0]  # a number too large has no position
        if said != _TRUNCATED:
            return f"{said[:1].lower()}{said[1:]}"
        return "it ends too early" if data.strip() else "it is empty"
    before = data[: int(found["byte"])]
    line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
    return f"{found['fault']} in line {line}, column {column}"


def twice_in_json(content: bytes) -> tuple[str, int, int] | None:
    """Return a key that stands twice in one object of a sound document, with its lines."""
    objects: list[dict[str, int]] = []
    line, text = 1, b""
    for token in _JSON_TOKEN.findall(content):
        match token:
            case b"\n":
                line += 1
            case b"{" | b"[":
                objects.append({})
            case b"}" | b"]":
                objects.pop()
            case b":":
                key = msgspec.json.decode(text, type=str)
                if key in objects[-1]:
                    return key, objects[-1][key], line
                objects[-1][key] = line
            case _:
                text = token
    return None


def in_words(kind: inspect.Type) -> str:
    """Return what values of an inspected type are, as :func:`expected` does for an annotation."""
    if isinstance(kind, inspect.Metadata):  # what is around an annotated type
        kind = kind.type
    if type(kind) in _PLAIN:
        return _PLAIN[type(kind)]
    match kind:
        case inspect.IntType() | inspect.FloatType():
            return number(
                "a whole number" if isinstance(kind, inspect.IntType) else "a number", kind
            )
        case inspect.StrType():
            return "text that is not empty" if kind.min_length else "text"
        case inspect.LiteralType() | inspect.EnumType() | inspect.UnionType():
            return _one_of(kind)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            size = f" of up to {kind.max_length}" if kind.max_length else ""
            return f"a list{size}, each member {in_words(item)}"
        case _:
            return "another kind of value"


def _one_of(kind: inspect.LiteralType | inspect.EnumType | inspect.UnionType) -> str:
    if isinstance(kind, inspect.UnionType):
        nothing_last = sorted(kind.types, key=lambda each: isinstance(each, inspect.NoneType))
        return " or ".join(map(in_words, nothing_last))
    values = kind.values if isinstance(kind, inspect.LiteralType) else list(kind.cls)
    return f"one of {', '.join(map(str, values))}"


def misfit(annotation: Any, value: object, where: str) -> str | None:
    """Return what is wrong with a value from a file, and in which part of it; ``None`` if it fits.

    What a type's own ``__post_init__`` refuses is in the words of its author.
    """
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError as exc:
        inside = _misfit_inside(annotation, value, where)
        plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
        if inside is None and _is_struct(plain) and isinstance(value, dict):
            return f"{where}: {exc}"
        got = "something else, which is secret" if holds_secret(annotation) else shown(value)
        return inside or f"{where}: expected {expected(annotation)}, got {got}"
    return None


def holds_secret(annotation: Any) -> bool:
    """Return whether values of a type, or their members, are secret."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        extras = [each.extra or {} for each in arguments[1:] if isinstance(each, msgspec.Meta)]
        return any(extra.get("secret") for extra in extras) or holds_secret(arguments[0])
    return any(holds_secret(each) for each in arguments)


def _misfit_inside(annotation: Any, value: object, where: str) -> str | None:
    """Return the first part that does not fit, where the whole is of the right kind."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _misfit_inside(arguments[0], value, where)
    if origin in {Union, UnionType}:
        parts = (misfit(each, value, where) for each in arguments if _is_alike(each, value))
    elif origin in {list, tuple} and isinstance(value, list):
        parts = (misfit(arguments[0], each, f"{where}[{at}]") for at, each in enumerate(value))
    elif origin in {dict, Mapping} and isinstance(value, dict):
        parts = (misfit(arguments[1], each, f"{where}[{name!r}]") for name, each in value.items())
    elif _is_struct(annotation) and isinstance(value, dict):
        parts = (
            _misfit_of_field(annotation, name, value, where) for name in _names(annotation, value)
        )
    else:
        return None
    return next((part for part in parts if part is not None), None)


def _names(struct: type[msgspec.Struct], value: dict[object, object]) -> Iterator[object]:
    """Yield the names that the value has, and then those that it should have."""
    yield from value
    yield from (field.encode_name for field in msgspec.structs.fields(struct) if field.required)


def _misfit_of_field(
    struct: type[msgspec.Struct], name: object, value: dict[object, object], where: str
) -> str | None:
    fields = {field.encode_name: field for field in msgspec.structs.fields(struct)}
    if name not in fields:
        known = sorted(fields)
        return f"{where}: {shown(name)} is none of {', '.join(known)}{nearest(str(name), known)}"
    if name not in value:
        return f"{where}: {name} is missing"
    return misfit(fields[str(name)].type, value[name], f"{where}.{name}")


def _is_alike(annotation: Any, value: object) -> bool:
    """Return whether a value with parts is meant to be of this kind."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _is_alike(get_args(annotation)[0], value)
    if isinstance(value, list):
        return origin in {list, tuple}
    return type(value) is dict and (_is_struct(annotation) or origin in {dict, Mapping})


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)


def nearest(name: str, known: list[str]) -> str:
    """Return ``; did you mean X?`` for the known name most like ``name``, or nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
