# SPDX-License-Identifier: GPL-3.0-only
"""The contract of services finds each fault, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeld import ModelService
from modeld.testing import ServiceContract, run
from tests.testing.service_mutants import MUTANTS, OfService, local_service


def test_the_local_service_passes(tmp_path: Path) -> None:
    outcomes = list(run(OfService(local_service, tmp_path)))
    assert {each.verdict for each in outcomes} == {"passed"}, outcomes


@pytest.mark.parametrize(
    ("mutant", "check"), MUTANTS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_mutant_fails_its_check_and_no_other(
    mutant: type[ModelService], check: str, tmp_path: Path
) -> None:
    outcomes = run(OfService(mutant, tmp_path))  # type: ignore[arg-type]  # each takes the path
    found = {each.check: each.why for each in outcomes if each.verdict == "failed"}
    assert set(found) == {check}, found


def test_each_check_has_a_mutant() -> None:
    assert {check for _, check in MUTANTS} == set(ServiceContract.checks())
