# SPDX-License-Identifier: GPL-3.0-only
"""Engines that are faster than their clients: nothing is lost, and nobody pays for another."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.test_clients import fleeing
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served, script, serving, until

README = (Path(__file__).parents[2] / "README.md").read_text()
MIB = 1 << 20


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Yield a server with the backend that README.md shows."""
    folder = tmp_path_factory.mktemp("echo")
    found = re.search(r"^```python\n(from modeld import Backend.*?)^```$", README, re.M | re.S)
    assert found is not None
    (folder / "echo_backend.py").write_text(found.group(1))
    about = folder / "modeld_echo-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: modeld-echo\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[modeld]\necho = echo_backend\n")
    (folder / "models").mkdir()
    write_gguf(folder / "models" / "e.gguf", "llama")
    arguments = ("--default-model", "e.gguf", "--block-plugins", "llama_cpp")
    with serving(folder / "models", *arguments, env={"PYTHONPATH": str(folder)}) as served:
        yield served


def instant(folder: Path, *arguments: str, **options: object) -> Any:
    """Return a server whose engine costs nothing."""
    write_gguf(folder / "a.gguf", "rig")
    chosen = json.dumps({"*": {"instant": True, **options}})
    return serving(folder, "--default-model", "a.gguf", "--models", chosen, *arguments)


def rest(sock: socket.socket) -> bytes:
    """Return all that still comes."""
    body = bytearray()
    while data := sock.recv(1 << 16):
        body += data
        if body.endswith(b"\r\n0\r\n\r\n"):
            break
    return bytes(body)


def lines_of(body: bytes) -> list[dict[str, Any]]:
    """Return the objects of a chunked response, whose head and whose last chunk are there."""
    assert body.endswith(b"\r\n0\r\n\r\n"), body[-200:]
    chunks, text = body.partition(b"\r\n\r\n")[2], bytearray()
    while size := int(chunks[: chunks.index(b"\r\n")], 16):
        start = chunks.index(b"\r\n") + 2
        text += chunks[start : start + size]
        chunks = chunks[start + size + 2 :]
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("words", [5_000, 60_000])
def test_the_backend_of_the_readme_loses_nothing(echo: Served, words: int, streams: bool) -> None:
    prompt = " ".join(f"w{number}" for number in range(words))

    response = echo.post("/infer", {"prompt": prompt, "stream": streams})

    assert response.status_code == 200
    *tokens, last = (json.loads(line) for line in response.text.splitlines())
    assert last["content"] == prompt + " "
    assert last["usage"]["completion_tokens"] == words
    assert not streams or "".join(token["token"] for token in tokens) == prompt + " "


def test_a_client_that_stops_reading_holds_up_nobody_and_gets_its_whole_response(
    tmp_path: Path,
) -> None:
    long = {"prompt": "x", "max_tokens": 3000}
    with (
        instant(tmp_path, slots=9, piece=1000) as served,
        closing(fleeing(served, long)) as slow,
    ):
        head = slow.recv(1)
        with ThreadPoolExecutor(8) as pool:
            responses = list(pool.map(lambda _: served.post("/infer", long), range(8)))
        assert all(response.text.endswith('"total_tokens":0}}\n') for response in responses)
        assert served.instance("a.gguf")["inflight"] == 1, "3 MB are more than may be under way"

        *tokens, last = lines_of(head + rest(slow))
        assert [len(token["token"]) for token in tokens] == [1000] * 3000
        assert last["finish_reason"] == "length"


def test_a_client_that_is_slow_to_take_what_is_done_keeps_neither_slot_nor_model(
    tmp_path: Path,
) -> None:
    with (
        instant(tmp_path, slots=1, piece=1000) as served,
        closing(
            fleeing(served, {"prompt": "x", "max_tokens": 400})
        ) as slow,  # its sockets hold less
    ):
        head = slow.recv(1)
        assert served.post("/infer", {"prompt": "x", "max_tokens": 1}).status_code == 200
        served.post("/models/a.gguf/unload")
        assert served.state("a.gguf") == "absent"

        *tokens, last = lines_of(head + rest(slow))
        assert len(tokens) == 400
        assert last["done"]


def test_a_client_that_reads_slowly_is_not_cut_off(tmp_path: Path) -> None:
    """A third of what the kernel would hold takes longer than the limit at this pace."""
    long = {"prompt": "x", "max_tokens": 6000}
    with instant(tmp_path, "--write-timeout-s", "0.5", piece=1000) as served:
        host, port = served.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as slow:
            body = json.dumps(long).encode()
            slow.sendall(
                b"POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
            )
            response = bytearray()
            while not response.endswith(b"\r\n0\r\n\r\n"):
                time.sleep(0.004)  # the pace of the client
                data = slow.recv(4096)
                assert data, served.log()
                response += data
        *tokens, last = lines_of(bytes(response))
        assert len(tokens) == 6000
        assert last["done"]


def test_what_is_computed_for_a_client_that_is_cut_off_is_cancelled(
    rig_models: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    options = json.dumps({"*": {"journal": str(journal)}})
    arguments = ("--default-model", "a.gguf", "--models", options, "--write-timeout-s", "0.5")
    endless = script(tokens=500_000, nonce="stuck")

    with (
        serving(rig_models, *arguments) as served,
        closing(fleeing(served, endless)) as stuck,
    ):
        stuck.recv(1)
        asyncio.run(until(lambda: "cancel stuck" in journal.read_text()))
        asyncio.run(until(lambda: "client_too_slow" in served.log()))
        assert served.instance("a.gguf")["inflight"] == 0


def test_an_engine_that_cannot_hold_a_request_back_loses_nothing_either(tmp_path: Path) -> None:
    with instant(tmp_path, slots=4, piece=1000, stubborn=True) as served:

        def ask(_number: int) -> str:
            return served.post("/infer", {"prompt": "x", "max_tokens": 8000}).text

        with ThreadPoolExecutor(4) as pool:
            for text in pool.map(ask, range(4)):
                assert text.count("\n") == 8001
                assert '"done":true' in text.splitlines()[-1][:20]


@pytest.mark.slow
def test_a_free_engine_fills_no_memory_through_32_streams(tmp_path: Path) -> None:
    """128 MiB, of which the server and the worker would hold most if they did not wait."""

    async def read(served: Served) -> int:
        host, port = served.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = json.dumps({"prompt": "x", "max_tokens": 256}).encode()
        writer.write(
            b"POST /infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        count = 0
        while data := await reader.read(1 << 16):
            count += data.count(b"z")
        writer.close()
        return count

    async def all_streams(served: Served) -> None:
        processes = [psutil.Process(served.process.pid)]
        processes.append(psutil.Process(served.instance("a.gguf")["pid"]))
        before = [process.memory_info().rss for process in processes]
        most = before
        streams = [asyncio.create_task(read(served)) for _ in range(32)]
        while not all(stream.done() for stream in streams):
            await asyncio.wait(streams, timeout=0.1)
            now = [process.memory_info().rss for process in processes]
            most = [max(pair) for pair in zip(most, now, strict=True)]
        assert [stream.result() for stream in streams] == [256 * 16384] * 32
        grown = [peak - start for peak, start in zip(most, before, strict=True)]
        assert grown[0] < 64 * MIB, "2 MiB for each stream of 4"
        assert grown[1] < 32 * MIB

    with instant(tmp_path, slots=32, piece=16384) as served:
        served.post("/infer", {"prompt": "x", "max_tokens": 1})
        asyncio.run(all_streams(served))
