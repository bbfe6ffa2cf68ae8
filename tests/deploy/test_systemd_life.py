# SPDX-License-Identifier: GPL-3.0-only
"""What systemd is told by a real server, and how sockets pass from it to one server after another.

systemd is played by a datagram socket and by listening sockets that this process holds.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.deploy.programs import program
from tests.support.deploy.running import started, taking_over, wait_until
from tests.support.http.served import DEADLINE_S

WATCHDOG_S = 1.0
ALIVE = b"WATCHDOG=1"

PLUGIN = """
import asyncio, time
from pathlib import Path

from modeld import RegistrySource, hookimpl
from starlette.responses import PlainTextResponse
from starlette.routing import Route

FOLDER = Path({folder!r})


class Slow(RegistrySource):
    name = "slow"

    async def list_models(self):
        (FOLDER / "asked").touch()
        while not (FOLDER / "gate").exists():
            await asyncio.sleep(0.001)
        return []


@hookimpl
def modeld_register_sources(settings):
    return [Slow()]


async def block(request):
    (FOLDER / "blocked").touch()
    while not (FOLDER / "unblock").exists():
        time.sleep(0.001)
    return PlainTextResponse("free")


@hookimpl
def modeld_register_routes(settings, service):
    return [Route("/block", block)]
"""


class Systemd:
    """The end of the notify socket that systemd has."""

    def __init__(self, folder: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(folder / "notify"))
        self.environ = {
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
        }

    def next(self, within_s: float = DEADLINE_S) -> bytes | None:
        """Return the next state; ``None`` if there is none in time."""
        self.socket.settimeout(within_s)
        try:
            return self.socket.recv(100)
        except (TimeoutError, BlockingIOError):
            return None


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    played = Systemd(tmp_path)
    yield played
    played.socket.close()


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """Return a folder with a plugin; its source waits for `gate`, its route for `unblock`."""
    (tmp_path / "hinder.py").write_text(PLUGIN.format(folder=str(tmp_path)))
    info = tmp_path / "hinder-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: hinder\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[modeld]\nhinder = hinder\n")
    return tmp_path


def test_ready_is_told_when_requests_are_answered_and_no_sooner(
    systemd: Systemd, plugin: Path
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        started(
            wrapper=taking_over(listener.fileno()),
            pass_fds=[listener.fileno()],
            environ=systemd.environ,
            path=[plugin],
        ),
    ):
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        wait_until((plugin / "asked").exists, "the models are listed")
        assert systemd.next(within_s=0) is None
        (plugin / "gate").touch()
        assert systemd.next() == b"READY=1"
        assert httpx.get(f"{url}/healthz", timeout=DEADLINE_S).text == "ok"


def test_signs_of_life_come_twice_in_the_interval_until_the_end(systemd: Systemd) -> None:
    with started("--addr", ":0", environ=systemd.environ) as server:
        assert systemd.next() == b"READY=1"
        for _ in range(4):
            # Half of the interval, and as much again for a machine that is busy.
            assert systemd.next(within_s=WATCHDOG_S) == ALIVE
        server.terminate()
        while (state := systemd.next()) == ALIVE:
            pass
        assert state == b"STOPPING=1"
        assert server.exit_code() == 0


def test_a_plugin_that_blocks_the_event_loop_ends_the_signs_of_life(
    systemd: Systemd, plugin: Path
) -> None:
    (plugin / "gate").touch()
    with started("--addr", ":0", environ=systemd.environ, path=[plugin]) as server:
        url = server.address()
        blocked = threading.Thread(target=httpx.get, args=(f"{url}/block",), kwargs={"timeout": 60})
        blocked.start()
        wait_until((plugin / "blocked").exists, "the loop is blocked")
        while systemd.next(within_s=0) is not None:
            pass  # sent before
        assert systemd.next(within_s=2 * WATCHDOG_S) is None
        (plugin / "unblock").touch()
        assert systemd.next() == ALIVE
        blocked.join()


def test_sockets_pass_to_the_next_server_and_no_connection_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "modeld.sock"))
        unix.listen()
        fds = [tcp.fileno(), unix.fileno()]
        url = f"http://127.0.0.1:{tcp.getsockname()[1]}"
        with started(wrapper=taking_over(*fds), pass_fds=fds) as first, Asker(url) as asker:
            first.address()
            wait_until(lambda: asker.answered > 0, "the first server answers")
            first.terminate()
            assert first.exit_code() == 0
            between = asker.answered
            with started(wrapper=taking_over(*fds), pass_fds=fds) as second:
                second.address()
                wait_until(lambda: asker.answered > between + 1, "the second server answers")
                asker.stop()
                assert asker.refused == []
                transport = httpx.HTTPTransport(uds=str(tmp_path / "modeld.sock"))
                with httpx.Client(transport=transport, base_url="http://localhost") as client:
                    assert client.get("/healthz").text == "ok"


class Asker:
    """A client that opens one connection after another and never waits between them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.answered = 0
        self.refused: list[str] = []

    def __enter__(self) -> Asker:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stopped.is_set():
            try:
                httpx.get(f"{self._url}/healthz", timeout=DEADLINE_S)
                self.answered += 1
            except httpx.ConnectError as exc:
                self.refused.append(str(exc))
            except (httpx.ReadError, httpx.RemoteProtocolError):  # accepted in its last moment
                continue


@pytest.mark.debian
def test_systemd_starts_the_server_with_the_first_connection() -> None:
    activate = program("systemd-socket-activate", "systemd")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with started(wrapper=[activate, "-l", f"127.0.0.1:{port}"]) as server:
        wait_until(lambda: "Listening on" in server.log(), "systemd listens")
        assert "modeld" not in server.log()
        response = httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=DEADLINE_S)
        assert response.text == "ok"
        assert server.address() == f"http://127.0.0.1:{port}"
        server.terminate()
        assert server.exit_code() == 0
