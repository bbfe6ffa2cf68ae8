# SPDX-License-Identifier: GPL-3.0-only
"""What modeld uses of uvicorn that uvicorn does not document, name by name.

A release of uvicorn may rename any of it without a word. So its version has a ceiling, and whoever
raises that finds here what is missing, in place of a server that fails at its first connection.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn
from packaging.requirements import Requirement
from packaging.version import Version
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from modeld.httpapi.server import connection, protocol, run, server
from tests.support.docs.pages import rows, section
from tests.support.locks import for_this_python, pins

ROOT = Path(__file__).parents[3]

USED = {
    HttpToolsProtocol: {
        "_start_asgi_task",
        "_unset_keepalive_if_required",
        "client",
        "connection_lost",
        "connection_made",
        "connections",
        "cycle",
        "data_received",
        "flow",
        "headers",
        "loop",
        "on_body",
        "on_headers_complete",
        "on_message_complete",
        "on_response_complete",
        "parser",
        "pause_writing",
        "pipeline",
        "resume_writing",
        "server_state",
        "transport",
        "url",
    },
    RequestResponseCycle: {
        "chunked_encoding",
        "disconnected",
        "flow",
        "keep_alive",
        "message_event",
        "response_complete",
        "response_started",
        "scope",
        "send",
        "transport",
    },
    FlowControl: {"read_paused", "resume_reading", "write_paused"},
    ServerState: {"connections", "default_headers"},
    uvicorn.Server: {
        "config",
        "lifespan",
        "main_loop",
        "server_state",
        "should_exit",
        "shutdown",
        "startup",
    },
    uvicorn.Config: {"get_loop_factory", "lifespan_class", "load"},
}
"""Each class, and what of it modeld calls, reads, sets or overrides."""

OWNERS = {
    r"self|super\(\)": HttpToolsProtocol,
    r"self\.cycle|self\.running|cycle": RequestResponseCycle,
    r"self\.flow|self\._flow": FlowControl,
    r"(self\._server|self)\.server_state": ServerState,
    r"self\._server|server": uvicorn.Server,
    r"(self\._server|server)\.config|config": uvicorn.Config,
}
"""How modeld's code calls an object of each class."""

SIGNATURES: dict[Callable[..., Any], str] = {
    HttpToolsProtocol.__init__: "(self, config, server_state, app_state, _loop)",
    HttpToolsProtocol._start_asgi_task: "(self, cycle, app)",
    HttpToolsProtocol.connection_made: "(self, transport)",
    HttpToolsProtocol.connection_lost: "(self, exc)",
    uvicorn.Server.startup: "(self, sockets)",
    uvicorn.Server.main_loop: "(self)",
    uvicorn.Server.shutdown: "(self, sockets)",
}
"""What is overridden, or called as uvicorn's own main loop calls it."""


class Kept(HttpToolsProtocol):
    """Keeps the first request of a connection, to look at it."""

    asked: asyncio.Future[RequestResponseCycle]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.asked.set_result(cycle)
        super()._start_asgi_task(cycle, app)


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


async def one_request() -> tuple[Kept, RequestResponseCycle]:
    """Return the protocol and the request of a connection that uvicorn has really served."""
    loop = asyncio.get_running_loop()
    config = uvicorn.Config(app, log_config=None, lifespan="off")
    kept = Kept(config, ServerState(), {}, loop)
    kept.asked = loop.create_future()
    listener = await loop.create_server(lambda: kept, "127.0.0.1", 0)
    async with listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        writer.write(b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
    return kept, await kept.asked


@pytest.fixture(scope="module")
def objects() -> dict[type, object]:
    """An object of each class, as it is at work."""
    kept, cycle = asyncio.run(one_request())
    running = uvicorn.Server(kept.config)
    running.lifespan = kept.config.lifespan_class(kept.config)
    found = (kept, cycle, kept.flow, kept.server_state, running, running.config)
    return dict(zip(USED, found, strict=True))


@pytest.mark.parametrize("owner", USED, ids=lambda owner: owner.__name__)
def test_uvicorn_has_every_member_that_is_used(owner: type, objects: dict[type, object]) -> None:
    missing = [name for name in sorted(USED[owner]) if not hasattr(objects[owner], name)]
    assert not missing, (
        f"uvicorn {uvicorn.__version__} has no {', '.join(missing)} on {owner.__name__} any more;"
        " see modeld/httpapi/server for what it was used for, and keep the ceiling until that works"
    )


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_what_is_overridden_takes_what_it_took(function: Callable[..., Any]) -> None:
    taken = f"({', '.join(inspect.signature(function).parameters)})"
    assert taken == SIGNATURES[function]


def members(module: ModuleType, expression: str) -> Iterator[str]:
    """Yield what a module uses of the objects that its code calls so."""
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Attribute) and re.fullmatch(expression, ast.unparse(node.value)):
            yield node.attr


def overridden() -> set[str]:
    return {*vars(connection.Connection), *vars(protocol.LimitedProtocol)}


@pytest.mark.parametrize("owner", USED, ids=lambda owner: owner.__name__)
def test_what_is_used_is_listed_here(owner: type, objects: dict[type, object]) -> None:
    """So that nobody comes to lean on something more without the test that says so."""
    modules = [connection, protocol, *([] if owner is HttpToolsProtocol else [run, server])]
    (expression,) = [each for each, of in OWNERS.items() if of is owner]
    used = {name for module in modules for name in members(module, expression)}
    if owner is HttpToolsProtocol:
        used |= overridden()
    theirs = {name for name in dir(objects[owner]) if not name.startswith("__")}
    assert used & theirs == USED[owner]


def test_the_ceiling_is_the_first_release_that_was_not_tried() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (allowed,) = [each.specifier for each in map(Requirement, declared) if each.name == "uvicorn"]
    tried = Version(for_this_python(pins(ROOT / "requirements" / "runtime.txt"))["uvicorn"])
    assert allowed.contains(tried)
    assert not allowed.contains(f"{tried.major}.{tried.minor + 1}.0")
    said = {row[0]: row[1:] for row in rows(section("explanation/security.md", "Floors"))}
    assert f"below {tried.major}.{tried.minor + 1}" in said["`uvicorn`"][1]
