# SPDX-License-Identifier: GPL-3.0-only
from pathlib import Path

import pytest

RIG = Path(__file__).parents[1] / "support" / "worker_rig"


@pytest.fixture(autouse=True)
def rig(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the fault rig on the path; worker processes get the path of this one."""
    monkeypatch.syspath_prepend(RIG)
