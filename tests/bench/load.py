# SPDX-License-Identifier: GPL-3.0-only
"""The clients of the servers that are compared, all of them in one process of their own.

    python -m tests.bench.load

It reads one JSON object a line from its standard input, sends the requests that this says, and
writes one line with what came back. The same code reads modeld's lines and llama-server's events.
While they come it does no more than count them and look at the clock, because it shares the
processors with the servers.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.bench.servers import Server

END = b"}\n"
"""Ends each of modeld's lines and each of llama-server's events, and is nowhere inside of one."""

DEADLINE_S = 600.0
SETTLED_S = 0.3


class Client(asyncio.Protocol):
    """One request on a connection of its own."""

    def __init__(self, path: str, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Connection: close\r\nContent-Length: {len(payload)}\r\n\r\n"
        )
        self._request = head.encode() + payload
        self._received: list[bytes] = []
        self._arrivals_s: list[float] = []
        self._sent_s = 0.0
        self._half = False
        self.began = asyncio.Event()
        self.ended = asyncio.Event()

    async def send(self, port: int) -> None:
        """Connect and send the request."""
        self._sent_s = time.perf_counter()
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_connection(lambda: self, "127.0.0.1", port)
        self._transport.write(self._request)

    def leave(self) -> None:
        """Close the connection without a word."""
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Note when the events in ``data`` came."""
        now_s = time.perf_counter()
        events = data.count(END) + (self._half and data[:1] == b"\n")
        self._half = data[-1:] == b"}"
        self._received.append(data)
        if events:
            self._arrivals_s += [now_s] * events
            self.began.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The response is complete, or never will be."""
        self.began.set()
        self.ended.set()

    def outcome(self) -> dict[str, Any]:
        """Return what an :class:`Outcome` holds."""
        head, _, rest = b"".join(self._received).partition(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise RuntimeError(f"{head.decode()}\n{rest.decode()}")
        body = _unchunked(rest) if b"chunked" in head.lower() else rest
        lines = [line for line in body.split(b"\n") if b"{" in line]
        *events, last = [json.loads(line.removeprefix(b"data: ")) for line in lines]
        if "error" in last:
            raise RuntimeError(str(last))
        text = "".join(event.get("token", event.get("content", "")) for event in events)
        return {
            "sent_s": self._sent_s,
            "arrivals_s": self._arrivals_s,
            "last": last,
            "text": text,
        }


def _unchunked(rest: bytes) -> bytes:
    chunks = []
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length, 16)
        chunks.append(rest[:size])
        rest = rest[size + 2 :]
    return b"".join(chunks)


async def together(port: int, clients: list[Client]) -> list[dict[str, Any]]:
    """Send all at once, and wait until all have their responses."""
    await asyncio.gather(*(client.send(port) for client in clients))
    await asyncio.gather(*(client.ended.wait() for client in clients))
    return [client.outcome() for client in clients]


async def beside(port: int, clients: list[Client]) -> list[dict[str, Any]]:
    """Send all but the last at once, and the last as soon as these are well under way."""
    *streams, late = clients
    await asyncio.gather(*(client.send(port) for client in streams))
    await asyncio.gather(*(client.began.wait() for client in streams))
    await asyncio.sleep(SETTLED_S)
    await late.send(port)
    await asyncio.gather(*(client.ended.wait() for client in clients))
    return [client.outcome() for client in clients]


async def instead(port: int, clients: list[Client]) -> list[dict[str, Any]]:
    """Send the first, which leaves while its prompt is read, and at that moment the second."""
    first, second = clients
    await first.send(port)
    await asyncio.sleep(SETTLED_S)
    first.leave()
    await second.send(port)
    await second.ended.wait()
    return [second.outcome()]


SCENES = {scene.__name__: scene for scene in (together, beside, instead)}


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """When a request was sent and when its events came, by one clock; the last event; the text."""

    sent_s: float
    arrivals_s: list[float]
    last: dict[str, Any]
    text: str

    @property
    def first_s(self) -> float:
        """Seconds to the first token."""
        return self.arrivals_s[0] - self.sent_s


def whole_s(outcomes: Sequence[Outcome]) -> float:
    """Return the seconds from the first request to the last token of all."""
    began_s = min(outcome.sent_s for outcome in outcomes)
    return max(outcome.arrivals_s[-1] for outcome in outcomes) - began_s


class Load:
    """The process with the clients, from the outside."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def play(
        self, scene: str, server: Server, bodies: Sequence[dict[str, object]]
    ) -> list[Outcome]:
        """Send the requests in the order that the scene says, and wait for all responses."""
        order = {"scene": scene, "port": server.port, "path": server.path, "bodies": bodies}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the clients of {server.name} failed; see above")
        return [Outcome(**outcome) for outcome in json.loads(line)]


@contextmanager
def clients() -> Iterator[Load]:
    """Start the process with the clients."""
    command = [sys.executable, "-m", "tests.bench.load"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Load(process)
        finally:
            process.terminate()


async def _play(scene: str, port: int, path: str, bodies: list[dict[str, Any]]) -> Any:
    asked = [Client(path, body) for body in bodies]
    return await asyncio.wait_for(SCENES[scene](port, asked), DEADLINE_S)


def main() -> None:
    gc.disable()
    for line in sys.stdin:
        print(json.dumps(asyncio.run(_play(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
