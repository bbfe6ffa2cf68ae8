# SPDX-License-Identifier: GPL-3.0-only
"""The contracts of dialects and routes find each fault, and no other."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modeld.testing import Contract, DialectContract, RoutesContract, run
from tests.testing.wire_mutants import MUTANTS, RIGHT

OF_THE_CORE = {
    "test_the_document_describes_it",
    "test_a_failure_has_a_status_where_nothing_was_sent",
    "test_a_client_that_leaves_ends_its_request",
    "test_unknown_addresses_are_refused_as_it_declares",
}
"""What a dialect cannot break alone: another check would find that it breaks them."""


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


def test_each_check_has_a_mutant() -> None:
    checks = {*DialectContract.checks(), *RoutesContract.checks()}
    assert {check for _, _, check in MUTANTS} == checks - OF_THE_CORE
