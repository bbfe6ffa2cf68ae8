# SPDX-License-Identifier: GPL-3.0-only
"""What the template process runs: chat templates in a sandbox, under limits of the system.

Templates come with model files, so they are foreign code. Jinja's sandbox keeps them from reaching
anything; it does not keep them from using up time and memory, and no list of forbidden filters
can be complete. So they run in a process of their own, which the kernel limits and the engine
kills when its time is up. This module imports nothing that a template does not need.
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
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

CHANNEL_FD = 0
LENGTH = struct.Struct("!I")
MEMORY_BYTES = 512 << 20
MAX_TEXT_CHARS = 4 << 20
MAX_REASON = 300

_PR_SET_PDEATHSIG = 1


class Generation(Extension):
    """``{% generation %}`` … ``{% endgeneration %}``, which only training looks at."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        """Pass the body on."""
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def environment() -> ImmutableSandboxedEnvironment:
    """The environment that model authors write their templates for."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _raise
    made.globals["strftime_now"] = _strftime_now
    return made


def render(template: Template, values: dict[str, object]) -> str:
    """The prompt for a chat, up to :data:`MAX_TEXT_CHARS`.

    Raises:
        TemplateError: the template fails, or its text grows over the limit.
    """
    parts, size = [], 0
    for part in template.generate(values):
        size += len(part)
        if size > MAX_TEXT_CHARS:
            raise TemplateError(f"it wrote more than {MAX_TEXT_CHARS} characters")
        parts.append(part)
    return "".join(parts)


def main(parent_pid: int, limit_s: int) -> None:
    """Take a template, then chats for it, until the other end is closed."""
    _limit(parent_pid)
    setup = _receive()
    template: Template | None = None
    _send({"ready": True})
    while True:
        chat = _receive()
        _limit_cpu(limit_s)
        try:
            template = template or environment().from_string(setup["template"])
            _send({"text": render(template, setup["values"] | chat)})
        except MemoryError:
            _send({"error": f"it needs more than {MEMORY_BYTES >> 20} MiB"})
        except Exception as exc:  # noqa: BLE001  (whatever a template raises is the template's)
            _send({"error": f"{type(exc).__name__}: {exc}"[:MAX_REASON]})


def _limit(parent_pid: int) -> None:
    """Die with the parent, write no file and no core, and stay small."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:
            sys.exit()
    for limit, value in (
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower limit is in force already
            resource.setrlimit(limit, (value, value))


def _limit_cpu(limit_s: int) -> None:
    """Let the kernel end the process, should the engine not live to do it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used = int(usage.ru_utime + usage.ru_stime)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (used + limit_s + 1, hard))


def _raise(message: object) -> NoReturn:
    raise TemplateError(str(message))


def _strftime_now(layout: str) -> str:
    return datetime.now().astimezone().strftime(layout)


def _to_json(value: object, **options: Any) -> str:
    """JSON as it is, where Jinja's own filter would escape it for HTML."""
    return json.dumps(value, ensure_ascii=options.pop("ensure_ascii", False), **options)


def _receive() -> dict[str, Any]:
    (size,) = LENGTH.unpack(_read(LENGTH.size))
    received: dict[str, Any] = json.loads(_read(size))
    return received


def _read(size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = os.read(CHANNEL_FD, min(size - len(data), 1 << 20))
        if not piece:
            sys.exit()
        data += piece
    return bytes(data)


def _send(message: dict[str, object]) -> None:
    data = json.dumps(message).encode()
    data = LENGTH.pack(len(data)) + data
    while data:
        data = data[os.write(CHANNEL_FD, data) :]
