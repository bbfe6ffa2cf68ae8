# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/python.md has every verb with its signature, and what a generation is."""

from __future__ import annotations

import re

from modeld import generation
from modeld.pythonapi import models
from tests.docs.test_plugins_page import attributes, classes, functions, parsed, shown
from tests.support.docs.pages import rows, section

PAGE = "reference/python.md"
SHOWN = classes(shown(PAGE))
REAL = classes([*parsed(models).body, *parsed(generation).body])


def test_every_verb_is_shown_with_its_signature() -> None:
    assert functions(SHOWN["Models"].body) == functions(REAL["Models"].body)


def test_every_verb_is_explained() -> None:
    _header, *listed = [row for row in rows(section(PAGE, "Verbs")) if len(row) == 2]
    explained = {name for first, _ in listed for name in re.findall(r"`(\w+)`", first)}
    assert explained == functions(REAL["Models"].body).keys() - {"start", "aclose"}


def test_a_generation_is_shown_as_it_is() -> None:
    assert attributes(SHOWN["Generation"].body) == attributes(REAL["Generation"].body)
