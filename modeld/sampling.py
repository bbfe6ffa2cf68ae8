# SPDX-License-Identifier: GPL-3.0-only
"""The table of sampling parameters: what all engines know, and what backends declare beside it.

:class:`modeld.requests.Sampling` and each backend's ``sampling_type`` are the table; this module
reads its rows. The fields of ``POST /infer``, the options of ``modeld run`` and what the documents
say are made from them. Where two backends declare one name, the row has the ranges of both, and
the service checks a request by the declaration of its model's backend.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import inspect
from msgspec.structs import replace

from modeld.expectation import in_words
from modeld.requests import BackendSampling, GenerateRequest, Sampling
from modeld.settings import Settings
from modeld.values import Value

TABLE_TYPE: TypeAlias = type[Sampling] | type[BackendSampling]

OWN: Final = "own"
"""The member of :class:`Sampling` that is no parameter: it has those of the model's backend."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED: Final = frozenset(
    {
        *Sampling.__struct_fields__,
        *GenerateRequest.__struct_fields__,
        *Settings.__struct_fields__,
        *("stream", "config", "help", "chat", "system", "grammar_file"),
    }
)
"""What fields of requests and options of ``modeld run`` are called already."""


class SamplingParameter(Value, frozen=True, kw_only=True):
    """One row. ``kind`` is its type with its range, and without the ``None`` for "not set".

    ``unset`` is a number that says "not set" where people write one, on the wire and on the
    command line. ``backends`` are the names of those that declare it; all know it if there is none.
    """

    name: str
    kind: inspect.Type
    help: str
    default: Any = None
    unset: int | None = None
    backends: tuple[str, ...] = ()

    @property
    def flag(self) -> str:
        """Return the option of ``modeld run``."""
        return "--" + self.name.replace("_", "-")

    @property
    def expected(self) -> str:
        """Return what its values are, like ``a number from 0 to 5``."""
        return in_words(self.kind)

    @property
    def written_kind(self) -> inspect.Type:
        """Return the type that people write: with the number that says "not set"."""
        kind = self.kind
        if self.unset is None or not isinstance(kind, inspect.IntType):
            return kind
        return _wider(kind, inspect.IntType(ge=self.unset, le=self.unset))

    def value_of(self, written: Any) -> Any:
        """Return the value in a :class:`Sampling` for what a client or a person has written."""
        if written is None or (self.unset is not None and written == self.unset):
            return self.default
        if is_pairs(self.kind):
            return tuple((int(token), bias) for token, bias in written.items())
        return tuple(written) if isinstance(self.kind, inspect.VarTupleType) else written


@functools.cache
def parameters_of(table: TABLE_TYPE, backend: str = "") -> tuple[SamplingParameter, ...]:
    """Return the rows of a table in the order of its fields.

    Raises:
        ValueError: a backend declares what cannot be a field of a request; it says what and why.
    """
    fields = inspect.type_info(table).fields  # type: ignore[attr-defined]  # it is that of a struct
    if issubclass(table, Sampling):
        fields = tuple(field for field in fields if field.encode_name != OWN)
    rows = tuple(_row(field, backend) for field in fields)
    if not issubclass(table, Sampling):
        for row, field in zip(rows, fields, strict=True):
            _check(row, field)
    return rows


def merged(
    tables: Iterable[Sequence[SamplingParameter]],
) -> tuple[SamplingParameter, ...]:
    """Return one row for each name, with the range of all rows that have it.

    Raises:
        ValueError: two rows of one name have types that have nothing in common.
    """
    rows: dict[str, SamplingParameter] = {}
    for row in (row for table in tables for row in table):
        other = rows.get(row.name)
        rows[row.name] = row if other is None else _merged(other, row)
    return tuple(rows.values())


def is_pairs(kind: inspect.Type) -> bool:
    """Return whether values are pairs with a whole number: an object where they are written."""
    return isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.TupleType)


def _row(field: inspect.Field, backend: str) -> SamplingParameter:
    kind = field.type
    said: Mapping[str, Any] = {}
    extra: Mapping[str, Any] = {}
    if isinstance(kind, inspect.Metadata):
        said, extra, kind = kind.extra_json_schema or {}, kind.extra or {}, kind.type
    if isinstance(kind, inspect.UnionType):
        kinds = [each for each in kind.types if not isinstance(each, inspect.NoneType)]
        kind = kinds[0] if len(kinds) == 1 else kind
    return SamplingParameter(
        name=field.encode_name,
        kind=kind,
        help=said.get("description", ""),
        default=None if field.default is msgspec.NODEFAULT else field.default,
        unset=extra.get("unset"),
        backends=(backend,) if backend else (),
    )


def _check(row: SamplingParameter, field: inspect.Field) -> None:
    if not _NAME.fullmatch(row.name):
        raise ValueError(f"{row.name!r} cannot be the name of a field: small letters, digits and _")
    if row.name in _RESERVED:
        raise ValueError(f"{row.name!r} is the name of a field or an option that modeld has itself")
    if field.default is not None:
        raise ValueError(f"{row.name!r} must have the default None: it may be left out")
    if row.unset is not None:
        raise ValueError(f"{row.name!r} must not declare 'unset': to leave it out says the same")
    if not row.help:
        raise ValueError(f"{row.name!r} has no description: Annotated[…, Meta(description=…)]")
    if not _is_writable(row.kind):
        raise ValueError(
            f"{row.name!r} has a type that cannot be written in a request: it must be a number, a"
            " truth value, a text, one of some texts, or a tuple of texts, or None"
        )


def _is_writable(kind: inspect.Type) -> bool:
    match kind:
        case inspect.IntType() | inspect.FloatType() | inspect.BoolType() | inspect.StrType():
            return True
        case inspect.LiteralType(values=values):
            return all(isinstance(value, str) for value in values)
        case inspect.VarTupleType(item_type=item):
            return isinstance(item, inspect.StrType)
        case _:
            return False


def _merged(one: SamplingParameter, other: SamplingParameter) -> SamplingParameter:
    try:
        kind = _wider(one.kind, other.kind)
    except TypeError as exc:
        raise ValueError(
            f"the backends {', '.join((*one.backends, *other.backends))} declare the sampling"
            f" parameter {one.name!r} with types that have nothing in common"
        ) from exc
    return replace(one, kind=kind, backends=(*one.backends, *other.backends))


def _wider(one: inspect.Type, other: inspect.Type) -> inspect.Type:
    """Return the type that has the values of both."""
    match one, other:
        case inspect.IntType(), inspect.IntType():
            return inspect.IntType(**_range_of_both(one, other))
        case ((inspect.IntType() | inspect.FloatType()), (inspect.IntType() | inspect.FloatType())):
            return inspect.FloatType(**_range_of_both(one, other))
        case inspect.BoolType(), inspect.BoolType():
            return one
        case inspect.StrType(), inspect.StrType():
            same = one.pattern == other.pattern
            return inspect.StrType(pattern=one.pattern if same else None, **_lengths(one, other))
        case inspect.LiteralType(), inspect.LiteralType():
            return inspect.LiteralType(tuple(sorted({*one.values, *other.values}, key=str)))
        case inspect.VarTupleType(), inspect.VarTupleType():
            item = _wider(one.item_type, other.item_type)
            return inspect.VarTupleType(item, **_lengths(one, other))
        case _:
            raise TypeError(f"{in_words(one)} and {in_words(other)}")


_Number: TypeAlias = inspect.IntType | inspect.FloatType
_Sized: TypeAlias = inspect.StrType | inspect.VarTupleType


def _range_of_both(one: _Number, other: _Number) -> Mapping[str, Any]:
    lows = [(each.ge, 0) if each.gt is None else (each.gt, 1) for each in (one, other)]
    highs = [(each.le, 1) if each.lt is None else (each.lt, 0) for each in (one, other)]
    limits = {}
    if all(low is not None for low, _ in lows):
        low, is_open = min(lows)
        limits["gt" if is_open else "ge"] = low
    if all(high is not None for high, _ in highs):
        high, is_closed = max(highs)
        limits["le" if is_closed else "lt"] = high
    return limits


def _lengths(one: _Sized, other: _Sized) -> dict[str, int | None]:
    longest = None
    if one.max_length is not None and other.max_length is not None:
        longest = max(one.max_length, other.max_length)
    return {
        "min_length": min(one.min_length or 0, other.min_length or 0) or None,
        "max_length": longest,
    }


COMMON: Final = parameters_of(Sampling)
"""What every engine knows."""
