# SPDX-License-Identifier: GPL-3.0-only
"""Servers that several tests share, and files for them to serve."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served, serving


@pytest.fixture(scope="session")
def rig_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return two models that the rig serves, and one broken file."""
    folder = tmp_path_factory.mktemp("models")
    write_gguf(folder / "a.gguf", "rig", name="Model A")
    write_gguf(folder / "b.gguf", "rig", name="Model B")
    (folder / "broken.gguf").write_bytes(b"GGML")
    return folder


@pytest.fixture(scope="module")
def server(rig_models: Path) -> Iterator[Served]:
    """Yield a server with default settings and the rig's models."""
    with serving(rig_models, "--default-model", "a.gguf") as served:
        yield served
