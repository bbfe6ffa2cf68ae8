# SPDX-License-Identifier: GPL-3.0-only
"""What becomes of requests and of workers when the server ends."""

import asyncio
import json
from pathlib import Path
from typing import Any

import psutil

from tests.blackbox.served import (
    DEADLINE_S,
    Ledger,
    Served,
    ask,
    client,
    lines,
    script,
    serving,
    until,
)


def test_sigterm_lets_running_requests_finish_and_sends_the_waiting_away(
    rig_models: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    options = json.dumps({"*": {"slots": 1}})

    async def scenario(served: Served) -> None:
        ledger = Ledger()
        async with client() as http:
            running = lines(http, served.url, script(tokens=5, gate=str(gate), gate_at=1))
            assert await anext(running) == {"token": "t0 "}
            waiting = asyncio.create_task(ask(http, served.url, ledger, {"prompt": "x"}))
            await until(lambda: served.instance("a.gguf")["queue_len"] == 1)
            served.terminate()
            assert (await waiting)[0]["reason"] == "draining"
            assert (await http.get(f"{served.url}/readyz")).status_code == 503
            refused = await http.post(f"{served.url}/infer", json={"prompt": "x"})
            assert (refused.status_code, refused.json()["reason"]) == (503, "draining")
            gate.touch()
            rest = [line async for line in running]
            assert rest[-1]["content"] == "t0 t1 t2 t3 t4 "

    with serving(rig_models, "--default-model", "a.gguf", "--models", options) as served:
        workers = psutil.Process(served.process.pid).children(recursive=True)
        asyncio.run(scenario(served))
        assert served.exit_code() == 0
        assert not [worker for worker in workers if worker.is_running()]


def test_after_the_drain_time_streams_end_with_an_error_line(
    rig_models: Path, tmp_path: Path
) -> None:
    async def scenario(served: Served) -> list[dict[str, Any]]:
        async with client() as http:
            body = script(tokens=5, gate=str(tmp_path / "never"), gate_at=1)
            running = lines(http, served.url, body)
            assert await anext(running) == {"token": "t0 "}
            served.terminate()
            return [line async for line in running]

    arguments = ("--default-model", "a.gguf", "--drain-timeout-s", "0.3")
    with serving(rig_models, *arguments) as served:
        assert [line["reason"] for line in asyncio.run(scenario(served))] == ["draining"]
        assert served.exit_code() == 0


def test_workers_do_not_outlive_a_killed_server(rig_models: Path) -> None:
    with serving(rig_models, "--default-model", "a.gguf") as served:
        served.post("/infer", {"prompt": "hello"})
        workers = psutil.Process(served.process.pid).children(recursive=True)
        assert len(workers) >= 1
        served.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=DEADLINE_S)
        assert not alive
