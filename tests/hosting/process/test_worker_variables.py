# SPDX-License-Identifier: GPL-3.0-only
"""What backends name of the server's environment is in that of their workers, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modeld import Settings
from modeld.hosting.host import hosting
from tests.support.hosting.leaks import run
from tests.support.plugins.some_plugins import Thing


class Downloads(Thing):
    worker_variables = ("HF_HOME", "NOT_SET")


class Odd(Thing):
    worker_variables: Any = "HF_HOME"


class Faulty(Thing):
    @property
    def worker_variables(self) -> Any:  # type: ignore[override]
        raise SystemExit(3)


def environment_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def environment_of_a_worker(*backends: Thing) -> list[bytes]:
    async def main() -> list[bytes]:
        owner = hosting(Settings(warm_workers=0), backends)
        worker: Any = await owner.worker()
        try:
            return environment_of(worker.pid)
        finally:
            await worker.discard()
            await owner.aclose()

    return run(main())


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/models")
    monkeypatch.setenv("HF_TOKEN", "hunter2")


def test_a_worker_has_what_any_backend_names() -> None:
    variables = environment_of_a_worker(Thing("other"), Downloads())
    assert b"HF_HOME=/models" in variables
    assert not [each for each in variables if each.startswith((b"HF_TOKEN", b"NOT_SET"))]


@pytest.mark.parametrize("kind", [Odd, Faulty])
def test_names_that_are_none_are_logged_and_nothing_is_passed_on(
    kind: type[Thing], caplog: pytest.LogCaptureFixture
) -> None:
    assert b"HF_HOME=/models" not in environment_of_a_worker(kind("strange"))
    assert "backend 'strange': its worker_variables are no names" in caplog.text
