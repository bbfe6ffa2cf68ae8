# SPDX-License-Identifier: GPL-3.0-only
"""What becomes of requests and of workers when the server ends."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.http.served import (
    DEADLINE_S,
    RIG,
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


DRAIN_S = 2.0
"""How long running requests may go on by default."""

STOPPED_S = 5.0
"""By when a server with default settings has to be gone.

It needs three alone; here other tests keep the machine busy. Whatever waited, after the drain, for
the 5 s that a worker may take to close would need seven.
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_busy_server_tells_everybody_and_waits_for_no_deaf_worker(
    rig_models: Path, tmp_path: Path, number: signal.Signals
) -> None:
    """20 streams, 20 that wait, and a worker that hangs and hears of no cancellation."""
    options = json.dumps({"a.gguf": {"slots": 20}, "b.gguf": {"slots": 1}})
    stuck = {"model": "a.gguf", **script(tokens=5, gate=str(tmp_path / "never"), gate_at=1)}
    deaf = {"model": "b.gguf", **script(tokens=9, fault="hang", at=1)}

    async def scenario(served: Served) -> float:
        async with client() as http:
            streams = [lines(http, served.url, stuck) for _ in range(20)]
            streams.append(lines(http, served.url, deaf))
            first = await asyncio.gather(*(anext(stream) for stream in streams))
            assert first == [{"token": "t0 "}] * 21
            queued = [
                asyncio.create_task(ask(http, served.url, Ledger(), stuck)) for _ in range(20)
            ]
            await until(lambda: served.instance("a.gguf")["queue_len"] == 20)
            begun_s = time.monotonic()
            served.process.send_signal(number)
            refused = await asyncio.gather(*queued)
            assert time.monotonic() - begun_s < DRAIN_S, "who waits is told at once"
            assert {(len(response), response[0]["reason"]) for response in refused} == {
                (1, "draining")
            }
            ends = await asyncio.gather(*(anext(stream) for stream in streams))
            assert {end["reason"] for end in ends} == {"draining"}
            return begun_s

    with serving(rig_models, "--models", options) as served:
        served.post("/infer", {"model": "a.gguf", "prompt": "warm"})
        served.post("/infer", {"model": "b.gguf", "prompt": "warm"})
        workers = psutil.Process(served.process.pid).children(recursive=True)
        assert len(workers) >= 2
        begun_s = asyncio.run(scenario(served))
        assert served.exit_code() == 0
        assert time.monotonic() - begun_s < STOPPED_S
        assert not [worker for worker in workers if worker.is_running()]
        assert "Traceback" not in served.log()


def test_a_short_generation_finishes_after_the_signal_and_the_server_is_gone_at_once(
    rig_models: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    async def scenario(served: Served) -> float:
        async with client() as http:
            running = lines(http, served.url, script(tokens=5, gate=str(gate), gate_at=1))
            await anext(running)
            served.terminate()
            await until(lambda: served.get("/readyz").text == "draining")
            gate.touch()
            begun_s = time.monotonic()
            assert [line async for line in running][-1]["content"] == "t0 t1 t2 t3 t4 "
            return begun_s

    arguments = ("--default-model", "a.gguf", "--drain-timeout-s", "60")
    with serving(rig_models, *arguments) as served:
        begun_s = asyncio.run(scenario(served))
        assert served.exit_code() == 0
        assert time.monotonic() - begun_s < STOPPED_S, "it does not wait for the rest of the drain"


WITH_A_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
ours, theirs = os.openpty()
fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
os.set_inheritable(ours, True)
os.execv(sys.argv[1], sys.argv[1:])
"""
"""Runs a command with a terminal that it could lose, and that stays."""


def test_a_second_signal_ends_a_busy_server_at_once_but_a_terminal_hangs_up_only_once(
    rig_models: Path, tmp_path: Path
) -> None:
    arguments = ("--default-model", "a.gguf", "--drain-timeout-s", "60")

    async def scenario(served: Served) -> float:
        async with client() as http:
            body = script(tokens=5, gate=str(tmp_path / "never"), gate_at=1)
            running = lines(http, served.url, body)
            await anext(running)
            served.process.send_signal(signal.SIGHUP)
            await until(lambda: served.get("/readyz").text == "draining")
            served.process.send_signal(signal.SIGHUP)
            assert served.get("/readyz").text == "draining"
            begun_s = time.monotonic()
            served.process.send_signal(signal.SIGINT)
            assert [line["reason"] async for line in running] == ["draining"]
            return begun_s

    wrapper = (sys.executable, "-c", WITH_A_TERMINAL)
    with serving(rig_models, *arguments, wrapper=wrapper) as served:
        served.post("/infer", {"prompt": "warm"})
        workers = psutil.Process(served.process.pid).children(recursive=True)
        begun_s = asyncio.run(scenario(served))
        assert served.exit_code() == 1
        assert time.monotonic() - begun_s < STOPPED_S
        assert not [worker for worker in workers if worker.is_running()]


ON_A_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(2, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "modeld", "serve", *sys.argv[1:]])
"""


def test_a_server_whose_terminal_hangs_up_drains_and_ends_in_order(
    rig_models: Path, tmp_path: Path
) -> None:
    """The kernel sends the signal, and nothing can be written to the terminal any more."""
    ours, theirs = os.openpty()
    arguments = ["--addr", "127.0.0.1:0", "--models-dir", str(rig_models)]
    arguments += ["--drain-timeout-s", "30"]
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, *arguments, "--default-model", "a.gguf"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(RIG)},
    )
    os.close(theirs)
    assert process.stdout is not None
    found = re.search(r"http://[\w.:]+", process.stdout.readline())
    assert found is not None
    served = Served(process, found.group(), tmp_path / "no log")

    async def scenario() -> None:
        async with client() as http:
            body = script(tokens=5, gate=str(tmp_path / "gate"), gate_at=1)
            running = lines(http, served.url, body)
            await anext(running)
            os.close(ours)
            await until(lambda: served.get("/readyz").text == "draining")
            (tmp_path / "gate").touch()
            assert [line async for line in running][-1]["content"] == "t0 t1 t2 t3 t4 "

    try:
        workers = psutil.Process(process.pid).children(recursive=True)
        asyncio.run(scenario())
        assert served.exit_code() == 0
        assert not [worker for worker in workers if worker.is_running()]
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_is_to_outlive_its_terminal_does(rig_models: Path) -> None:
    with serving(rig_models, wrapper=("nohup",)) as served:
        served.process.send_signal(signal.SIGHUP)
        assert served.get("/healthz").text == "ok"
        assert served.get("/readyz").text == "loading"
        served.terminate()
        assert served.exit_code() == 0


def test_workers_do_not_outlive_a_killed_server(rig_models: Path) -> None:
    with serving(rig_models, "--default-model", "a.gguf") as served:
        served.post("/infer", {"prompt": "hello"})
        workers = psutil.Process(served.process.pid).children(recursive=True)
        assert len(workers) >= 1
        served.process.kill()
        _, alive = psutil.wait_procs(workers, timeout=DEADLINE_S)
        assert not alive
