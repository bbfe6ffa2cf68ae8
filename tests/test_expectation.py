# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from modeld.expectation import expected, json_fault, misfit, shown
from modeld.sizes import size_of


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("annotation", "said"),
    [
        (int, "a whole number"),
        (Annotated[int, Meta(ge=1, le=4, description="x")], "a whole number from 1 to 4"),
        (Annotated[int, Meta(gt=1, lt=4)], "a whole number above 1 below 4"),
        (Annotated[float, Meta(ge=0.5)], "a number of 0.5 or more"),
        (Annotated[float, Meta(le=1)], "a number up to 1"),
        (bool, "true or false"),
        (str, "text"),
        (Annotated[str, Meta(min_length=1)], "text that is not empty"),
        (Literal["b", "a"], "one of a, b"),
        (Colour, "one of Colour.RED"),
        (int | None, "a whole number or nothing (null)"),
        (None | str | int, "text or a whole number or nothing (null)"),
        (list[int], "a list, each member a whole number"),
        (tuple[str, ...], "a list, each member text"),
        (Mapping[str, Any], "a table"),
        (msgspec.Raw, "another kind of value"),
    ],
)
def test_a_type_is_told_in_words(annotation, said):
    assert set(expected(annotation).split(" or ")) == set(said.split(" or "))


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "nothing"),
        (True, "true"),
        (False, "false"),
        (1.5, "1.5"),
        ("8G", "'8G'"),
        ("x" * 99, "'" + "x" * 63 + "…"),
        ([1], "a list"),
        ({}, "a table"),
    ],
)
def test_a_value_is_shown_as_it_was_written_if_it_is_short(value, said):
    assert shown(value) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ('{"a":', "it ends too early"),
        ('{\n  "a" 1}', "expected ':' in line 2, column 7"),
        ('{"a": 1e400}', "number out of range"),
        ('{"a": 1}x', "trailing characters in line 1, column 10"),
        (b'"\xff"', "it is not UTF-8"),
        ("[" * 200_000, "it is nested too deeply"),
    ],
)
def test_a_fault_of_json_is_told_with_its_line(text, said):
    with pytest.raises((msgspec.DecodeError, UnicodeError, RecursionError)) as caught:
        msgspec.json.decode(text)
    assert json_fault(text, caught.value) == said


class Part(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    scale: Annotated[float, Meta(gt=0)] = 1.0

    def __post_init__(self) -> None:
        if not self.path:
            raise ValueError("a part needs a path")


@pytest.mark.parametrize(
    ("annotation", "value", "said"),
    [
        (Annotated[int, Meta(ge=1)], 1, None),
        (Annotated[int, Meta(ge=1)], 0, "x: expected a whole number of 1 or more, got 0"),
        (int, "1", "x: expected a whole number, got '1'"),
        (list[int], [1, "2"], "x[1]: expected a whole number, got '2'"),
        (tuple[float, ...] | None, [1, "2"], "x[1]: expected a number, got '2'"),
        (tuple[Part, ...], [{"path": "a"}, {"path": 1}], "x[1].path: expected text, got 1"),
        (tuple[Part, ...], [{"scale": 1}], "x[0]: path is missing"),
        (tuple[Part, ...], [{"path": "a", "size": 1}], "x[0]: 'size' is none of path, scale"),
        (tuple[Part, ...], [3], "x[0]: expected a table, got 3"),
        (Part | None, {"path": ""}, "x: a part needs a path"),
        (Part | None, "", "x: expected a table or nothing (null), got ''"),
        (Part, {"path": ""}, "x: a part needs a path"),
        (Part, {"path": "a", "scale": 0}, "x.scale: expected a number above 0, got 0"),
        (
            Annotated[list[int], Meta(max_length=2)],
            [1, 2, 3],
            "x: expected a list of up to 2, each member a whole number, got a list",
        ),
    ],
)
def test_a_value_that_does_not_fit_is_told_to_its_part(annotation, value, said):
    assert misfit(annotation, value, "x") == said


@pytest.mark.parametrize("text", ["8GB", "8", "GiB", "-1G", "1e3M", "8 Gi", "8GiBs", "٣G", "0.3M"])
def test_what_is_no_size_is_none(text):
    assert size_of(text, 1 << 20) is None
