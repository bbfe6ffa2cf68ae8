# SPDX-License-Identifier: GPL-3.0-only
"""A child process under limits that answers questions; :mod:`.confinement` is its inside."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import msgspec

from modeld_llama_cpp.confinement import LENGTH

START_LIMIT_S = 10

_BOOT = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " importlib.import_module(sys.argv[2]).main(int(sys.argv[3]), int(sys.argv[4]))"
)
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)


class LimitedProcess:
    """Answers questions in a process of its own.

    The process runs ``main(parent_pid, limit_s)`` of a module. It is started by the first question
    and kept; one that takes longer than ``limit_s`` for an answer is killed, and the next question
    starts another. :meth:`ask` is called on one thread at a time; :meth:`close` may come from
    another and ends a running :meth:`ask`.
    """

    def __init__(
        self, module: str, setup: dict[str, object], *, limit_s: int, max_reply_bytes: int
    ) -> None:
        self._module = module
        self._setup = setup
        self._limit_s = limit_s
        self._max_reply_bytes = max_reply_bytes
        self._child: _Child | None = None
        self._in_use = threading.Lock()
        self._closed = False

    def ask(self, question: dict[str, object]) -> dict[str, Any]:
        """Wait for the answer to a question.

        Raises:
            TimeoutError: it does not come within the limit.
            OSError: the process is gone, what it says is no answer, or :meth:`close` was called.
        """
        with self._in_use:
            try:
                return self._running().ask(question, self._limit_s)
            except OSError as exc:
                self._end()
                if self._closed:
                    raise ConnectionAbortedError("the model is being unloaded") from exc
                raise

    def close(self) -> None:
        """End the process. May be called twice."""
        self._closed = True
        child = self._child
        if child is not None:
            child.kill()
        with self._in_use:
            self._end()

    def _running(self) -> _Child:
        if self._closed:
            raise ConnectionAbortedError
        if self._child is None:
            self._child = _Child(self._module, self._limit_s, self._max_reply_bytes)
            if self._closed:  # by a close() that came while the process was being started
                raise ConnectionAbortedError
            try:
                self._child.ask(self._setup, START_LIMIT_S)
            except TimeoutError as exc:
                raise ConnectionAbortedError("its process has not started in time") from exc
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class _Child:
    """The process, and a socket to it that is its standard input."""

    def __init__(self, module: str, limit_s: int, max_reply_bytes: int) -> None:
        self._max_reply_bytes = max_reply_bytes
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [
                    sys.executable, "-I", "-S", "-c", _BOOT,
                    json.dumps(sys.path), module, str(os.getpid()), str(limit_s),
                ],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ},
            )  # fmt: skip

    def ask(self, message: dict[str, object], limit_s: float) -> dict[str, Any]:
        try:
            reply = self._exchange(json.dumps(message).encode(), time.monotonic() + limit_s)
            return msgspec.json.decode(reply, type=dict[str, Any])
        except TimeoutError as exc:
            raise TimeoutError(f"it took longer than {limit_s} s") from exc
        except msgspec.DecodeError as exc:
            raise ConnectionAbortedError("its reply was no JSON object") from exc

    def kill(self) -> None:
        """End the process at once, from any thread; a waiting :meth:`ask` fails."""
        self._process.kill()

    def close(self) -> None:
        """End the process and take in its exit."""
        self._process.kill()
        self._process.wait()
        self._socket.close()

    def _exchange(self, data: bytes, deadline: float) -> bytes:
        self._socket.settimeout(deadline - time.monotonic())
        self._socket.sendall(LENGTH.pack(len(data)) + data)
        (size,) = LENGTH.unpack(self._read(LENGTH.size, deadline))
        if size > self._max_reply_bytes:
            raise ConnectionAbortedError(f"it replied with {size} bytes")
        return self._read(size, deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < size:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = self._socket.recv(min(size - len(data), 1 << 20))
            if not piece:
                raise ConnectionResetError("its process is gone")
            data += piece
        return bytes(data)
