# SPDX-License-Identifier: GPL-3.0-only
"""The inside of a limited process: the system's limits, and the messages with the engine.

:mod:`.parent` is the other end. Foreign code can use up time and memory in ways that no list of
forbidden things covers. So it runs in a process of its own, which the kernel limits and the engine
kills when its time is up. This module imports little: whoever starts such a process waits for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

CHANNEL_FD = 0
"""The socket to the engine stands in for standard input."""

LENGTH = struct.Struct("!I")
"""Each message is JSON with its length in bytes before it."""

MEMORY_BYTES = 512 << 20
MAX_REASON = 300

_PR_SET_PDEATHSIG = 1

Message: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Message], Message]
"""What makes a response of a request. Whatever it raises becomes the response's ``error``."""


def serve(prepare: Callable[[Message], Handler], parent_pid: int, limit_s: int) -> None:
    """Prepare with the first message, then handle requests until the other end is closed.

    ``prepare`` runs without limits, so it must run nothing foreign.
    """
    die_with(parent_pid)
    handle = prepare(_receive())
    # From here on, so that what our own imports have mapped does not count against foreign code.
    limit_memory()
    _send({"ready": True})
    while True:
        request = _receive()
        _limit_cpu(limit_s)
        try:
            response = handle(request)
        except MemoryError:
            response = {"error": f"it needs more than {MEMORY_BYTES >> 20} MiB"}
        except Exception as exc:  # noqa: BLE001  (whatever foreign code raises is its own)
            response = {"error": f"{type(exc).__name__}: {exc}"[:MAX_REASON]}
        _send(response)


def die_with(parent_pid: int) -> None:
    """Let the kernel end this process when the engine ends, however it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it ended before the signal was asked for: none will come
            sys.exit()


def limit_memory() -> None:
    """Forbid to write files and cores, and to grow by more than :data:`MEMORY_BYTES`.

    What is mapped already does not count: llama.cpp's libraries alone can be larger.
    """
    for limit, value in (
        (resource.RLIMIT_AS, _mapped_bytes() + MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower limit is in force already
            resource.setrlimit(limit, (value, value))


def _mapped_bytes() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()


def _limit_cpu(limit_s: int) -> None:
    """Let the kernel end the process, should the engine not live to do it.

    The kernel limits all that the process has ever computed, so the limit moves with each request.
    It counts whole seconds, and one more makes up for the part that is cut off here.
    """
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (used + limit_s + 1, hard))


def _receive() -> Message:
    (size,) = LENGTH.unpack(_read(LENGTH.size))
    received: Message = json.loads(_read(size))
    return received


def _read(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(CHANNEL_FD, min(size - len(data), 1 << 20))
        if not piece:  # the engine has closed its end: there is nothing left to do
            sys.exit()
        data += piece
    return bytes(data)


def _send(message: Message) -> None:
    data = json.dumps(message).encode()
    data = LENGTH.pack(len(data)) + data
    while data:
        data = data[os.write(CHANNEL_FD, data) :]
