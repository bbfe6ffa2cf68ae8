# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.cli.told_server import server
from tests.support.gguf.gguf_corpus import write_model
from tests.support.log_state import own_log

__all__ = ["own_log", "server"]

RIG = Path(__file__).parent.parent / "support" / "worker_rig"


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch, own_log: None) -> None:
    """No settings from outside, and the log as it was, after each test."""
    for name in ("MODELD_CONFIG", "MODELD_MODELS_DIR", "MODELD_ADDR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the fault rig as the one backend installed, here and in commands started from here."""
    monkeypatch.syspath_prepend(str(RIG))
    monkeypatch.setenv("PYTHONPATH", str(RIG))
    monkeypatch.setenv("MODELD_BLOCK_PLUGINS", "llama-cpp,openvino")
    return RIG


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a folder with one model that the rig can load and one that nothing can."""
    folder = tmp_path / "models"
    folder.mkdir()
    write_model(folder / "tiny.gguf", architecture="rig")
    (folder / "empty.gguf").write_bytes(b"")
    os.utime(folder / "empty.gguf", ns=(0, 0))  # nobody is still writing it
    return folder
