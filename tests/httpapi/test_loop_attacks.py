# SPDX-License-Identifier: GPL-3.0-only
"""Whatever is asked for at whatever route, the event loop goes on, and with it all streams.

Each route of the real application is attacked with the worst bodies of 1 MiB, while there are ten
thousand models and the disk with their files does not answer. What counts is the processor time of
each turn of the event loop, on its own thread: how busy the machine is does not matter. Waiting
takes no such time, so the disk's stand-in notes on which thread it was asked.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Set,
)
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.types import Message

from modeld import Backend, Chunk, GenerateRequest, ModelSpec, Token, hookimpl
from modeld.capabilities import Capability
from modeld.errors import NotSupportedError
from modeld.httpapi.access.gate import GatedRoute
from modeld.httpapi.app import ModeldApp, create_app
from modeld.interfaces import Engine, EngineHost, RegistrySource
from modeld.plugins.host import PluginHost
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
    Usage,
)
from modeld.serving.models import file_stamps
from modeld.settings import Settings
from modeld.values import FileStamp, Options

pytestmark = pytest.mark.usefixtures("unmeasured")  # it would count as time of the loop

LONGEST_TURN_S = 0.05
BODY_BYTES = 1 << 20
MODELS = 10_000
STAMP = FileStamp(device=-1, inode=1, size_bytes=1, mtime_ns=1)
LIKE_A_MODEL = "model-0471.gguf"
STREAMED = "streamed.gguf"


class Warehouse(RegistrySource):
    name = "warehouse"

    async def list_models(self) -> Sequence[ModelSpec]:
        models = [f"model-{number:05}.gguf" for number in range(MODELS)]
        specs = [
            ModelSpec(id=model, name=model, path=f"/w/{model}", stamp=STAMP) for model in models
        ]
        return [*specs, ModelSpec(id=STREAMED, name="s", path="/s")]


class EndlessEngine(Engine):
    slots = 64

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        if request.model != STREAMED:
            raise NotSupportedError("this is only asked for")
        while True:
            yield Token(text="x")
            await asyncio.sleep(0.001)

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        match request:
            case TokenizeRequest():
                return TokenizeResponse(ids=tuple(range(100_000)), pieces=(b"piece",) * 100_000)
            case EmbedRequest(inputs=inputs):
                return EmbedResponse(vectors=((0.5,) * 1024,) * len(inputs), usage=Usage())
            case RerankRequest(documents=documents):
                return RerankResponse(scores=(0.5,) * len(documents), usage=Usage())
            case DetokenizeRequest() | ApplyTemplateRequest():
                return TextResponse(text="\n" * 500_000)

    async def aclose(self) -> None:
        """Nothing is held."""


class Attacked(Backend):
    """A plugin with a source and a backend."""

    name = "attacked"

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:
        return frozenset(Capability)

    def can_load(self, spec: ModelSpec) -> bool:
        return spec.source != "gguf-folder"

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        return EndlessEngine()

    @hookimpl
    def modeld_register_backends(self) -> Iterable[Backend]:
        return [self]

    @hookimpl
    def modeld_register_sources(self) -> Iterable[RegistrySource]:
        return [Warehouse()]


def an_app(models_dir: Path) -> ModeldApp:
    settings = Settings(
        models_dir=str(models_dir),
        warm_workers=0,
        block_plugins=("llama-cpp", "openvino"),
        max_wait_s=1.0,
    )
    return create_app(settings, PluginHost.discover(settings, extra={"attacked": Attacked()}))


APP = an_app(Path("/nowhere"))
BODIES = {operation.path: operation.body for operation in APP._operations() if operation.body}


def methods(route: GatedRoute) -> Set[str]:
    # HEAD is served as GET is.
    return {*(getattr(route.route, "methods", None) or {"GET"})} - {"HEAD"}


TEMPLATES = {route.template for route in APP.routes}
ROUTES = sorted(
    (method, route.template)
    for route in APP.routes
    if f"/v1{route.template}" not in TEMPLATES  # the same route, under another address
    for method in methods(route)
)


def full(unit: bytes, head: bytes = b"[", tail: bytes = b"]") -> bytes:
    """As many ``unit`` between ``head`` and ``tail`` as a body has room for."""
    return head + b",".join([unit] * ((BODY_BYTES - len(head + tail)) // (len(unit) + 1))) + tail


def members(count: int) -> bytes:
    return b"{" + b",".join(b'"%x":0' % number for number in range(count)) + b"}"


WORST_VALUES = {
    "texts": b"[" + b",".join([b'""'] * 65_000) + b"]",
    "numbers": b"[" + b",".join([b"7"] * 159_000) + b"]",
    "objects": b"[" + b",".join([b"{}"] * 16_000) + b"]",
    "members": members(12_000),
    "text": b'"' + b"[,:\\n" * 200_000 + b'"',
    "pairs": b"[" + b",".join([b'{"role":"u","content":""}'] * 8_000) + b"]",
}
WORST_BODIES = {
    "members": members(90_000),
    "texts": full(b'""'),
    "numbers": full(b"7"),
    "objects": full(b"{}"),
    "long numbers": full(b"1" * 4000),
    "long fractions": full(b"0." + b"1" * 700),
    "one number": b"1" * BODY_BYTES,
    "nested": b"[" * BODY_BYTES,
    "nested in pairs": full(b"[[]]"),
    "quotes": b'"' * BODY_BYTES,
    "escapes": b'"' + b"\\" * (BODY_BYTES - 1),
    "escaped quotes": b'"' + b'\\"' * (BODY_BYTES // 2 - 1) + b'"',
    "surrogates": b'"' + b"\\ud83d\\ude00" * (BODY_BYTES // 12 - 1) + b'"',
    "spaces": b" " * BODY_BYTES,
    "repeated members": b'{"model":"m",' + b",".join([b'"a":[{}]'] * 8_000) + b"}",
    "a repeated member": members(12_000)[:-1] + b',"0":1}',
    "a repeated member and texts": b'{"a":[%s],"a":":"}' % b",".join([b'":{"'] * 12_000),
    "a repeated member and numbers": b'{"a":[%s],"a":"{"}' % b",".join([b"7"] * 150_000),
    "a repeated member in each": full(b'{"a":0,"a":[]}')[: 6_000 * 15] + b"0]",
    "colons": b'{"a":[{},%s]}' % b",".join([b'"%x:"' % number for number in range(12_000)]),
    "colons and numbers": b'{"a":["{:",%s]}' % b",".join([b"7"] * 150_000),
    "bytes": b"\xff" * BODY_BYTES,
}


def bodies(template: str) -> Iterator[tuple[str, bytes]]:
    """Yield the worst bodies for a route: those for any, and bad values in its own fields."""
    yield "no", b""
    yield from WORST_BODIES.items()
    model = BODIES.get(template)
    if model is None:
        return
    for field in model.model_fields:
        for kind, value in WORST_VALUES.items():
            yield f"{kind} as {field}", b'{"%s":%s}' % (field.encode(), value)
    for name in (LIKE_A_MODEL, "model-00001.gguf", "x" * 500):
        asked = {"model": name, "timeout_s": 0.5}
        for fields in ({"prompt": "a, [b] " * 100_000}, {"content": "x" * 900_000}):
            yield f"{[*fields]} of {name:.20}", msgspec.json.encode(asked | fields)
        yield f"tokens of {name:.20}", msgspec.json.encode(asked | {"tokens": [7] * 131_072})
        messages = [{"role": "user", "content": "x" * 900}] * 1024
        yield f"messages of {name:.20}", msgspec.json.encode(asked | {"messages": messages})
        for member in ("input", "documents"):
            texts = {member: ["x" * 400] * 1024, "query": "q"}
            yield f"{member} of {name:.20}", msgspec.json.encode(asked | texts)


def targets(template: str) -> Iterator[tuple[str, str]]:
    """Yield what stands for a route's parameters: nothing that is there, and something that is."""
    for name in (LIKE_A_MODEL, "model-00001.gguf", "x" * 4000, "model-" * 21):
        path = template.replace("{id}", name).replace("{path}", name).replace("{path:path}", name)
        yield f"{name:.20}", path
        if path == template:
            break


QUERIES = {
    "no": b"",
    "fields": b"log=info&" + b"a&" * 4000,
    "escapes": b"model=" + b"%41" * 2700,
    "model": b"model=" + LIKE_A_MODEL.encode(),
    "names": b"&".join(b"limi%x" % number for number in range(1000)),
    "a name": b"limit" * 1600,
}
HEADERS = {"few": b"*/*", "many": b"a/b;q=0.1," * 3000, "commas": b"," * 30_000}


class LoopTurns:
    """The longest turn of an event loop so far, in processor time, and what was asked for then."""

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.asked = ""
        self.longest: tuple[float, str] = (0.0, "")

    def note(self, seconds: float, what: str) -> None:
        self.longest = max(self.longest, (seconds, f"{self.asked}: {what}"))


@contextmanager
def timed_turns() -> Iterator[LoopTurns]:
    turns, run = LoopTurns(), asyncio.Handle._run

    def timed(handle: asyncio.Handle) -> None:
        if threading.get_ident() != turns.thread:
            run(handle)
            return
        begun_s = time.thread_time()
        run(handle)
        seconds = time.thread_time() - begun_s
        if seconds > turns.longest[0]:
            turns.note(seconds, repr(handle))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio.Handle, "_run", timed)
        yield turns


@contextmanager
def frozen_garbage() -> Iterator[None]:
    """As ``modeld serve`` has it; what other tests have left would take the collector longer."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


class SilentDisk:
    """A disk that answers nobody until the test is over, and whom it was asked by."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self.threads: set[int] = set()

    def stamp_of(self, _path: str) -> FileStamp | None:
        self.threads.add(threading.get_ident())
        self.over.wait()
        return STAMP


@dataclass
class Victim:
    """The application that all attacks are on, and the event loop that it belongs to."""

    app: ModeldApp
    disk: SilentDisk
    runner: asyncio.Runner


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    disk = SilentDisk()
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setattr(file_stamps, "stamp_of", disk.stamp_of)
        patch.setattr(file_stamps, "LOOK_LIMIT_S", 0.05)
        app = an_app(tmp_path_factory.mktemp("models"))
        runner.run(app.start())
        yield Victim(app, disk, runner)
        disk.over.set()
        runner.run(app.aclose())


async def ask(
    app: ModeldApp,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    query: bytes = b"",
    accept: bytes = b"*/*",
) -> int:
    """Send a request past the server; the status of its response, whose body nobody looks at."""
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
    status = 0

    async def receive() -> Message:
        if parts:
            return parts.pop()
        await answered
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = {b"host": b"localhost", b"accept": accept, b"content-type": b"application/json"}
    scope = scope_of(method, path, query, headers)
    async with asyncio.timeout(30):
        await app(scope, receive, send)
    answered.cancel()
    return status


def scope_of(method: str, path: str, query: bytes, headers: Mapping[bytes, bytes]) -> Any:
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": [*headers.items()],
        "extensions": {},
    }


@asynccontextmanager
async def streaming(app: ModeldApp) -> AsyncIterator[list[float]]:
    """Run a stream beside whatever the block does; yield when its tokens came."""
    request = GenerateRequest(model=STREAMED, prompt="x", request_id="stream")
    came: list[float] = []

    async def read() -> None:
        async for _ in app.service.generate(request):
            came.append(time.monotonic())  # noqa: PERF401  (each as it comes)

    reading = asyncio.create_task(read())
    try:
        yield came
        assert not reading.done()
    finally:
        reading.cancel()
        await asyncio.wait([reading])


async def attack(app: ModeldApp, method: str, template: str, turns: LoopTurns) -> None:
    for name, path in targets(template):
        for what, query in QUERIES.items():
            turns.asked = f"{method} {template} for {name} with {what} in the query"
            assert await ask(app, method, path, query=query) not in {0, 500}
        for what, accept in HEADERS.items():
            turns.asked = f"{method} {template} for {name} with {what} media types"
            assert await ask(app, method, path, accept=accept) not in {0, 500}
    if method == "POST":
        name, path = next(targets(template))
        for what, body in bodies(template):
            turns.asked = f"{method} {template} with {what}"
            assert await ask(app, method, path, body=body) not in {0, 500}


@pytest.mark.parametrize(("method", "template"), ROUTES)
def test_no_request_holds_up_a_stream(method: str, template: str, victim: Victim) -> None:
    async def main() -> None:
        async with streaming(victim.app) as came:
            await ask(victim.app, "GET", "/models")
            with frozen_garbage(), timed_turns() as turns:
                await attack(victim.app, method, template, turns)
            assert came
        assert turns.longest[0] < LONGEST_TURN_S, turns.longest
        assert threading.get_ident() not in victim.disk.threads

    victim.runner.run(main())
