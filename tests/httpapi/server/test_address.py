# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from modeld.errors import ConfigurationError, StartError
from modeld.httpapi.server.address import (
    Address,
    TcpAddress,
    UnixAddress,
    check_exposure,
    listening_sockets,
    parse_addr,
    url,
)
from modeld.settings import Settings


@pytest.mark.parametrize(
    ("addr", "address"),
    [
        (":8080", TcpAddress(host="127.0.0.1", port=8080)),
        (":0", TcpAddress(host="127.0.0.1", port=0)),
        ("0.0.0.0:80", TcpAddress(host="0.0.0.0", port=80)),
        ("localhost:65535", TcpAddress(host="localhost", port=65535)),
        ("my-host.example:1", TcpAddress(host="my-host.example", port=1)),
        ("[::1]:8080", TcpAddress(host="::1", port=8080)),
        ("[::]:8080", TcpAddress(host="::", port=8080)),
        ("unix:/run/modeld.sock", UnixAddress(path="/run/modeld.sock")),
        ("unix:modeld.sock", UnixAddress(path="modeld.sock")),
    ],
)
def test_every_documented_form_is_understood(addr: str, address: Address) -> None:
    assert parse_addr(addr) == address
    if not addr.startswith(":"):
        assert str(address) == addr


@pytest.mark.parametrize(
    ("addr", "detail"),
    [
        ("", "no port"),
        ("8080", "no port"),
        ("localhost", "no port"),
        ("localhost:", "'' is not a port"),
        (":65536", "'65536' is not a port"),
        (":-1", "'-1' is not a port"),
        (":٨٠", "is not a port"),
        (":http", "'http' is not a port"),
        ("::1:8080", "needs brackets"),
        ("[::1]", "is not a port"),
        ("[::1:8080", "not an IPv6 address in brackets"),
        ("[127.0.0.1]:8080", "not an IPv6 address in brackets"),
        ("[]:8080", "not an IPv6 address in brackets"),
        ("*:8080", "neither a host name"),
        ("http://localhost:8080", "it is a URL; leave 'http://' and any path out"),
        ("a b:8080", "neither a host name"),
        ("unix:", "names no file"),
        ("unix:/" + "x" * 100, "no more than 100 bytes"),
    ],
)
def test_what_is_not_an_address_is_refused_with_the_forms_that_are(addr: str, detail: str) -> None:
    with pytest.raises(ConfigurationError, match=detail) as caught:
        parse_addr(addr)
    assert ":8080 (this machine only)" in caught.value.message
    assert caught.value.field == "addr"


@pytest.mark.parametrize(
    "addr", [":1", "127.0.0.1:1", "127.8.8.8:1", "localhost:1", "Localhost:1", "[::1]:1", "unix:/x"]
)
def test_loopback_needs_no_key(addr: str) -> None:
    check_exposure(Settings(addr=addr))


@pytest.mark.parametrize(
    "addr", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1", "127.1:1", "[::ffff:1.2.3.4]:1"]
)
def test_other_addresses_need_a_key_or_an_explicit_wish(addr: str) -> None:
    with pytest.raises(ConfigurationError, match="insecure_no_auth") as caught:
        check_exposure(Settings(addr=addr))
    assert caught.value.field == "api_key_file"
    check_exposure(Settings(addr=addr, api_key_file="keys"))
    check_exposure(Settings(addr=addr, insecure_no_auth=True))


def test_localhost_has_one_port_in_all_its_families() -> None:
    with listening_sockets(Settings(addr="localhost:0"), {}) as sockets:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert len({sock.family for sock in sockets}) == len(sockets)
        assert url(sockets[0]).startswith("http://127.0.0.1:")


def test_a_family_without_its_address_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", port, 0, 0)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    with listening_sockets(Settings(addr="localhost:0"), {}) as sockets:
        assert [sock.family for sock in sockets] == [socket.AF_INET]


def test_no_socket_is_left_open_when_one_of_several_cannot_be_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]

        def found(host: str, _: int, **__: object) -> list[tuple[object, ...]]:
            kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
            return [(*kind, ("127.0.0.1", port)), (*kind, ("127.0.0.2", port))]

        monkeypatch.setattr(socket, "getaddrinfo", found)
        with pytest.raises(StartError, match="already in use"), listening(f"localhost:{port}"):
            pass
        with socket.create_server(("127.0.0.1", port)):
            pass


@contextmanager
def listening(addr: str) -> Iterator[None]:
    with listening_sockets(Settings(addr=addr, insecure_no_auth=True), {}):
        yield


def test_a_name_that_stands_for_nothing_is_a_start_failure() -> None:
    with pytest.raises(StartError, match=r"cannot listen on a\.\.b:80: "), listening("a..b:80"):
        pass


def test_the_socket_file_of_a_dead_server_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "modeld.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(file))
    with listening_sockets(Settings(addr=f"unix:{file}"), {}) as sockets:
        assert url(sockets[0]) == f"unix:{file}"
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(file))
    assert not file.exists()


def test_the_socket_file_of_a_busy_server_is_in_use(tmp_path: Path) -> None:
    file = tmp_path / "modeld.sock"
    with ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(str(file))
        busy.listen(0)
        with suppress(BlockingIOError):
            while True:
                client = stack.enter_context(socket.socket(socket.AF_UNIX))
                client.settimeout(0)
                client.connect(str(file))
        with pytest.raises(StartError, match="already in use"), listening(f"unix:{file}"):
            pass


def test_the_socket_file_of_a_server_that_starts_is_in_use(tmp_path: Path) -> None:
    addr = f"unix:{tmp_path}/modeld.sock"
    with listening(addr), pytest.raises(StartError, match="already in use"), listening(addr):
        pass


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("mine")
    with pytest.raises(StartError, match="address already in use"), listening(f"unix:{file}"):
        pass
    assert file.read_text() == "mine"


def test_a_socket_file_in_a_missing_folder_is_a_start_failure(tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no such file"), listening(f"unix:{tmp_path}/no/x"):
        pass


def test_a_socket_file_that_another_server_has_taken_over_is_not_removed(tmp_path: Path) -> None:
    file = tmp_path / "modeld.sock"
    with socket.socket(socket.AF_UNIX) as heir:
        with listening(f"unix:{file}"):
            file.unlink()
            heir.bind(str(file))
            heir.listen()
        assert file.is_socket()


def test_sockets_that_systemd_opened_for_another_process_are_not_ours() -> None:
    environ = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1"}
    with listening_sockets(Settings(addr=":0"), environ) as sockets:
        assert url(sockets[0]).startswith("http://127.0.0.1:")


def test_a_unix_socket_of_systemd_gets_no_connection_and_keeps_its_file(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as held:
        held.bind(str(tmp_path / "modeld.sock"))
        held.listen()
        held.settimeout(0)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "modeld.httpapi.server.address._FIRST_INHERITED_FD", os.dup(held.fileno())
            )
            environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
            with listening_sockets(Settings(), environ) as sockets:
                assert url(sockets[0]) == f"unix:{tmp_path}/modeld.sock"
        assert (tmp_path / "modeld.sock").is_socket()
        with pytest.raises(BlockingIOError):
            held.accept()


def test_small_pieces_of_a_response_are_sent_at_once() -> None:
    async def nodelay(sock: socket.socket) -> int:
        accepted: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ours = writer.get_extra_info("socket")
            accepted.set_result(ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        async with await asyncio.start_server(accept, sock=sock):
            _, writer = await asyncio.open_connection(*sock.getsockname()[:2])
            result = await accepted
            writer.close()
            return result

    with listening_sockets(Settings(addr=":0"), {}) as sockets:
        assert asyncio.run(nodelay(sockets[0])) == 1


def test_a_number_of_sockets_that_is_none_is_a_start_failure() -> None:
    environ = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "two"}
    with (
        pytest.raises(StartError, match="not a number of sockets"),
        listening_sockets(Settings(addr=":0"), environ),
    ):
        pass
