# SPDX-License-Identifier: GPL-3.0-only
"""How a served process starts and ends: real child processes, real signals, exit codes."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from modeld.errors import ConfigurationError, StartError
from modeld.httpapi.server.server import serve
from modeld.httpapi.server.signals import FORCED_END_S
from modeld.settings import Settings

PATIENCE_S = 30.0
"""How long a test waits for what must happen; only a failing test waits that long."""

SCRIPT = Path(__file__).parents[2] / "support" / "http" / "served_app.py"
REQUEST = b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Child:
    """One served process; ``settings`` may hold its ``script``."""

    def __init__(
        self,
        *,
        wrapper: Sequence[str] = (),
        pass_fds: Sequence[int] = (),
        environ: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, str(SCRIPT), json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=pass_fds,
            env={**os.environ, **(environ or {})},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().rstrip("\n")
        assert line, self.end()
        return line

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Return the exit code, and what it has written to standard error."""
        _, stderr = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, stderr


@contextmanager
def running(**options: Any) -> Iterator[Child]:
    child = Child(**options)
    try:
        yield child
    finally:
        child.process.kill()
        child.end()


@contextmanager
def serving(**options: Any) -> Iterator[tuple[Child, int]]:
    """Yield a child that answers, and its port."""
    with running(**options) as child:
        yield child, int(child.line().rpartition(":")[2])


def connect(port: int, host: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection((host, port), timeout=PATIENCE_S)


def read_until(sock: socket.socket, end: bytes) -> bytes:
    response = b""
    while end not in response:
        piece = sock.recv(65536)
        assert piece, response
        response += piece
    return response


def read_all(sock: socket.socket) -> bytes:
    response = b""
    while piece := sock.recv(65536):
        response += piece
    return response


def ask(port: int, path: bytes = b"/") -> bytes:
    with connect(port) as sock:
        sock.sendall(REQUEST % path)
        return read_all(sock)


def begin_stream(sock: socket.socket) -> None:
    sock.sendall(REQUEST % b"/stream")
    read_until(sock, b"begun\n")


# The end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_after_a_signal_running_requests_finish_while_others_are_still_answered(
    number: signal.Signals,
) -> None:
    with serving() as (child, port), connect(port) as stream, connect(port) as idle:
        begin_stream(stream)
        child.signal(number)
        read_until(stream, b"draining\n")
        assert ask(port).endswith(b"draining")
        assert ask(port, b"/finish").endswith(b"finishing")
        assert read_all(stream).endswith(b"9\r\nfinished\n\r\n0\r\n\r\n")
        assert read_all(idle) == b""
        assert child.end() == (0, "")


def test_the_drain_gets_the_configured_time() -> None:
    with serving(drain_timeout_s=0.2) as (child, port), connect(port) as stream:
        begin_stream(stream)
        child.signal()
        assert read_all(stream).endswith(b"finished\n\r\n0\r\n\r\n")
        assert child.end() == (0, "")


def test_a_second_signal_ends_everything_at_once() -> None:
    with serving(drain_timeout_s=60) as (child, port), connect(port) as stream:
        begin_stream(stream)
        child.signal()
        read_until(stream, b"draining\n")
        begun = time.monotonic()
        child.signal()
        assert b"finished" not in read_to_the_end(stream)
        assert child.end() == (1, "")
        assert time.monotonic() - begun < FORCED_END_S


def read_to_the_end(sock: socket.socket) -> bytes:
    try:
        return read_all(sock)
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("script", ["close waits", "close blocks"])
def test_after_a_second_signal_nothing_can_hold_the_process(script: str) -> None:
    with serving(script=script, drain_timeout_s=60) as (child, port), connect(port) as stream:
        begin_stream(stream)
        child.signal()
        read_until(stream, b"draining\n")
        child.signal()
        code, stderr = child.end()
        assert code == 1
        assert ("did not close within 1 s" in stderr) == (script == "close waits")
        assert ("aclose" in stderr) == (script == "close blocks")


def test_a_second_signal_ends_a_close_that_takes_long() -> None:
    with serving(script="close waits") as (child, _):
        child.signal()
        assert child.line() == "closing"
        begun = time.monotonic()
        child.signal()
        assert child.end() == (1, "")
        assert time.monotonic() - begun < FORCED_END_S


def test_two_signals_end_a_process_whose_event_loop_is_stuck() -> None:
    with serving() as (child, port), connect(port) as sock:
        sock.sendall(REQUEST % b"/block")
        assert child.line() == "blocking"
        child.signal(signal.SIGTERM)
        child.signal(signal.SIGINT)
        code, stderr = child.end()
        assert code == 1
        assert "served_app.py" in stderr


def test_a_signal_during_the_start_ends_it_in_order() -> None:
    with running(script="start waits") as child:
        assert child.line() == "starting"
        child.signal()
        assert child.line() == "closing"
        assert child.end() == (0, "")


def test_a_thread_that_hangs_does_not_forbid_the_end() -> None:
    with serving(script="thread hangs") as (child, _):
        child.signal()
        assert child.line() == "closing"
        assert child.end()[0] == 0


def test_a_task_that_cannot_be_cancelled_does_not_forbid_the_end() -> None:
    with serving(script="task goes on") as (child, _):
        child.signal()
        assert child.line() == "closing"
        code, stderr = child.end()
        assert code == 0
        assert "task stubborn does not end and is left behind" in stderr


def test_a_fault_in_the_drain_is_an_internal_error() -> None:
    with serving(script="drain broken") as (child, _):
        child.signal()
        assert child.line() == "closing"
        code, stderr = child.end()
        assert code == 70
        assert "RuntimeError: broken drain" in stderr


def test_a_request_that_outlives_the_drain_cannot_hold_the_process() -> None:
    with serving(script="drain hurried") as (child, port), connect(port) as stream:
        begin_stream(stream)
        child.signal()
        assert b"finished" not in read_all(stream)
        code, stderr = child.end()
        assert code == 0
        assert "Traceback" not in stderr


# The start


def assert_one_line(stderr: str, *parts: str) -> None:
    assert stderr.startswith("modeld: ")
    assert stderr.count("\n") == 1
    for part in parts:
        assert part in stderr


def test_a_port_in_use_is_a_start_failure_that_names_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with running(addr=f":{port}") as child:
            code, stderr = child.end()
    assert code == 3
    assert_one_line(stderr, f"127.0.0.1:{port}", "address already in use", "choose another port")


def test_a_port_that_is_taken_during_the_start_is_a_start_failure() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        with running(script="start asks", addr=f":{other.getsockname()[1]}") as child:
            assert child.line() == "starting"
            other.listen()
            child.tell("go on")
            code, stderr = child.end()
    assert code == 3
    assert_one_line(stderr, "address already in use")


def test_an_address_of_another_machine_is_a_start_failure() -> None:
    with running(addr="192.0.2.1:0", insecure_no_auth=True) as child:
        code, stderr = child.end()
    assert code == 3
    assert_one_line(stderr, "192.0.2.1:0", "this machine has no such address")


def test_a_service_that_cannot_start_is_a_start_failure() -> None:
    with running(script="start refused") as child:
        assert child.line() == "closing"
        code, stderr = child.end()
    assert code == 3
    assert_one_line(stderr, "cannot start the service: there is no memory left")


def test_a_service_that_breaks_at_the_start_leaves_a_traceback() -> None:
    with running(script="start broken") as child:
        assert child.line() == "closing"
        code, stderr = child.end()
    assert code == 3
    assert "Traceback" in stderr
    assert stderr.endswith("modeld: error: cannot start the service: RuntimeError: broken plugin\n")


class Unstartable:
    """Must never be started, or refuses to."""

    def __init__(self, error: Exception) -> None:
        self.error = error
        self.started = False

    async def start(self) -> None:
        self.started = True
        raise self.error

    async def drain(self, timeout_s: float) -> None: ...

    async def aclose(self) -> None: ...

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


@pytest.mark.parametrize("addr", ["0.0.0.0:0", "8080"])
def test_settings_that_cannot_be_used_are_for_the_caller(addr: str) -> None:
    app = Unstartable(StartError("never"))
    with pytest.raises(ConfigurationError):
        serve(app, Settings(addr=addr))
    assert not app.started
    with pytest.raises(ConfigurationError, match="two plugins"):
        serve(Unstartable(ConfigurationError("two plugins")), Settings(addr=":0"))


def test_signal_handlers_are_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert serve(Unstartable(StartError("not today")), Settings(addr=":0")) == 3
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
    assert capsys.readouterr().err == "modeld: error: not today\n"


def test_outside_the_main_thread_no_signal_handler_is_needed() -> None:
    codes: list[int] = []
    app = Unstartable(StartError("not today"))
    thread = threading.Thread(target=lambda: codes.append(serve(app, Settings(addr=":0"))))
    thread.start()
    thread.join(PATIENCE_S)
    assert codes == [3]
    assert app.started


# What is served, and where


def test_responses_come_with_a_date_and_without_the_servers_name() -> None:
    with serving() as (_, port):
        head = ask(port).lower()
        assert b"\r\ndate: " in head
        assert b"\r\nserver: " not in head


def test_the_limits_of_the_settings_hold() -> None:
    with serving(max_headers=8) as (_, port), connect(port) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 8 + b"\r\n")
        assert b'"reason":"too_many_headers"' in read_all(sock)


def test_an_open_server_can_be_asked_for() -> None:
    with serving(addr="0.0.0.0:0", insecure_no_auth=True) as (_, port):
        assert ask(port).endswith(b"serving")


def test_a_unix_socket_is_served_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "modeld.sock"
    with running(addr=f"unix:{path}") as child:
        assert child.line() == f"unix:{path}"
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(path))
            sock.sendall(REQUEST % b"/")
            assert read_all(sock).endswith(b"serving")
        with running(addr=f"unix:{path}") as second:
            code, stderr = second.end()
            assert code == 3
            assert_one_line(stderr, str(path), "address already in use")
        child.signal()
        assert child.line() == "closing"
        assert child.end() == (0, "")
    assert not path.exists()


TAKE_OVER = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_a_socket_of_systemd_is_served() -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:
        number = inherited.fileno()
        wrapper = [sys.executable, "-c", TAKE_OVER, str(number)]
        with running(wrapper=wrapper, pass_fds=[number], addr="never used") as child:
            port = inherited.getsockname()[1]
            assert child.line() == f"http://127.0.0.1:{port}"
            assert ask(port).endswith(b"serving")
            child.signal()
            assert child.end() == (0, "")


def test_an_open_socket_of_systemd_needs_a_key_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as inherited:
        number = inherited.fileno()
        wrapper = [sys.executable, "-c", TAKE_OVER, str(number)]
        with running(wrapper=wrapper, pass_fds=[number]) as child:
            code, stderr = child.end()
    assert code == 2
    assert_one_line(stderr, "http://0.0.0.0:", "api_key_file")


def test_systemd_is_told_what_happens(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(PATIENCE_S)
        listener.bind(str(tmp_path / "notify"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        with running(environ=environ) as child:
            assert listener.recv(100) == b"READY=1"
            port = int(child.line().rpartition(":")[2])
            assert [listener.recv(100) for _ in range(3)] == [b"WATCHDOG=1"] * 3
            with connect(port) as stream:
                begin_stream(stream)
                child.signal()
                while (state := listener.recv(100)) == b"WATCHDOG=1":
                    pass
                assert state == b"STOPPING=1"
                assert listener.recv(100) == b"WATCHDOG=1"
                ask(port, b"/finish")
            assert child.end() == (0, "")


def test_a_stuck_event_loop_gives_no_sign_of_life(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"}
        with serving(environ=environ) as (child, port), connect(port) as sock:
            sock.sendall(REQUEST % b"/block")
            assert child.line() == "blocking"
            while select.select([listener], [], [], 0)[0]:  # sent before the loop was stuck
                listener.recv(100)
            assert select.select([listener], [], [], 0.3)[0] == []


def test_as_many_files_may_be_open_as_there_may_be_connections() -> None:
    few = ["sh", "-c", 'ulimit -Sn 256; exec "$@"', "sh"]
    with serving(wrapper=few, max_connections=1000) as (_, port):
        assert int(ask(port, b"/files").rpartition(b"\r\n\r\n")[2]) > 1000


def test_what_a_server_has_from_its_start_is_no_garbage_to_look_through() -> None:
    with serving() as (_, port):
        assert int(ask(port, b"/frozen").rpartition(b"\r\n\r\n")[2]) > 10_000


def test_too_few_files_are_a_warning() -> None:
    few = ["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"]
    with serving(wrapper=few, max_connections=1000) as (child, port):
        assert ask(port, b"/files").endswith(b"256")
        child.signal()
        code, stderr = child.end()
    assert code == 0
    assert "the system allows 256 open files" in stderr
