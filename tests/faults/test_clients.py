# SPDX-License-Identifier: GPL-3.0-only
"""Clients that break off all at once, read slowly, or come in great numbers."""

import asyncio
import json
import os
import resource
import socket
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from tests.support.http.served import Ledger, Served, ask, client, script, serving, until

REFUSED = 'reason="too_many_connections"'
LINGER = struct.pack("ii", 1, 0)


def fleeing(served: Served, body: dict[str, object]) -> socket.socket:
    """Return a connection that has sent a request, reads little and resets when it is closed."""
    address = urlsplit(served.url)
    sock = socket.socket()
    sock.settimeout(30)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect((address.hostname or "", address.port or 0))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER)
    payload = json.dumps(body).encode()
    head = (
        f"POST /infer HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    )
    sock.sendall(head.encode() + payload)
    return sock


def open_files(served: Served) -> int:
    return len(os.listdir(f"/proc/{served.process.pid}/fd"))  # noqa: PTH208  (a plain count)


def test_a_thousand_clients_that_reset_leave_nothing_behind(
    rig_models: Path, tmp_path: Path
) -> None:
    options = json.dumps({"*": {"slots": 8}})
    arguments = ("--default-model", "a.gguf", "--max-queue-depth", "300", "--models", options)
    stuck = script(tokens=5, gate=str(tmp_path / "never"), gate_at=2)

    with serving(rig_models, *arguments) as served:
        served.post("/infer", {"prompt": "warm"})
        asyncio.run(until(lambda: served.status()["warm_workers"] == 1))  # it has files, too
        before = open_files(served)
        for _ in range(5):
            clients = [fleeing(served, stuck) for _ in range(200)]
            clients[0].recv(1)
            for each in clients:
                each.close()
        asyncio.run(until(lambda: served.instance("a.gguf")["inflight"] == 0))
        asyncio.run(until(lambda: served.instance("a.gguf")["queue_len"] == 0))
        asyncio.run(until(lambda: open_files(served) <= before + 1))
        assert served.post("/infer", {"prompt": "next"}).status_code == 200
        assert "Traceback" not in served.log()
        asyncio.run(until(lambda: served.log().count("POST /infer") == 1002))


def test_readers_that_stop_cost_little_memory_and_do_not_hold_up_others(rig_models: Path) -> None:
    options = json.dumps({"*": {"slots": 32}})
    arguments = ("--default-model", "a.gguf", "--models", options)
    long = script(tokens=200_000)

    async def others(served: Served) -> None:
        async with client() as http:
            for _ in range(20):
                response = await ask(http, served.url, Ledger(), script(tokens=20))
                assert response[-1]["done"]

    with serving(rig_models, *arguments) as served:
        served.post("/infer", {"prompt": "warm"})
        server = psutil.Process(served.process.pid)
        before = server.memory_info().rss
        slow = [fleeing(served, long) for _ in range(20)]
        try:
            for each in slow:
                each.recv(1)
            asyncio.run(others(served))
            grown = server.memory_info().rss - before
            assert grown < 20 * (1 << 20), f"{grown >> 20} MiB for 20 readers that stopped"
        finally:
            for each in slow:
                each.close()
        asyncio.run(until(lambda: served.instance("a.gguf")["inflight"] == 0))


def test_health_is_answered_beside_a_thousand_idle_connections(rig_models: Path) -> None:
    with serving(rig_models, "--default-model", "a.gguf") as served:
        address = urlsplit(served.url)
        target = (address.hostname or "", address.port or 0)
        idle = [socket.create_connection(target, timeout=30) for _ in range(1000)]
        try:
            assert served.get("/healthz").status_code == 200
            assert '"done":true' in served.post("/infer", {"prompt": "hello"}).text
        finally:
            for each in idle:
                each.close()


def test_more_connections_than_open_files_cost_neither_probes_nor_the_log(
    rig_models: Path,
) -> None:
    few = ("sh", "-c", 'ulimit -n 300; exec "$@"', "sh")
    with serving(rig_models, "--default-model", "a.gguf", wrapper=few) as served:
        address = urlsplit(served.url)
        target = (address.hostname or "", address.port or 0)
        crowd = [socket.create_connection(target, timeout=30) for _ in range(330)]
        took_s = []
        for number in range(100):
            crowd[number].close()
            crowd[number] = socket.create_connection(target, timeout=30)
            for path in ("/healthz", "/metrics"):
                begun_s = time.monotonic()
                assert served.get(path).status_code == 200
                took_s.append(time.monotonic() - begun_s)
        assert sorted(took_s)[100] < 0.5
        refused = [line for line in served.get("/metrics").text.splitlines() if REFUSED in line]
        assert float(refused[0].rpartition(" ")[2]) >= 100
        for each in crowd:
            each.close()
        asyncio.run(until(lambda: served.get("/status").status_code == 200))
        assert '"done":true' in served.post("/infer", {"prompt": "hello"}).text
        log = served.log()
        assert "no more than 170 connections are taken" in log
        assert len(log) < 100_000
        assert "Traceback" not in log
        assert "Logging error" not in log


def test_where_no_file_can_be_opened_connections_wait_and_nothing_is_lost(
    rig_models: Path,
) -> None:
    """The limit falls while the server runs, as if something else had taken the files."""
    arguments = ("--default-model", "a.gguf", "--warm-workers", "0", "--max-queue-depth", "64")
    with serving(rig_models, *arguments) as served:
        served.post("/infer", {"prompt": "warm"})
        address = urlsplit(served.url)
        target = (address.hostname or "", address.port or 0)
        _, hard = resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE)
        begun = psutil.Process(served.process.pid).cpu_times()
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (open_files(served), hard))
        crowd = [fleeing(served, {"prompt": "hello"}) for _ in range(50)]
        asyncio.run(until(lambda: "no connection can be accepted now" in served.log()))
        resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE, (4096, hard))
        for each in crowd:
            assert each.recv(12) == b"HTTP/1.1 200"
            each.close()
        assert socket.create_connection(target, timeout=30).close() is None
        ended = psutil.Process(served.process.pid).cpu_times()
        assert ended.user + ended.system - begun.user - begun.system < 2.0
        assert "Traceback" not in served.log()
        assert served.log().count("no connection can be accepted now") == 1


@pytest.mark.parametrize("ahead", [0, 100_000, 3 << 20])
@pytest.mark.parametrize("stage", ["loading", "queued", "running"])
def test_a_client_that_leaves_frees_its_slot_at_once_whatever_it_has_sent_ahead(
    rig_models: Path, tmp_path: Path, stage: str, ahead: int
) -> None:
    gate = tmp_path / "gate"
    stuck = script(tokens=5, gate=str(tmp_path / "never"), gate_at=1)
    options: dict[str, object] = {"slots": 1}
    if stage == "loading":
        options["load_gate"] = str(gate)
    member = "inflight" if stage == "running" else "queue_len"
    arguments = ("--default-model", "a.gguf", "--models", json.dumps({"*": options}))
    with serving(rig_models, *arguments) as served, httpx.Client(timeout=30) as watcher:

        def taken() -> int:
            """Return how many places are taken, asked on one connection, which is quicker."""
            instances = watcher.get(f"{served.url}/status").json()["instances"]
            return sum(each[member] for each in instances if each["model_id"] == "a.gguf")

        other = fleeing(served, stuck) if stage == "queued" else None
        if other:
            other.recv(1)
        took_s = []
        for leave in (socket.socket.close, half_close, socket.socket.close):
            leaver = fleeing(served, stuck)
            asyncio.run(until(lambda: taken() == 1))
            if ahead:
                leaver.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * ahead)
            begun_s = time.monotonic()
            leave(leaver)
            asyncio.run(until(lambda: taken() == 0))
            took_s.append(time.monotonic() - begun_s)
            leaver.close()
        if other:
            other.close()
        assert min(took_s) < 0.1, took_s


def half_close(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)
