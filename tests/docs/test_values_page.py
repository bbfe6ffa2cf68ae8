# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/values.md shows each value that crosses the public door, with all its members."""

from __future__ import annotations

import pytest

import modeld
from modeld import interfaces, questions, values
from tests.docs.pages import read
from tests.docs.test_plugins_page import attributes, classes, parsed, shown

PAGE = "reference/values.md"
REAL = {
    name: node
    for module in (values, questions, interfaces)
    for name, node in classes(parsed(module).body).items()
}
SHOWN = classes(shown(PAGE))
ELSEWHERE = {"Sampling"}
"""Its members are the fields of the page on sampling, which a test compares with it."""


@pytest.mark.parametrize("name", SHOWN)
def test_a_value_is_shown_as_it_is(name: str) -> None:
    assert attributes(SHOWN[name].body) == attributes(REAL[name].body)


def test_every_value_of_the_public_door_is_shown() -> None:
    public = {
        name
        for name in modeld.__all__
        if getattr(getattr(modeld, name), "__module__", "") == values.__name__
    }
    assert public - ELSEWHERE <= SHOWN.keys()
    assert all(f"`{name}`" in read(PAGE) for name in ELSEWHERE)


def test_every_question_and_every_reply_is_shown() -> None:
    assert classes(parsed(questions).body).keys() <= SHOWN.keys()
