# SPDX-License-Identifier: GPL-3.0-only
"""What a limited process runs first: the system's limits, and the messages with the engine.

:mod:`.limited` is the other end. Foreign code and foreign grammars can use up time and memory in
ways that no list of forbidden things covers. So they are dealt with in a process of its own, which
the kernel limits and the engine kills when its time is up. This module imports little, as it is
part of what such a process waits for when it starts.
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
from typing import Any

CHANNEL_FD = 0
LENGTH = struct.Struct("!I")
MEMORY_BYTES = 512 << 20
MAX_REASON = 300

_PR_SET_PDEATHSIG = 1

Message = dict[str, Any]
Answer = Callable[[Message], Message]


def serve(prepare: Callable[[Message], Answer], parent_pid: int, limit_s: int) -> None:
    """Take what is needed to prepare, then answer questions until the other end is closed."""
    die_with(parent_pid)
    answer = prepare(_receive())
    limit_memory()
    _send({"ready": True})
    while True:
        question = _receive()
        _limit_cpu(limit_s)
        try:
            reply = answer(question)
        except MemoryError:
            reply = {"error": f"it needs more than {MEMORY_BYTES >> 20} MiB"}
        except Exception as exc:  # noqa: BLE001  (whatever foreign code raises is its own)
            reply = {"error": f"{type(exc).__name__}: {exc}"[:MAX_REASON]}
        _send(reply)


def die_with(parent_pid: int) -> None:
    """End when the engine ends, however it does."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:
            sys.exit()


def limit_memory() -> None:
    """Write no file and no core, and grow by no more than :data:`MEMORY_BYTES`.

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
    """Let the kernel end the process, should the engine not live to do it."""
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
        if not piece:
            sys.exit()
        data += piece
    return bytes(data)


def _send(message: Message) -> None:
    data = json.dumps(message).encode()
    data = LENGTH.pack(len(data)) + data
    while data:
        data = data[os.write(CHANNEL_FD, data) :]
