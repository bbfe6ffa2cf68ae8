# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gguf.gguf_corpus import write_model

RIG = Path(__file__).parent.parent / "support" / "worker_rig"


@pytest.fixture(autouse=True)
def quiet_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No settings from outside, and the log as it was, after each test."""
    for name in ("MODELD_CONFIG", "MODELD_MODELS_DIR", "MODELD_ADDR"):
        monkeypatch.delenv(name, raising=False)
    ours, root = logging.getLogger("modeld"), logging.getLogger()
    before = list(root.handlers), root.level, ours.level
    logging.getLogger("uvicorn.error").setLevel(logging.NOTSET)  # servers in this process set it
    yield
    root.handlers[:], level, our_level = before
    root.setLevel(level)
    ours.setLevel(our_level)
    logging.captureWarnings(capture=False)


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
    return folder
