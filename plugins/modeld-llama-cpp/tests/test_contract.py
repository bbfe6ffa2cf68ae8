# SPDX-License-Identifier: GPL-3.0-only
"""The backend keeps to its contract, with a tiny model and with a real one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from modeld_llama_cpp.backend import LlamaCpp

from modeld import GenerateRequest, ModelSpec
from modeld.builtin.gguf.folder import GgufFolder
from modeld.testing import BackendContract


def spec_of(file: Path) -> ModelSpec:
    """Return the model as the built-in source describes it."""
    specs = asyncio.run(_listed(file.parent))
    (spec,) = [each for each in specs if each.path == str(file)]
    return spec


async def _listed(folder: Path) -> list[ModelSpec]:
    return [*await GgufFolder(str(folder)).list_models()]


class TestTinyModel(BackendContract):
    backend = LlamaCpp()
    options = {"slots": 2, "context": 512}
    prompt = "abc"
    failing = GenerateRequest(prompt="a", regex="(")
    limit_s = 60.0
    quick_s = 0.5

    @pytest.fixture
    def model(self, random: Path) -> ModelSpec:
        return spec_of(random)


@pytest.mark.model
class TestSmolLM2(BackendContract):
    backend = LlamaCpp()
    options = {"slots": 2, "context": 1024}
    failing = GenerateRequest(prompt="a", regex="(")
    limit_s = 60.0
    quick_s = 0.5

    @pytest.fixture
    def model(self, smollm2: Path) -> ModelSpec:
        return spec_of(smollm2)
