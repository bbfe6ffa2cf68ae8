# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

import asyncio

import pytest

from modeld import EngineHost, MemoryEstimate, ModelSpec, Options
from modeld.device_bytes import DeviceBytes
from modeld.doctor import inventory
from modeld.doctor.inventory import Inventory
from modeld.doctor.models import (
    check_files,
)
from modeld.hosting.host import ThreadHosting, hosting
from modeld.plugins.host import PluginHost
from modeld.settings import Settings
from tests.support.doctor.another_machine import bad, only, stocked
from tests.support.gguf.gguf_corpus import write_model
from tests.support.plugins.some_plugins import Brings, Thing


@pytest.mark.usefixtures("rig")
def test_an_estimate_that_leaves_it_open_is_measured_as_the_server_would(models):
    settings = Settings(
        models_dir=str(models),
        models={"*": {"estimate_mb": 100, "measured_mb": 130}},
        block_plugins=("llama-cpp", "openvino"),
        warm_workers=0,
    )

    async def need(limit_mb: int) -> int:
        plugins = PluginHost.discover(settings)
        listed = await inventory.read(settings, plugins)
        workers = hosting(settings, tuple(plugins.backends.values()))
        try:
            measured = await inventory.measure(listed, DeviceBytes(limit_mb << 20), workers)
        finally:
            await workers.aclose()
        return measured.loadable["tiny.gguf"].need_bytes >> 20

    assert asyncio.run(need(120)) == 130
    assert asyncio.run(need(1000)) == 100


def test_models_are_sorted_by_what_they_need():
    assert [each.spec.id for each in stocked(large=300, small=100).by_size] == ["small", "large"]


class Faulty(Thing):
    """Fails whenever it is asked about a model."""

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        if spec.id == "bad.gguf":
            raise KeyError("block_count")
        return MemoryEstimate(weights_bytes=100 << 20)

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        raise KeyError("no dry run")


def test_a_backend_that_fails_with_one_model_leaves_the_others(tmp_path):
    write_model(tmp_path / "bad.gguf")
    write_model(tmp_path / "good.gguf", architecture="qwen2")
    settings = Settings(models_dir=str(tmp_path), block_plugins=("llama-cpp", "openvino"))
    plugins = PluginHost.discover(settings, {"faulty": Brings(Faulty(loads=True))})

    async def listed() -> Inventory:
        found = await inventory.read(settings, plugins)
        return await inventory.measure(found, DeviceBytes(1), ThreadHosting(settings))

    found = asyncio.run(listed())
    assert found.loadable["good.gguf"].need_bytes == 100 << 20
    finding = only(bad(check_files(found)))
    assert (finding.subject, "KeyError: 'block_count'" in finding.message) == ("bad.gguf", True)
