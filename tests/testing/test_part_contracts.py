# SPDX-License-Identifier: GPL-3.0-only
"""The contracts of sources, policies, formatters and observers find each fault, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from modeld.testing import (
    Contract,
    EvictionPolicyContract,
    FormatterContract,
    ObserverContract,
    SourceContract,
    run,
)
from tests.testing.part_mutants import MUTANTS, RIGHT


@pytest.mark.parametrize("kind", RIGHT)
def test_what_is_right_passes(kind: str, tmp_path: Path) -> None:
    outcomes = list(run(RIGHT[kind](tmp_path)))
    assert {each.verdict for each in outcomes} == {"passed"}, outcomes


@pytest.mark.parametrize(("name", "make", "check"), MUTANTS, ids=[name for name, _, _ in MUTANTS])
def test_a_mutant_fails_its_check_and_no_other(
    name: str, make: Callable[[Path], Contract], check: str, tmp_path: Path
) -> None:
    found = {each.check: each.why for each in run(make(tmp_path)) if each.verdict == "failed"}
    assert set(found) == {check}, found


def test_each_check_has_a_mutant() -> None:
    contracts = (SourceContract, EvictionPolicyContract, FormatterContract, ObserverContract)
    checks = {check for contract in contracts for check in contract.checks()}
    assert {check for _, _, check in MUTANTS} == checks
