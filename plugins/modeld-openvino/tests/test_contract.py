# SPDX-License-Identifier: GPL-3.0-only
"""The backend and the source keep to modeld's contracts, on a random model."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openvino_folder
import pytest
import random_gguf
from modeld_openvino.folder import OpenVinoFolder
from modeld_openvino.plugin import OpenVino

from modeld import ModelSpec, RegistrySource
from modeld.builtin.gguf.folder import GgufFolder
from modeld.requests import GenerateRequest
from modeld.testing import BackendContract, SourceContract


class TestBackend(BackendContract):
    """Every check of the contract, on this backend and this model."""

    backend = OpenVino()
    options = {"slots": 2, "context": 1024, "threads": 1}
    prompt = "abc"
    failing = GenerateRequest(prompt_tokens=(99999,))
    limit_s = 60.0
    quick_s = 0.5

    @pytest.fixture
    def model(self, tmp_path: Path) -> ModelSpec:
        """Return a file as its source lists it."""
        random_gguf.write(tmp_path / "tiny.gguf")
        (spec,) = asyncio.run(GgufFolder(str(tmp_path)).list_models())
        return spec


class TestSource(SourceContract):
    """Every check of the contract, on a folder that has one of OpenVINO's."""

    lost = OpenVinoFolder("/nowhere")

    @pytest.fixture
    def source(self, tmp_path: Path) -> RegistrySource:
        """Return a source that finds a model."""
        gguf = random_gguf.write(tmp_path / "tiny.gguf")
        openvino_folder.write(gguf, tmp_path / "models" / "tiny")
        return OpenVinoFolder(str(tmp_path / "models"))
