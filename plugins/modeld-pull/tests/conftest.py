# SPDX-License-Identifier: GPL-3.0-only
"""The modules of support/, and pulls without anything from outside."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# So that tests find the modules of support/.
sys.path.insert(0, str(Path(__file__).parent / "support"))

from tests.cli.conftest import own_log, quiet_environment
from tests.support.everywhere import *

__all__ = ["own_log", "quiet_environment"]


@pytest.fixture(autouse=True)
def no_hub_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's token and nobody's hub take part."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "no-home"))
    for name in ("HF_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
