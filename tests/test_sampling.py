# SPDX-License-Identifier: GPL-3.0-only
"""The table of sampling parameters: its rows, what backends add, and what two of them share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, inspect

from modeld import BackendSampling, Sampling
from modeld.sampling import COMMON, SamplingParameter, merged, parameters_of


def table(**fields: Any) -> type[BackendSampling]:
    """Return a backend's table with these annotations and defaults."""
    annotations = {name: kind for name, (kind, _) in fields.items()}
    body: dict[str, Any] = {name: default for name, (_, default) in fields.items()}
    body["__annotations__"] = annotations
    return type(BackendSampling)("Table", (BackendSampling,), body, frozen=True, kw_only=True)


def one(kind: Any, help_text: str = "what it is") -> type[BackendSampling]:
    """Return a table with one parameter ``x``."""
    return table(x=(Annotated[kind | None, Meta(description=help_text)], None))


def row(kind: Any, backend: str) -> tuple[SamplingParameter, ...]:
    return parameters_of(one(kind), backend)


def test_what_every_engine_knows_has_a_range_and_a_meaning() -> None:
    assert {parameter.name: parameter.expected for parameter in COMMON} | {"logit_bias": ""} == {
        "temperature": "a number from 0 to 5",
        "top_p": "a number above 0 up to 1",
        "top_k": "a whole number from 0 to 2147483647",
        "min_p": "a number from 0 to 1",
        "repeat_penalty": "a number from 0.01 to 10",
        "presence_penalty": "a number from -2 to 2",
        "frequency_penalty": "a number from -2 to 2",
        "logit_bias": "",
        "ignore_eos": "true or false",
        "seed": "a whole number from 0 to 4294967294",
    }
    assert all(parameter.help and not parameter.backends for parameter in COMMON)


def test_each_row_makes_of_what_is_written_what_the_value_has() -> None:
    written: dict[str, Any] = {"seed": -1, "logit_bias": {"5": 1.0, "6": None}, "ignore_eos": None}
    rows = {parameter.name: parameter for parameter in COMMON}
    values = {name: rows[name].value_of(value) for name, value in written.items()}
    assert values == {"seed": None, "logit_bias": ((5, 1.0), (6, None)), "ignore_eos": False}
    assert rows["seed"].value_of(0) == 0
    assert Sampling(**{name: rows[name].value_of(None) for name in rows}) == Sampling()


def test_the_number_for_unset_is_one_that_people_may_write() -> None:
    (seed,) = [parameter for parameter in COMMON if parameter.name == "seed"]
    assert isinstance(seed.written_kind, inspect.IntType)
    assert (seed.written_kind.ge, seed.written_kind.le) == (-1, 2**32 - 2)


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        (table(temperature=(Annotated[float | None, Meta(description="x")], None)), "modeld has"),
        (table(prompt=(Annotated[str | None, Meta(description="x")], None)), "modeld has"),
        (table(own=(Annotated[str | None, Meta(description="x")], None)), "modeld has"),
        (table(models_dir=(Annotated[str | None, Meta(description="x")], None)), "modeld has"),
        (table(Top=(Annotated[float | None, Meta(description="x")], None)), "small letters"),
        (table(x=(Annotated[float, Meta(description="x")], 0.5)), "must have the default None"),
        (table(x=(float | None, None)), "has no description"),
        (
            table(x=(Annotated[int | None, Meta(description="x", extra={"unset": -1})], None)),
            "must not declare 'unset'",
        ),
        (one(dict[str, int]), "cannot be written"),
        (one(tuple[int, ...]), "cannot be written"),
        (one(int | str), "cannot be written"),
        (one(Literal[1, 2]), "cannot be written"),
        (one(BackendSampling), "cannot be written"),
    ],
)
def test_what_cannot_be_a_field_of_a_request_cannot_be_declared(
    declared: type[BackendSampling], why: str
) -> None:
    with pytest.raises(ValueError, match=why):
        parameters_of(declared, "b")


def a_number(kind: type, **limits: float) -> Any:
    return Annotated[kind, Meta(**limits)]


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        (a_number(int, ge=1, le=5), a_number(int, ge=0, le=3), inspect.IntType(ge=0, le=5)),
        (a_number(float, gt=0, le=1), a_number(float, ge=0, lt=1), inspect.FloatType(ge=0, le=1)),
        (a_number(float, gt=0, lt=1), a_number(float, gt=0, lt=1), inspect.FloatType(gt=0, lt=1)),
        (a_number(int, ge=1, le=5), a_number(float, ge=0), inspect.FloatType(ge=0)),
        (a_number(int, le=5), int, inspect.IntType()),
        (bool, bool, inspect.BoolType()),
        (
            Annotated[str, Meta(min_length=1, max_length=5, pattern="a")],
            Annotated[str, Meta(min_length=2, max_length=9, pattern="b")],
            inspect.StrType(min_length=1, max_length=9),
        ),
        (Literal["a", "b"], Literal["b", "c"], inspect.LiteralType(("a", "b", "c"))),
        (
            Annotated[tuple[str, ...], Meta(max_length=1)],
            Annotated[tuple[str, ...], Meta(max_length=2)],
            inspect.VarTupleType(inspect.StrType(), max_length=2),
        ),
    ],
)
def test_two_backends_with_one_name_share_a_row_with_both_ranges(
    first: Any, second: Any, both: inspect.Type
) -> None:
    (found,) = merged([row(first, "a"), row(second, "b")])
    assert found.kind == both
    assert found.backends == ("a", "b")
    (turned,) = merged([row(second, "b"), row(first, "a")])
    assert turned.kind == both


@pytest.mark.parametrize("other", [bool, str, Literal["a"], tuple[str, ...]])
def test_types_that_have_nothing_in_common_are_told_with_the_backends(other: Any) -> None:
    with pytest.raises(ValueError, match="the backends a, b declare the sampling parameter 'x'"):
        merged([row(int, "a"), row(other, "b")])


def test_a_backend_without_parameters_of_its_own_adds_no_rows() -> None:
    assert parameters_of(BackendSampling, "a") == ()
    assert merged([(), row(int, "b")]) == row(int, "b")
