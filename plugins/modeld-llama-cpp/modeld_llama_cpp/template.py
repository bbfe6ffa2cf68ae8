# SPDX-License-Identifier: GPL-3.0-only
"""A model's chat template, rendered in a process of its own; :mod:`.rendering` says why."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import msgspec

from modeld import Message
from modeld.errors import TemplateError
from modeld_llama_cpp.rendering import LENGTH, MAX_TEXT_CHARS

MAX_TEMPLATE_BYTES = 256 << 10
TIME_LIMIT_S = 2
START_LIMIT_S = 10

_MAX_REPLY_BYTES = 6 * MAX_TEXT_CHARS + 64
"""JSON writes a character outside ASCII as at most six bytes for each of its UTF-16 units."""

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);"
    " from modeld_llama_cpp.rendering import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_KEPT_VARIABLES = ("LD_LIBRARY_PATH",)


class ChatTemplate:
    """Turns messages into a prompt.

    The process is started by the first chat (about 0.1 s) and kept. One that takes too long is
    killed, and the next chat starts another. :meth:`render` is called on one thread at a time;
    :meth:`close` may come from another and ends a running :meth:`render`.
    """

    def __init__(self, source: str | None, *, bos: str = "", eos: str = "") -> None:
        self._source = source
        self._values = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True}
        self._process: _Process | None = None
        self._in_use = threading.Lock()
        self._closed = False

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt for a chat.

        Raises:
            TemplateError: there is no template, it fails, or it runs over its limits.
        """
        source = self._usable_source()
        with self._in_use:
            try:
                process = self._running(source)
                reply = process.ask({"messages": msgspec.to_builtins(messages)}, TIME_LIMIT_S)
            except OSError as exc:
                self._end()
                raise TemplateError(f"the model's chat template failed: {exc}") from exc
        if "text" not in reply:
            raise TemplateError(f"the model's chat template failed: {reply.get('error')}")
        return str(reply["text"])

    def close(self) -> None:
        """End the process. May be called twice."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()
        with self._in_use:
            self._end()

    def _usable_source(self) -> str:
        if not self._source:
            raise TemplateError(
                "the model has no chat template; send `prompt` instead of `messages`"
            )
        size = len(self._source.encode())
        if size > MAX_TEMPLATE_BYTES:
            raise TemplateError(
                f"the model's chat template has {size} bytes; at most {MAX_TEMPLATE_BYTES}"
                " are allowed"
            )
        return self._source

    def _running(self, source: str) -> _Process:
        if self._closed:
            raise ConnectionAbortedError("the model is being unloaded")
        if self._process is None:
            self._process = _Process()
            if self._closed:  # by a close() that came while the process was being started
                raise ConnectionAbortedError("the model is being unloaded")
            self._process.ask({"template": source, "values": self._values}, START_LIMIT_S)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None


class _Process:
    """The process, and a socket to it that is its standard input."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [
                    sys.executable, "-I", "-S", "-c", _BOOT,
                    json.dumps(sys.path), str(os.getpid()), str(TIME_LIMIT_S),
                ],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env={key: os.environ[key] for key in _KEPT_VARIABLES if key in os.environ},
            )  # fmt: skip

    def ask(self, message: dict[str, object], limit_s: float) -> dict[str, Any]:
        """Send a message and wait for the reply.

        Raises:
            TimeoutError: the reply does not come within the limit.
            OSError: the process is gone, or what it says is no reply.
        """
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
        if size > _MAX_REPLY_BYTES:
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
