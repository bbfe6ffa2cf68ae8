# SPDX-License-Identifier: GPL-3.0-only
"""The sampling fields of request bodies, made from the table of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import GenericAlias
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, cast

from msgspec import inspect
from pydantic import BeforeValidator, Field, WithJsonSchema, create_model
from pydantic_core import PydanticCustomError

from modeld.dialects.body import Strict
from modeld.requests import Sampling
from modeld.sampling import COMMON, SamplingParameter, is_pairs

BACKENDS = "x-modeld-backends"
"""The member of a field's schema that names the backends that declare it."""


class ParameterFields(Strict):
    """Base of a body with sampling fields; ``parameters`` are those of backends only."""

    parameters: ClassVar[tuple[SamplingParameter, ...]] = ()

    def to_sampling(self) -> Sampling:
        """Return the same as a value for the service."""
        return Sampling(
            **{row.name: row.value_of(getattr(self, row.name)) for row in COMMON},
            own={
                row.name: written
                for row in self.parameters
                if (written := getattr(self, row.name)) is not None
            },
        )


def fields_of(rows: Iterable[SamplingParameter]) -> dict[str, Any]:
    """Return what pydantic makes fields of: types with their ranges and what they mean."""
    return {row.name: (_written(row) | None, _field(row)) for row in rows}


Body = TypeVar("Body", bound=ParameterFields)


_made: dict[tuple[type[ParameterFields], str], type[ParameterFields]] = {}
"""The bodies with parameters. To make one takes some 10 ms, and all applications of a process can
share it."""


def with_parameters(body: type[Body], rows: tuple[SamplingParameter, ...]) -> type[Body]:
    """Return the body of the same name that also has the parameters of these rows."""
    key = body, repr(rows)  # rows cannot be hashed, for types with ranges cannot
    if key not in _made:
        _made[key] = _body_with(body, rows)
    return cast("type[Body]", _made[key])


def _body_with(body: type[Body], rows: tuple[SamplingParameter, ...]) -> type[Body]:
    made: type[Body] = create_model(
        body.__name__,
        __base__=body,
        __module__=body.__module__,
        __doc__=body.__doc__,
        **fields_of(rows),
    )
    made.parameters = rows
    return made


def _field(row: SamplingParameter) -> Any:
    extra: dict[str, Any] = {BACKENDS: list(row.backends)} if row.backends else {}
    field: Any = Field(None, description=row.help, json_schema_extra=extra)
    return field


def _written(row: SamplingParameter) -> Any:
    return _pairs(row.kind) if is_pairs(row.kind) else _type(row.written_kind)


def _type(kind: inspect.Type) -> Any:
    """Return the annotation that takes what ``kind`` takes."""
    match kind:
        case inspect.IntType():
            return Annotated[int, Field(**_range(kind))]
        case inspect.FloatType():
            return Annotated[float, Field(**_range(kind))]
        case inspect.BoolType():
            return bool
        case inspect.StrType(min_length=shortest, max_length=longest, pattern=pattern):
            return Annotated[str, Field(min_length=shortest, max_length=longest, pattern=pattern)]
        case inspect.LiteralType(values=values):
            return Literal[tuple(values)]
        case inspect.VarTupleType(item_type=item, min_length=fewest, max_length=most):
            limits = Field(min_length=fewest, max_length=most, fail_fast=True)
            return Annotated[GenericAlias(list, (_type(item),)), limits]
        case _:
            raise AssertionError(f"the table has no rows of type {kind}")


def _range(kind: inspect.IntType | inspect.FloatType) -> Mapping[str, Any]:
    limits = {"ge": kind.ge, "gt": kind.gt, "le": kind.le, "lt": kind.lt}
    return {name: limit for name, limit in limits.items() if limit is not None}


def _pairs(kind: inspect.Type) -> Any:
    """Return an object from token ids to biases as pairs; ``false`` bans as ``null`` does.

    Its members are counted first: pydantic counts them once it has checked each of them.
    """
    assert isinstance(kind, inspect.VarTupleType)
    assert isinstance(kind.item_type, inspect.TupleType)
    most = kind.max_length
    token, bias = kind.item_type.item_types
    assert isinstance(token, inspect.IntType)
    assert isinstance(bias, inspect.UnionType)
    pattern = f"^(0|[1-9][0-9]{{0,{len(str(token.le)) - 1}}})$"  # the highest id is all nines
    number = next(each for each in bias.types if isinstance(each, inspect.FloatType))

    def few(biases: Any) -> Any:
        if isinstance(biases, dict) and most is not None and len(biases) > most:
            raise PydanticCustomError(
                "too_many",
                "must have at most {limit} items, not {count}",
                {"limit": most, "count": len(biases)},
            )
        return biases

    either: Any = _type(number) | None
    token_id = Annotated[str, Field(pattern=pattern)]
    biases = GenericAlias(dict, (token_id, Annotated[either, BeforeValidator(_banned)]))
    schema = {
        "type": "object",
        "propertyNames": {"pattern": pattern},
        "additionalProperties": {
            "anyOf": [
                {"type": "number", "minimum": number.ge, "maximum": number.le},
                {"type": "null"},
                {"const": False},
            ]
        },
        "maxProperties": most,
    }
    return Annotated[biases, BeforeValidator(few), WithJsonSchema(schema)]


def _banned(bias: Any) -> Any:
    return None if bias is False else bias


if TYPE_CHECKING:
    SamplingFields = ParameterFields
else:
    SamplingFields = create_model(
        "SamplingFields",
        __base__=ParameterFields,
        __module__=__name__,
        __doc__="How the next token is chosen, as far as every engine knows.",
        **fields_of(COMMON),
    )
