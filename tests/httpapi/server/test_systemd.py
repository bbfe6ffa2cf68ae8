# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import logging
import os
import socket
from pathlib import Path

import pytest

from modeld.httpapi.server.systemd import READY, Notifier


@pytest.fixture
def listener() -> socket.socket:
    """Yield a socket in the place of systemd's, with a name in the abstract namespace."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(10)
        sock.bind("")  # the kernel chooses a free abstract name
        yield sock


def environ(listener: socket.socket, **more: str) -> dict[str, str]:
    return {"NOTIFY_SOCKET": "@" + listener.getsockname()[1:].decode(), **more}


def test_an_abstract_socket_is_reached(listener: socket.socket) -> None:
    Notifier(environ(listener)).send(READY)
    assert listener.recv(100) == b"READY=1"


@pytest.mark.parametrize("variables", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1"}])
def test_without_a_socket_nothing_is_sent(variables: dict[str, str]) -> None:
    Notifier(variables).send(READY)


def test_a_listener_that_is_gone_is_only_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "modeld.server"):
        Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).send(READY)
    assert "cannot tell READY=1" in caplog.text


def test_signs_of_life_come_until_they_are_cancelled(listener: socket.socket) -> None:
    async def live() -> None:
        variables = environ(listener, WATCHDOG_USEC="2000", WATCHDOG_PID=str(os.getpid()))
        alive = asyncio.create_task(Notifier(variables).stay_alive())
        received = await asyncio.to_thread(lambda: [listener.recv(100) for _ in range(3)])
        assert received == [b"WATCHDOG=1"] * 3
        alive.cancel()

    asyncio.run(live())


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
        {"WATCHDOG_USEC": "2000", "WATCHDOG_PID": "1"},
    ],
)
def test_a_process_that_is_not_watched_gives_no_sign_of_life(
    listener: socket.socket, variables: dict[str, str]
) -> None:
    asyncio.run(Notifier(environ(listener, **variables)).stay_alive())
    listener.settimeout(0)
    with pytest.raises(BlockingIOError):
        listener.recv(100)
