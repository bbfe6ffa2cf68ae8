# SPDX-License-Identifier: GPL-3.0-only
"""Where the server listens: how an address is written, who can reach it, and its sockets."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from modeld.errors import ConfigurationError, StartError
from modeld.settings import Settings
from modeld.values import Value

LOOPBACK = "127.0.0.1"

_NAME = re.compile(r"[A-Za-z0-9._-]+")
_FORMS = "use :8080 (this machine only), HOST:8080, [::1]:8080 or unix:/run/modeld.sock"
_FIRST_INHERITED_FD = 3
_MISSING_FAMILY = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_ADVICE = {
    errno.EADDRINUSE: "; stop the other server or choose another port",
    errno.EACCES: "; ports below 1024 need a privilege, and a unix socket a folder to write to",
    errno.EADDRNOTAVAIL: "; this machine has no such address",
}


class TcpAddress(Value, frozen=True, kw_only=True):
    """A host name or IP address, and a port; port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixAddress(Value, frozen=True, kw_only=True):
    """A socket in the file system; the process's umask decides who may use it."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address: TypeAlias = TcpAddress | UnixAddress


def parse_addr(addr: str) -> Address:
    """Return an address as it is written in the settings; one without a host is loopback only.

    Raises:
        ConfigurationError: it is not one of the known forms.
    """
    if addr.startswith("unix:"):
        return UnixAddress(path=_socket_path(addr))
    scheme, separator, _ = addr.partition("://")
    if separator:
        raise _wrong(addr, f"it is a URL; leave {scheme + separator!r} and any path out")
    host, colon, port = addr.rpartition(":")
    if not colon:
        raise _wrong(addr, "it has no port")
    if not (port.isascii() and port.isdecimal() and int(port) < 1 << 16):
        raise _wrong(addr, f"{port!r} is not a port from 0 to 65535")
    if host.startswith("["):
        return TcpAddress(host=_ipv6(addr, host), port=int(port))
    if ":" in host:
        raise _wrong(addr, "an IPv6 address needs brackets")
    if host and _NAME.fullmatch(host) is None:
        raise _wrong(addr, f"{host!r} is neither a host name nor an IP address")
    return TcpAddress(host=host or LOOPBACK, port=int(port))


def _socket_path(addr: str) -> str:
    path = addr.removeprefix("unix:")
    if not path or "\0" in path:
        raise _wrong(addr, "it names no file")
    if len(os.fsencode(path)) > 100:
        raise _wrong(addr, "the system allows no more than 100 bytes for a socket's path")
    return path


def _ipv6(addr: str, host: str) -> str:
    bare = host[1:-1]
    try:
        ipaddress.IPv6Address(bare)
    except ValueError as exc:
        raise _wrong(addr, f"{host!r} is not an IPv6 address in brackets") from exc
    if not host.endswith("]"):
        raise _wrong(addr, f"{host!r} is not an IPv6 address in brackets")
    return bare


def _wrong(addr: str, detail: str) -> ConfigurationError:
    return ConfigurationError(f"addr {addr!r} is not an address: {detail}; {_FORMS}", field="addr")


def check_exposure(settings: Settings) -> None:
    """Refuse an address that other machines can reach where no key is needed.

    Raises:
        ConfigurationError: ``addr`` is neither loopback nor a unix socket, there is no API key,
            and ``insecure_no_auth`` does not allow that.
    """
    match parse_addr(settings.addr):
        case TcpAddress(host=host) if not _is_loopback(host):
            _require_key(settings, settings.addr)


def _require_key(settings: Settings, where: str) -> None:
    if not settings.api_key_file and not settings.insecure_no_auth:
        raise ConfigurationError(
            f"addr {where} can be reached from other machines, and no API key protects it; set"
            " api_key_file, listen on loopback only (:8080), or allow it with insecure_no_auth",
            field="api_key_file",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


@contextmanager
def listening_sockets(
    settings: Settings, environ: Mapping[str, str]
) -> Iterator[Sequence[socket.socket]]:
    """Yield sockets bound to ``addr``, or those that systemd has opened for this process instead.

    They are closed on leaving, and the files of unix sockets that were bound here and that nobody
    listens on then removed.

    Raises:
        ConfigurationError: other machines can reach them, and no API key is needed.
        StartError: the address is taken, not allowed, or not of this machine.
    """
    sockets = _inherited(environ)
    files = []
    if sockets:  # trying out whether systemd still listens would make it start the service again
        _check_inherited(sockets, settings)
    else:
        check_exposure(settings)
        sockets = _bound(parse_addr(settings.addr))
        files = [Path(sock.getsockname()) for sock in sockets if sock.family == socket.AF_UNIX]
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()
        for file in files:
            if _is_abandoned(file):
                file.unlink(missing_ok=True)


def _inherited(environ: Mapping[str, str]) -> list[socket.socket]:
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = environ.get("LISTEN_FDS", "0")
    if not count.isdecimal():
        raise StartError(f"LISTEN_FDS is {count!r}, which is not a number of sockets")
    last = _FIRST_INHERITED_FD + int(count)
    return [socket.socket(fileno=fd) for fd in range(_FIRST_INHERITED_FD, last)]


def _check_inherited(sockets: Sequence[socket.socket], settings: Settings) -> None:
    for sock in sockets:
        if sock.family != socket.AF_UNIX and not _is_loopback(sock.getsockname()[0]):
            _require_key(settings, url(sock))


def _bound(address: Address) -> list[socket.socket]:
    try:
        match address:
            case UnixAddress(path=path):
                return [_bind_unix(Path(path))]
            case TcpAddress(host=host, port=port):
                return _bind_tcp(host, port)
    except (OSError, UnicodeError) as exc:
        raise cannot_listen(address, exc) from exc


def cannot_listen(where: object, exc: OSError | UnicodeError) -> StartError:
    """Return the error that says where the server cannot listen, why, and what may help."""
    number = exc.errno if isinstance(exc, OSError) else None
    cause = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
    return StartError(f"cannot listen on {where}: {cause.lower()}{_ADVICE.get(number or 0, '')}")


def _bind_tcp(host: str, port: int) -> list[socket.socket]:
    """Return one socket for each address of ``host``, all with one port; IPv4 comes first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    missing: OSError | None = None
    for family, _, _, _, target in sorted(set(found)):
        try:
            sock = _bind(family, (target[0], port, *target[2:]))
        except OSError as exc:
            if exc.errno in _MISSING_FAMILY:
                missing = exc
                continue
            for other in sockets:
                other.close()
            raise
        sockets.append(sock)
        port = sock.getsockname()[1]
    if missing is not None and not sockets:
        raise missing
    return sockets


def _bind(family: int, target: str | tuple[object, ...]) -> socket.socket:
    # asyncio lets small pieces of a response go at once only where it sees that this is TCP.
    protocol = 0 if family == socket.AF_UNIX else socket.IPPROTO_TCP
    sock = socket.socket(family, socket.SOCK_STREAM, protocol)
    try:
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(target)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(file: Path) -> socket.socket:
    """Return a socket bound to ``file``, in place of one that nobody listens on any more.

    It listens at once, so that no other server takes it for abandoned during the start.
    """
    if _is_abandoned(file):
        file.unlink(missing_ok=True)
    sock = _bind(socket.AF_UNIX, str(file))
    sock.listen()
    return sock


def _is_abandoned(file: Path) -> bool:
    if not file.is_socket():
        return False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(0)
            probe.connect(str(file))
    except ConnectionRefusedError:
        return True
    except BlockingIOError:  # its queue is full, so it is in use
        return False
    return False


def url(sock: socket.socket) -> str:
    """Return where a bound socket can be reached, for people."""
    if sock.family == socket.AF_UNIX:
        return str(UnixAddress(path=sock.getsockname()))
    host, port = sock.getsockname()[:2]
    return f"http://{TcpAddress(host=host, port=port)}"
