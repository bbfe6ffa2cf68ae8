# SPDX-License-Identifier: GPL-3.0-only
"""What becomes of a load when the server itself is stopped for a while, and goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import psutil
import pytest

from tests.support.http.served import Ledger, Served, ask, client, serving, until

LIMIT_S = 1.0


@pytest.mark.parametrize("also_the_worker", [False, True])
def test_a_load_that_progresses_while_the_server_is_stopped_is_not_discarded(
    rig_models: Path, tmp_path: Path, also_the_worker: bool
) -> None:
    """SIGSTOP of the server, and of both as when a virtual machine is paused."""
    gate, journal = tmp_path / "gate", tmp_path / "journal"
    config = tmp_path / "modeld.yaml"
    config.write_text(
        f"addr: 127.0.0.1:0\nmodels_dir: {rig_models}\nload_timeout_s: {LIMIT_S}\n"
        f"models:\n  a.gguf: {{load_gate: '{gate}', journal: '{journal}'}}\n"
    )

    async def scenario(served: Served) -> None:
        async with client() as http:
            asking = asyncio.create_task(
                ask(http, served.url, Ledger(), {"model": "a.gguf", "prompt": "hello"})
            )
            await until(journal.exists)
            (worker,) = (
                child
                for child in psutil.Process(served.process.pid).children()
                if child.cmdline()[:1] == ["modeld-worker a.gguf"]
            )
            stopped = [served.process.pid, *([worker.pid] if also_the_worker else [])]
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(2.5 * LIMIT_S)  # it is this time that the test is about
            for pid in reversed(stopped):
                os.kill(pid, signal.SIGCONT)
            await until(lambda: served.instance("a.gguf")["state"] == "loading")
            gate.touch()
            assert (await asking)[-1]["content"] == "hello "
            assert served.instance("a.gguf")["pid"] == worker.pid
            assert "made no progress" not in served.log()

    with serving(None, "--config", str(config)) as served:
        asyncio.run(scenario(served))


def test_a_load_that_hangs_is_given_up_all_the_same(rig_models: Path, tmp_path: Path) -> None:
    config = tmp_path / "modeld.yaml"
    config.write_text(
        f"addr: 127.0.0.1:0\nmodels_dir: {rig_models}\nload_timeout_s: {LIMIT_S}\n"
        "models:\n  a.gguf: {load_fault: hang}\n"
    )
    with serving(None, "--config", str(config)) as served:
        refused = served.post("/infer", {"model": "a.gguf", "prompt": "hello"})
        assert refused.json()["reason"] == "load_failed"
        assert "made no progress for 1 s" in refused.json()["error"]
