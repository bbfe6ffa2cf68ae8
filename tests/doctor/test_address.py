# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from modeld.doctor.address import check_address, owner_of
from modeld.machine.files import Machine
from modeld.settings import Settings
from modeld.values import Finding
from tests.support.doctor.another_machine import machine, only

PROBLEM = b'{"error": "there is nothing here", "code": 404, "reason": "not_found"}'


@contextmanager
def server(health: bytes, problem: bytes) -> Iterator[int]:
    """Yield something that answers HTTP on a port."""

    class Empty(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            is_health = self.path == "/healthz"
            body = health if is_health else problem
            self.send_response(200 if is_health else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Empty) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield http.server_port
        http.shutdown()
        thread.join()


def checked(addr: str, here: Machine | None = None) -> Finding:
    return only(check_address(Settings(addr=addr), here or Machine()))


def test_a_free_port_is_fine_and_stays_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for _ in range(2):
        assert checked(f":{port}").level == "ok"
    socket.create_server(("127.0.0.1", port)).close()


def test_an_address_that_needs_a_key_is_tried_all_the_same():
    assert checked("0.0.0.0:0").level == "ok"


def test_an_address_that_cannot_be_read_is_left_to_the_settings():
    assert list(check_address(Settings(addr="nonsense"), Machine())) == []


def test_a_port_that_another_modeld_serves_is_a_warning_that_says_so():
    with server(b"ok\n", PROBLEM) as port:
        finding = checked(f":{port}")
    assert finding.level == "warning"
    assert f"a modeld serves at 127.0.0.1:{port} already" in finding.message
    assert f"(pid {os.getpid()})" in finding.message


@pytest.mark.parametrize(
    ("health", "problem"), [(b"fine", PROBLEM), (b"ok", b"Not Found"), (b"ok", b"[]")]
)
def test_a_port_that_something_else_keeps_is_an_error_with_its_name(health, problem):
    with server(health, problem) as port:
        finding = checked(f":{port}")
    assert finding.level == "error"
    assert "address already in use" in finding.message
    assert f"(pid {os.getpid()}) listens there" in finding.message
    assert "choose another port" in str(finding.fix)


def test_a_port_whose_owner_says_nothing_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr("modeld.doctor.address.ASKED_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        finding = checked(f":{silent.getsockname()[1]}", machine(tmp_path))
    assert finding.level == "error"
    assert "listens there" not in finding.message  # that machine does not tell by whom


def test_an_address_of_another_machine_is_an_error():
    finding = checked("192.0.2.1:0")
    assert (finding.level, finding.fix) == ("error", "this machine has no such address")


def test_nobody_listens_on_a_port_that_is_free():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert owner_of(port, Machine()) is not None
    assert owner_of(port, Machine()) is None


def test_who_still_has_a_connection_on_a_port_does_not_listen_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = taken.getsockname()
        client = socket.create_connection(address)
        accepted, _ = taken.accept()
    with client, accepted:
        assert accepted.getsockname() == address
        assert owner_of(address[1], Machine()) is None


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder whose name is short enough for a socket's."""
    monkeypatch.chdir(tmp_path)
    return Path()


def test_a_unix_socket_that_can_be_made_is_fine_and_is_not_made(folder):
    assert checked("unix:m.sock").level == "ok"
    assert not (folder / "m.sock").exists()


def test_a_unix_socket_that_is_left_over_stays_for_the_server_to_replace(folder):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("m.sock")
    finding = checked("unix:m.sock")
    assert (finding.level, "left over" in finding.message) == ("ok", True)
    assert (folder / "m.sock").is_socket()


def test_a_unix_socket_in_use_is_a_warning(folder):
    with socket.socket(socket.AF_UNIX) as used:
        used.bind("m.sock")
        used.listen()
        assert checked("unix:m.sock").level == "warning"


def test_a_unix_socket_needs_a_folder_and_nothing_in_its_way(folder):
    (folder / "file").write_text("")
    assert "in the way" in checked("unix:file").message
    finding = checked("unix:none/m.sock")
    assert (finding.level, finding.fix) == ("error", "mkdir none")


def test_a_folder_without_the_right_to_write_is_an_error(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    assert "permission denied" in checked("unix:m.sock").message
