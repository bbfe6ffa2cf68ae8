# SPDX-License-Identifier: GPL-3.0-only
"""Mutants that leave something behind are not waited for as long as a plugin is."""

import pytest


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modeld.testing.leftovers.SETTLE_S", 0.5)
