# SPDX-License-Identifier: GPL-3.0-only
"""The contracts of dialects and routes find each fault, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modeld.testing import Contract, run
from tests.testing.wire_mutants import MUTANTS, RIGHT


@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_right_passes(kind: str) -> None:
    outcomes = list(run(RIGHT[kind]()))
    assert {each.verdict for each in outcomes} == {"passed"}, outcomes


@pytest.mark.parametrize(("name", "make", "check"), MUTANTS, ids=[name for name, _, _ in MUTANTS])
def test_a_mutant_fails_its_check_and_no_other(
    name: str, make: Callable[[], Contract], check: str
) -> None:
    found = {each.check: each.why for each in run(make()) if each.verdict == "failed"}
    assert set(found) == {check}, found
