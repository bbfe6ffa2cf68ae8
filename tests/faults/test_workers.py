# SPDX-License-Identifier: GPL-3.0-only
"""What becomes of requests when a worker dies, hangs, floods or dies again and again."""

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from modeld.cli.main import ExitCode, main
from tests.support.http.served import Ledger, Served, ask, client, lines, script, serving, until


def test_a_killed_worker_costs_its_own_requests_and_nothing_else(
    rig_models: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    stuck = script(tokens=5, gate=str(gate), gate_at=2)

    async def scenario(served: Served) -> None:
        async with client() as http:
            other = asyncio.create_task(
                ask(http, served.url, Ledger(), {"model": "b.gguf", **stuck})
            )
            victim = lines(http, served.url, {"model": "a.gguf", **stuck})
            assert [await anext(victim), await anext(victim)] == [
                {"token": "t0 "},
                {"token": "t1 "},
            ]
            pid = served.instance("a.gguf")["pid"]
            os.kill(pid, signal.SIGKILL)
            last = await anext(victim)
            assert last["reason"] == "worker_crashed"
            assert "SIGKILL" in last["error"]
            assert [line async for line in victim] == []
            response = await ask(http, served.url, Ledger(), {"model": "a.gguf", "prompt": "again"})
            assert response[-1]["content"] == "again "
            assert served.instance("a.gguf")["pid"] != pid
            gate.touch()
            assert (await other)[-1]["content"] == "t0 t1 t2 t3 t4 "

    with serving(rig_models) as served:
        asyncio.run(scenario(served))
        assert 'modeld_worker_exits_total{cause="signal"} 1.0' in served.get("/metrics").text


def test_a_worker_that_dies_idle_is_not_listed_as_loaded(rig_models: Path) -> None:
    async def scenario(served: Served) -> None:
        served.post("/infer", {"prompt": "hello"})
        os.kill(served.instance("a.gguf")["pid"], signal.SIGKILL)
        await until(lambda: served.state("a.gguf") == "absent")
        assert served.status()["held_mb"] == 0

    with serving(rig_models, "--default-model", "a.gguf") as served:
        asyncio.run(scenario(served))


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("SIGSEGV", "signal"),
        ("SIGABRT", "signal"),
        ("SIGBUS", "signal"),
        ("exit 0", "exit"),
        ("exit 1", "exit"),
        ("garbage", "garbage"),
        ("huge", "garbage"),
    ],
)
def test_however_a_worker_ends_its_stream_ends_with_one_error_and_the_next_request_loads_anew(
    rig_models: Path, fault: str, cause: str
) -> None:
    async def scenario(served: Served) -> None:
        async with client() as http:
            response = await ask(http, served.url, Ledger(), script(tokens=9, fault=fault, at=2))
            assert [line.get("token") for line in response] == ["t0 ", "t1 ", None]
            assert response[-1]["reason"] == "worker_crashed"
            again = await ask(http, served.url, Ledger(), script(tokens=1))
            assert again[-1]["done"]

    with serving(rig_models, "--default-model", "a.gguf") as served:
        asyncio.run(scenario(served))
        assert served.process.poll() is None
        assert f'modeld_worker_exits_total{{cause="{cause}"}} 1.0' in served.get("/metrics").text


def test_twenty_kills_cost_twenty_streams_and_nothing_else(
    rig_models: Path, tmp_path: Path
) -> None:
    """The cool-down that a second crash brings is cleared by the change of the model's file."""
    stuck = script(tokens=5, gate=str(tmp_path / "never"), gate_at=2)
    ledger = Ledger()
    detected_s: list[float] = []

    async def kill(served: Served, model: Path) -> None:
        async with client() as http:
            begun = asyncio.Event()
            victim = asyncio.create_task(
                ask(http, served.url, ledger, {"model": "a.gguf", **stuck}, begun)
            )
            await begun.wait()
            os.kill(served.instance("a.gguf")["pid"], signal.SIGKILL)
            killed_s = time.monotonic()
            assert (await victim)[-1]["reason"] == "worker_crashed"
            detected_s.append(time.monotonic() - killed_s)
            os.utime(model)

    models = tmp_path / "models"
    models.mkdir()
    for name in ("a.gguf", "b.gguf"):
        (models / name).write_bytes((rig_models / name).read_bytes())
    with serving(models) as served:
        server = served.process.pid
        for _ in range(20):
            asyncio.run(kill(served, models / "a.gguf"))
        ledger.check()
        assert ledger.outcomes == {"failed": 20}
        asyncio.run(until(lambda: served.status()["held_mb"] == 0))
        assert served.process.pid == server
        assert served.process.poll() is None
    assert sorted(detected_s)[10] < 0.5, detected_s


def test_a_stopped_worker_is_killed_as_hung_and_its_stream_ends_with_an_error(
    rig_models: Path,
) -> None:
    async def scenario(served: Served) -> None:
        async with client() as http:
            response = await ask(http, served.url, Ledger(), script(tokens=9, fault="stop", at=2))
            assert response[-1]["reason"] == "worker_crashed"
            again = await ask(http, served.url, Ledger(), script(tokens=1))
            assert again[-1]["done"]

    arguments = ("--default-model", "a.gguf", "--stall-timeout-s", "0.5")
    with serving(rig_models, *arguments) as served:
        asyncio.run(scenario(served))
        assert 'modeld_worker_exits_total{cause="stall"} 1.0' in served.get("/metrics").text


def test_a_model_that_dies_at_every_load_is_left_alone_and_says_for_how_long(
    rig_models: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    options = json.dumps({"*": {"load_fault": "SIGSEGV", "journal": str(journal)}})
    arguments = ("--default-model", "a.gguf", "--models", options)
    with serving(rig_models, *arguments) as served:
        begun_s = time.monotonic()
        responses = [served.post("/infer", {"prompt": "x"}) for _ in range(20)]
        cool_downs = int(time.monotonic() - begun_s)  # the shortest lasts a second
        assert {(response.status_code, response.json()["reason"]) for response in responses} == {
            (503, "load_failed")
        }
        assert all(int(response.headers["retry-after"]) >= 1 for response in responses)
        assert served.instance("a.gguf")["state"] == "failed"
        assert journal.read_text().count("load a.gguf") <= 1 + cool_downs
        assert served.status()["held_mb"] == 0


def test_fifty_requests_share_one_load(rig_models: Path, tmp_path: Path) -> None:
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    options = {"journal": str(journal), "load_gate": str(gate), "slots": 4}
    arguments = ("--default-model", "a.gguf", "--max-queue-depth", "64")
    ledger = Ledger()

    async def scenario(served: Served) -> None:
        async with client() as http:
            tasks = [
                asyncio.create_task(ask(http, served.url, ledger, script(tokens=1)))
                for _ in range(50)
            ]
            await until(lambda: served.instance_or_none("a.gguf", "queue_len") == 50)
            assert served.get("/healthz").text.strip() == "ok"
            gate.touch()
            await asyncio.gather(*tasks)

    with serving(rig_models, *arguments, "--models", json.dumps({"*": options})) as served:
        asyncio.run(scenario(served))
    assert ledger.outcomes == {"completed": 50}
    assert journal.read_text().count("load a.gguf") == 1


def test_a_flood_on_standard_error_delays_no_stream(rig_models: Path) -> None:
    async def scenario(served: Served) -> None:
        async with client() as http:
            flood = script(tokens=3, fault="flood 100000000", at=1)
            response = await ask(http, served.url, Ledger(), flood)
            assert response[-1]["content"] == "t0 t1 t2 "

    with serving(rig_models, "--default-model", "a.gguf") as served:
        asyncio.run(scenario(served))
        assert len(served.log()) < 1_000_000


def test_a_crashed_engines_traceback_is_in_the_log_once_with_its_model_and_backend(
    rig_models: Path,
) -> None:
    async def scenario(served: Served) -> None:
        served.post("/infer", {"model": "a.gguf", **script(tokens=3, fault="raise", at=1)})
        await until(lambda: "next load in" in served.log())
        await until(lambda: "RuntimeError: the rig was told to fail" in served.log())
        own = [line for line in served.log().splitlines() if "last words" in line]
        assert all("last words of 'a.gguf', backend 'rig': " in line for line in own)
        assert own[0].endswith("Traceback (most recent call last):")
        assert own[-1].endswith("RuntimeError: the rig was told to fail")
        assert any("commit" in line for line in own), "the innermost call"
        assert len(own) <= 20
        assert served.log().count("RuntimeError: the rig was told to fail") == 1

    with serving(rig_models) as served:
        asyncio.run(scenario(served))


def test_a_worker_that_aborts_leaves_its_last_line_in_the_log(rig_models: Path) -> None:
    async def scenario(served: Served) -> None:
        cry = script(tokens=3, fault="cry GGML_ASSERT(x > 0) failed", at=1)
        served.post("/infer", {"model": "a.gguf", **cry})
        await until(lambda: "GGML_ASSERT(x > 0) failed" in served.log())

    with serving(rig_models) as served:
        asyncio.run(scenario(served))


def test_a_load_that_raises_leaves_its_traceback_in_the_log(
    rig_models: Path, tmp_path: Path
) -> None:
    config = tmp_path / "modeld.yaml"
    config.write_text(
        f"addr: 127.0.0.1:0\nmodels_dir: {rig_models}\nmodels:\n  a.gguf: {{load_fault: raise}}\n"
    )

    async def scenario(served: Served) -> None:
        refused = served.post("/infer", {"model": "a.gguf", "prompt": "hi"})
        assert refused.status_code == 503
        assert "RuntimeError: the rig was told to fail" in refused.json()["error"]
        assert "Traceback" not in refused.text
        assert ".py" not in refused.text
        await until(lambda: "last words of 'a.gguf': RuntimeError" in served.log())
        tail = served.instance("a.gguf")["log_tail"]
        assert tail[0] == "Traceback (most recent call last):"
        assert tail[-1] == "RuntimeError: the rig was told to fail"
        (row,) = [p for p in served.get("/plugins").json()["plugins"] if p["name"] == "rig"]
        assert row["faults"][0]["thing"] == "backend rig"
        assert "RuntimeError: the rig was told to fail" in row["faults"][0]["message"]
        assert main(["plugins", "--server", served.url]) == ExitCode.FAILED

    with serving(None, "--config", str(config)) as served:
        asyncio.run(scenario(served))


def test_workers_are_told_apart_in_a_list_of_processes(rig_models: Path) -> None:
    async def scenario(served: Served) -> None:
        def titles() -> set[str]:
            found = psutil.Process(served.process.pid).children()
            return {" ".join(child.cmdline()).strip() for child in found}

        served.post("/infer", {"model": "a.gguf", "prompt": "hello"})
        await until(
            lambda: titles() == {"modeld-worker a.gguf", "modeld-worker (waits for a model)"}
        )
        worker = psutil.Process(served.instance("a.gguf")["pid"])
        assert worker.name() == "modeld-worker"

    with serving(rig_models, "--warm-workers", "1") as served:
        asyncio.run(scenario(served))


def test_a_killed_warm_worker_is_replaced_without_a_load(rig_models: Path) -> None:
    async def scenario(served: Served) -> None:
        def warm() -> set[int]:
            return {child.pid for child in psutil.Process(served.process.pid).children()}

        await until(lambda: len(warm()) == 1)
        (first,) = warm()
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(warm() - {first}) == 1 and served.status()["warm_workers"] == 1)
        assert f"the warm worker {first} ended before any load" in served.log()

    with serving(rig_models, "--warm-workers", "1") as served:
        asyncio.run(scenario(served))
