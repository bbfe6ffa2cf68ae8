# SPDX-License-Identifier: GPL-3.0-only
"""The doctor as a whole, where a part of it cannot be done."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modeld import EngineHost, Finding, ModelSpec, Options
from modeld.doctor import run
from modeld.doctor.run import DoctorOptions, diagnose
from modeld.plugins.host import PluginHost
from modeld.settings import Settings, resolve
from modeld.terminal import silence
from tests.support.doctor.another_machine import by_subject, machine
from tests.support.plugins.some_plugins import Brings, Thing


class Blocking(Thing):
    """Blocks its event loop when it is asked, as no coroutine may."""

    def __init__(self) -> None:
        super().__init__("blocking", loads=True)
        self.gate = threading.Event()

    async def diagnose(
        self, spec: ModelSpec | None, options: Options, host: EngineHost
    ) -> Sequence[Finding]:
        self.gate.wait()
        return []


@pytest.fixture
def blocking(monkeypatch: pytest.MonkeyPatch) -> Iterator[Blocking]:
    """The one backend that is installed; its thread ends with the test."""
    backend, discover = Blocking(), PluginHost.discover

    def found(settings: Settings, extra: Any = None) -> PluginHost:
        return discover(settings, {"blocking": Brings(backend)})

    monkeypatch.setattr(run.PluginHost, "discover", found)
    monkeypatch.setattr(run, "ASKED_S", 1.0)
    yield backend
    backend.gate.set()
    for thread in threading.enumerate():
        if thread.name.startswith("modeld-plugin-"):
            thread.join(10)


def doctor_options(folder: Path, **settings: object) -> DoctorOptions:
    return DoctorOptions(
        resolved=resolve(settings, {}),
        machine=machine(folder),
        config_file=None,
        scripts=folder,
        measures=False,
        model=None,
        progress=silence,
    )


def test_what_a_server_refuses_to_start_with_is_an_error_of_the_settings(tmp_path: Path) -> None:
    groups = diagnose(doctor_options(tmp_path, models_dir=str(tmp_path), cache_per_key=True))
    found = {group.title: by_subject(group.findings) for group in groups}
    assert found["settings"]["application"].level == "error"
    assert "cache_per_key" in found["settings"]["application"].message


@pytest.mark.usefixtures("blocking")
def test_a_backend_that_blocks_costs_its_own_findings_and_not_those_of_the_models(
    models: Path, tmp_path: Path
) -> None:
    groups = diagnose(
        doctor_options(tmp_path, models_dir=str(models), block_plugins="llama-cpp,openvino")
    )
    found = {group.title: group.findings for group in groups}
    (lost,) = found["backends"]
    assert (lost.level, "longer than 1 s" in lost.message) == ("error", True)
    assert by_subject(found["models"])["models"].message.startswith("2 found, 1 usable")
