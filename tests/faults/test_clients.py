# SPDX-License-Identifier: GPL-3.0-only
"""Clients that break off all at once, read slowly, or come in great numbers."""

import asyncio
import json
import os
import socket
import struct
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.blackbox.served import Ledger, Served, ask, client, script, serving, until

LINGER = struct.pack("ii", 1, 0)


def fleeing(served: Served, body: dict[str, object]) -> socket.socket:
    """A connection that has sent a request, reads little and resets when it is closed."""
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
        asyncio.run(until(lambda: served.status()["spare_workers"] == 1))  # it has files, too
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
        lines = [line for line in served.log().splitlines() if "POST /infer" in line]
        assert len(lines) == 1002


def test_readers_that_stop_cost_little_memory_and_do_not_hold_up_others(rig_models: Path) -> None:
    options = json.dumps({"*": {"slots": 32}})
    arguments = ("--default-model", "a.gguf", "--models", options)
    long = script(tokens=200_000)

    async def others(served: Served) -> None:
        async with client() as http:
            for _ in range(20):
                answer = await ask(http, served.url, Ledger(), script(tokens=20))
                assert answer[-1]["done"]

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
