# SPDX-License-Identifier: GPL-3.0-only
"""Whether the server could listen at its address, and what is there instead."""

from __future__ import annotations

import http.client
import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from modeld.doctor.report import error, ok, warning
from modeld.errors import ConfigurationError, StartError
from modeld.httpapi.server.address import (
    LOOPBACK,
    TcpAddress,
    UnixAddress,
    listening_sockets,
    parse_addr,
)
from modeld.machine.files import Machine
from modeld.settings import Settings
from modeld.values import Finding

ASKED_S: Final = 2.0
"""How long a server at the address may take to answer."""

_EVERY_ADDRESS: Final = ("0.0.0.0", "::", "*")  # noqa: S104  (compared with, not bound to)
_LISTENING: Final = "0A"
_PROBLEM: Final = frozenset({"error", "code", "reason"})
"""What the body of each of modeld's errors has."""


def check_address(settings: Settings, machine: Machine) -> Iterator[Finding]:
    """Try the address of the settings for a moment."""
    try:
        address = parse_addr(settings.addr)
    except ConfigurationError:
        return  # the check of the settings says so
    match address:
        case UnixAddress(path=path):
            yield from _check_socket_file(Path(path))
        case TcpAddress():
            yield from _check_port(address, settings, machine)


def owner_of(port: int, machine: Machine) -> str | None:
    """Return the process that listens on a TCP port, as ``name (pid)``, where the system tells."""
    inodes = {f"socket:[{inode}]" for inode in _listeners(port, machine)}
    if not inodes:
        return None
    for folder in machine.path("/proc").iterdir():
        if folder.name.isdecimal() and any(link in inodes for link in _open_files(folder)):
            return f"{machine.text(f'/proc/{folder.name}/comm')} (pid {folder.name})"
    return None


def _check_port(address: TcpAddress, settings: Settings, machine: Machine) -> Iterator[Finding]:
    try:
        with listening_sockets(replace(settings, insecure_no_auth=True), {}):
            pass
    except StartError as exc:
        message, _, fix = exc.message.partition("; ")
        owner = owner_of(address.port, machine)
        if _is_modeld(address):
            yield warning(
                "address",
                f"a modeld serves at {address} already{f': {owner}' if owner else ''}",
                "nothing, if this is the server that you mean; another one needs another port",
            )
        else:
            by = f"; {owner} listens there" if owner else ""
            yield error("address", f"{message}{by}", fix or "set addr to another address")
    else:
        yield ok("address", f"{address} is free")


def _is_modeld(address: TcpAddress) -> bool:
    """Return whether a server there answers as modeld does."""
    host = LOOPBACK if address.host in _EVERY_ADDRESS else address.host
    connection = http.client.HTTPConnection(host, address.port, timeout=ASKED_S)
    try:
        connection.request("GET", "/healthz")
        with connection.getresponse() as response:
            is_alive = response.status == 200 and response.read(16).strip() == b"ok"
        connection.request("GET", "/no-such-path")
        with connection.getresponse() as response:
            problem = json.loads(response.read(4096))
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()
    return is_alive and isinstance(problem, dict) and problem.keys() >= _PROBLEM


def _check_socket_file(file: Path) -> Iterator[Finding]:
    folder = file.parent
    if not folder.is_dir():
        yield error(
            "address", f"the folder {folder} of the unix socket is missing", f"mkdir {folder}"
        )
    elif not os.access(folder, os.W_OK | os.X_OK):
        fix = f"let this user write to {folder}, or set addr to another path"
        yield error("address", f"no socket can be made in {folder}: permission denied", fix)
    elif not file.exists():
        yield ok("address", f"unix:{file} is free")
    elif not file.is_socket():
        yield error("address", f"{file} is no socket and in the way", "move it, or change addr")
    elif _is_served(file):
        yield warning(
            "address",
            f"a server listens at unix:{file} already",
            "nothing, if this is the server that you mean; another one needs another addr",
        )
    else:
        yield ok("address", f"unix:{file} is left over and will be replaced")


def _is_served(file: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(ASKED_S)
        try:
            probe.connect(str(file))
        except ConnectionRefusedError:
            return False
        except OSError:
            return True
    return True


def _open_files(process: Path) -> Iterator[str]:
    """Return what a process has open; nothing if it has ended or is somebody else's."""
    with suppress(OSError):
        for entry in (process / "fd").iterdir():
            with suppress(OSError):  # it has been closed meanwhile
                yield os.readlink(entry)  # noqa: PTH115  (a socket's link is no path)


def _listeners(port: int, machine: Machine) -> Iterator[str]:
    """Return the inodes of the sockets that listen on a port."""
    for name in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in machine.text(name).splitlines()[1:]:
            fields = line.split()
            if len(fields) < 10 or fields[3] != _LISTENING:
                continue
            if int(fields[1].rpartition(":")[2], 16) == port:
                yield fields[9]
