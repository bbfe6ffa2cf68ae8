# SPDX-License-Identifier: GPL-3.0-only
"""Lets a contract's subjects be pytest's fixtures; pytest finds this by its entry point.

It does nothing until a test class derives from a contract, and imports nothing of modeld.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

_CONTRACTS = "modeld.testing.contract"
_SUBJECTS = "_modeld_subjects"


def pytest_pycollect_makeitem(obj: object) -> None:
    """Give a contract the values of its fixtures before each check."""
    contracts = sys.modules.get(_CONTRACTS)
    if contracts is None or not isinstance(obj, type) or not issubclass(obj, contracts.Contract):
        return
    if _SUBJECTS not in vars(obj):
        setattr(obj, _SUBJECTS, pytest.fixture(autouse=True)(_subjects))


def _subjects(self: Any, request: pytest.FixtureRequest) -> None:
    for name in type(self).subjects:
        declared = getattr(type(self), name, None)
        if type(declared).__name__ == "FixtureFunctionDefinition":
            setattr(self, name, request.getfixturevalue(name))
