# SPDX-License-Identifier: GPL-3.0-only
"""What an address takes: the methods of all its routes, and the document says the same."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, client_of, make_app

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def taken(paths: dict[str, Any], address: str) -> set[str]:
    """Return the methods that the document has for an address, which several paths may mean."""
    found: set[str] = set()
    for path, item in paths.items():
        pattern = re.sub(r"\\{id\\}", ".+", re.escape(path))
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", pattern), address):
            found |= {name.upper() for name in item} & set(METHODS)
    return found


def test_every_address_of_the_document_names_all_its_methods_and_takes_them() -> None:
    async def go() -> None:
        async with client_of(make_app(FakeService())) as client:
            paths = (await client.get("/openapi.json")).json()["paths"]
            for path in paths:
                address = re.sub(r"\{\w+\}", "x", path)
                allowed = taken(paths, address)
                for method in METHODS:
                    response = await client.request(method, address)
                    if method in allowed:
                        assert response.status_code != 405, (method, path)
                    else:
                        assert response.status_code == 405, (method, path)
                        named = response.headers["allow"].split(", ")
                        assert named == sorted(allowed), (method, path)

    asyncio.run(go())


async def said(request: Request) -> Response:
    return PlainTextResponse(request.method)


@pytest.mark.parametrize("first", [("GET",), ("POST",), ("DELETE", "PUT")])
def test_the_methods_of_several_routes_of_plugins_are_put_together(first: tuple[str, ...]) -> None:
    others = sorted({"GET", "POST", "PUT", "DELETE"} - set(first))
    routes = [Route("/a", said, methods=[*first]), Route("/{name}", said, methods=others)]
    app = make_app(FakeService(), routes=routes)
    response = ask(app, "PATCH", "/a")
    assert response.status_code == 405
    assert response.headers["allow"] == "DELETE, GET, HEAD, POST, PUT"
    assert ask(make_app(FakeService(), routes=routes), others[0], "/a").text == others[0]


def test_what_is_inside_a_mounted_application_says_so_itself() -> None:
    mounted = Mount("/box", routes=[Route("/a", said, methods=["POST"])])
    response = ask(make_app(FakeService(), routes=[mounted]), "DELETE", "/box/a")
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


def test_a_wrong_method_passes_the_gate_first(tmp_path: Any) -> None:
    (tmp_path / "keys").write_text("a-key-of-some-length\n")
    settings = Settings(api_key_file=str(tmp_path / "keys"))
    assert ask(make_app(FakeService(), settings), "PUT", "/models").status_code == 401
