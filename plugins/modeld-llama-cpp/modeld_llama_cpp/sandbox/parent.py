# SPDX-License-Identifier: GPL-3.0-only
"""The outside of a limited process: starts, calls and ends it. Its inside is :mod:`.child`."""

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

from modeld_llama_cpp.sandbox.child import LENGTH

START_LIMIT_S = 10

# Isolated (-I) and without site (-S): no file of the working folder and no ``sitecustomize`` runs
# in it. It gets our own import path instead, so that it finds the modules that we have.
_BOOT = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " importlib.import_module(sys.argv[2]).main(int(sys.argv[3]), int(sys.argv[4]))"
)
_PASSED_VARIABLES = ("LD_LIBRARY_PATH",)


class LimitedProcess:
    """Handles requests in a process of its own.

    The process runs ``main(parent_pid, limit_s)`` of a module. It is started by the first call and
    stays; one that takes longer than ``limit_s`` for a response is killed, and the next call starts
    another. :meth:`call` is used on one thread at a time; :meth:`close` may come from another and
    ends a running :meth:`call`.
    """

    def __init__(
        self, module: str, setup: dict[str, object], *, limit_s: int, max_response_bytes: int
    ) -> None:
        self._module = module
        self._setup = setup
        self._limit_s = limit_s
        self._max_response_bytes = max_response_bytes
        self._child: _Child | None = None
        self._in_use = threading.Lock()
        self._closed = False

    def call(self, request: dict[str, object]) -> dict[str, Any]:
        """Return the response to a request.

        Raises:
            TimeoutError: it does not come within the limit.
            OSError: the process is gone, what it sends is no response, or :meth:`close` was called.
        """
        with self._in_use:
            try:
                return self._running().call(request, self._limit_s)
            except OSError as exc:
                self._end()
                if self._closed:
                    raise ConnectionAbortedError("the model is being unloaded") from exc
                raise

    def close(self) -> None:
        """End the process. May be called twice."""
        # First the mark, then the kill, then the lock: a call() that starts a process meanwhile
        # sees the mark, and one that waits for a response holds the lock until the kill ends it.
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
            self._child = _Child(self._module, self._limit_s, self._max_response_bytes)
            if self._closed:  # by a close() that came while the process was being started
                raise ConnectionAbortedError
            try:
                self._child.call(self._setup, START_LIMIT_S)
            except TimeoutError as exc:
                raise ConnectionAbortedError("its process has not started in time") from exc
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class _Child:
    """The process, and the socket to it, which is its standard input."""

    def __init__(self, module: str, limit_s: int, max_response_bytes: int) -> None:
        self._max_response_bytes = max_response_bytes
        # Once its exit is taken in, the process's id may be another's: no kill may come after.
        self._ending = threading.Lock()
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [
                    sys.executable, "-I", "-S", "-c", _BOOT,
                    json.dumps(sys.path), module, str(os.getpid()), str(limit_s),
                ],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={key: os.environ[key] for key in _PASSED_VARIABLES if key in os.environ},
            )  # fmt: skip

    def call(self, message: dict[str, object], limit_s: float) -> dict[str, Any]:
        try:
            data = self._exchange(json.dumps(message).encode(), time.monotonic() + limit_s)
            return msgspec.json.decode(data, type=dict[str, Any])
        except TimeoutError as exc:
            raise TimeoutError(f"it took longer than {limit_s} s") from exc
        except msgspec.DecodeError as exc:
            raise ConnectionAbortedError("its response was no JSON object") from exc

    def kill(self) -> None:
        """End the process at once, from any thread; a waiting :meth:`call` fails."""
        with self._ending:
            self._process.kill()

    def close(self) -> None:
        """End the process and take in its exit."""
        with self._ending:
            self._process.kill()
            self._process.wait()
        self._socket.close()

    def _exchange(self, data: bytes, deadline: float) -> bytes:
        self._socket.settimeout(deadline - time.monotonic())
        self._socket.sendall(LENGTH.pack(len(data)) + data)
        (size,) = LENGTH.unpack(self._read(LENGTH.size, deadline))
        if size > self._max_response_bytes:
            raise ConnectionAbortedError(f"its response has {size} bytes")
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
