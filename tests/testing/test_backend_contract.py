# SPDX-License-Identifier: GPL-3.0-only
"""The contract of backends finds each fault, names it, and finds none where there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeld import Backend
from modeld.testing.backend.contract import BackendContract
from modeld.testing.contract import run
from tests.testing.claim_mutants import MUTANTS
from tests.testing.toys import FAILING, OwnToy, SimpleToy, Toy, write_toy


class Quick(BackendContract):
    """With limits for engines that need no time."""

    limit_s = 3.0
    quick_s = 0.05
    estimate_s = 0.1
    step_s = 0.1
    kept_bytes = 3 << 20
    failing = FAILING

    def __init__(self, backend: Backend, folder: Path) -> None:
        self.backend = backend
        self.model = write_toy(folder)


def failures(backend: Backend, folder: Path) -> dict[str, str]:
    outcomes = run(Quick(backend, folder))
    return {each.check: each.why for each in outcomes if each.verdict == "failed"}


@pytest.mark.parametrize("backend", [Toy, SimpleToy, OwnToy])
def test_a_backend_that_is_right_passes(backend: type[Backend], tmp_path: Path) -> None:
    outcomes = list(run(Quick(backend(), tmp_path)))
    assert [each for each in outcomes if each.verdict in {"failed", "untested"}] == []
    passed = [each.check for each in outcomes if each.verdict == "passed"]
    assert len(passed) > 30


@pytest.mark.parametrize(
    ("mutant", "check"), MUTANTS, ids=lambda value: getattr(value, "__name__", None)
)
def test_a_mutant_fails_its_check_and_no_other(
    mutant: type[Backend], check: str, tmp_path: Path
) -> None:
    found = failures(mutant(), tmp_path)
    assert set(found) == {check}, found


def test_each_check_has_a_mutant() -> None:
    assert {check for _, check in MUTANTS} == set(BackendContract.checks())
