# SPDX-License-Identifier: GPL-3.0-only
"""The backend and the source keep to modeld's contracts, on llama.cpp's own server."""

from __future__ import annotations

import asyncio
import shlex
import sys
from pathlib import Path

import pytest
from modeld_upstream.backend import backends_of
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.source import UpstreamModels

from modeld import ModelSpec, Settings
from modeld.testing import BackendContract, SourceContract
from tests.support.gguf.real_models import SMOLLM2, models_folder

SERVER = Path(__file__).parent / "support" / "llama_server.py"
COMMAND = shlex.join([sys.executable, str(SERVER)]) + " {model} {port} {ctx_total} {slots}"
HERE = UpstreamServer(
    name="here",
    kind="llama-server",
    command=COMMAND,
    files=(str(models_folder() / SMOLLM2),),
)


@pytest.mark.model
@pytest.mark.slow
class TestStarted(BackendContract):
    """Every check of the contract, on a server that is started for each."""

    (backend,) = backends_of([HERE], Settings())
    options = {"context": 1024, "slots": 2}
    limit_s = 60.0
    quick_s = 0.5

    @pytest.fixture
    def model(self) -> ModelSpec:
        """Return the model as the source lists it."""
        (spec,) = asyncio.run(UpstreamModels([HERE]).list_models())
        return spec


@pytest.mark.model
class TestSource(SourceContract):
    """Every check of the contract, on a source of a model that is here."""

    source = UpstreamModels([HERE])
    lost = UpstreamModels([UpstreamServer(name="there", url="http://127.0.0.1:9/v1")])
