# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/values.md shows each value that crosses the public door, with all its members."""

from __future__ import annotations

import pytest

import modeld
from modeld import capabilities, interfaces, messages, requests, responses, status, values
from tests.docs.test_plugins_page import attributes, classes, parsed, shown
from tests.support.docs.pages import read

PAGE = "reference/values.md"
REAL = {
    name: node
    for module in (values, messages, requests, responses, status, capabilities, interfaces)
    for name, node in classes(parsed(module).body).items()
}
SHOWN = classes(shown(PAGE))
HOMES = {module.__name__ for module in (values, messages, requests, responses, capabilities)}
ELSEWHERE = {"Sampling"}
"""Its members are the fields of the page on sampling, which a test compares with it."""


@pytest.mark.parametrize("name", SHOWN)
def test_a_value_is_shown_as_it_is(name: str) -> None:
    assert attributes(SHOWN[name].body) == attributes(REAL[name].body)


def test_every_value_of_the_public_door_is_shown() -> None:
    public = {
        name for name in modeld.__all__ if getattr(getattr(modeld, name), "__module__", "") in HOMES
    }
    assert public - ELSEWHERE <= SHOWN.keys()
    assert all(f"`{name}`" in read(PAGE) for name in ELSEWHERE)


def test_every_unary_request_and_every_response_is_shown() -> None:
    shown = SHOWN.keys() | ELSEWHERE
    for module in (messages, requests, responses):
        assert classes(parsed(module).body).keys() <= shown
