# SPDX-License-Identifier: GPL-3.0-only
"""What the plain routes of plugins learn of a request: its id, its caller, its salt."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from modeld import PublicRoute, Settings, create_app, hookimpl, route_context_of
from modeld.plugins.host import PluginHost


async def tell(request: Request) -> JSONResponse:
    context = route_context_of(request)
    return JSONResponse([context.request_id, context.caller, context.salt("own")])


class Routes:
    @hookimpl
    def modeld_register_routes(self) -> list[Any]:
        return [
            Route("/told", tell),
            PublicRoute(Route("/public", tell)),
            Mount("/below", routes=[Route("/told", tell)]),
        ]


def ask(path: str, headers: dict[str, str] | None = None, **settings: Any) -> Any:
    given = Settings(warm_workers=0, **settings)
    app = create_app(given, PluginHost.discover(given, {"routes": Routes}))

    async def main() -> Any:
        transport = httpx.ASGITransport(app)
        client = httpx.AsyncClient(transport=transport, base_url="http://localhost")
        async with app.lifespan(), client:
            response = await client.get(path, headers=headers)
        assert response.status_code == 200
        request_id, caller, salt = response.json()
        assert response.headers["x-request-id"] == request_id
        return request_id, caller, salt

    return asyncio.run(main())


@pytest.fixture
def keys(tmp_path: Path) -> str:
    path = tmp_path / "keys"
    path.write_text("one\ntwo\n")
    return str(path)


@pytest.mark.parametrize("path", ["/told", "/public", "/below/told"])
def test_a_route_knows_the_id_and_the_salt_that_the_client_has_sent(path: str) -> None:
    assert ask(path, {"X-Request-ID": "mine"}) == ("mine", "", "own")


def test_callers_are_told_apart_by_their_keys(keys: str) -> None:
    callers = [
        ask("/told", {"Authorization": f"Bearer {key}"}, api_key_file=keys)[1]
        for key in ("one", "two", "one")
    ]
    assert callers[0] == callers[2] != callers[1]
    assert "one" not in callers[0]
    assert ask("/public", api_key_file=keys)[1] == ""


def test_salts_are_told_apart_by_keys_where_the_settings_say_so(keys: str) -> None:
    header = {"Authorization": "Bearer one"}
    given = {"api_key_file": keys, "cache_per_key": True}
    one = ask("/told", header, **given)[2]
    two = ask("/told", {"Authorization": "Bearer two"}, **given)[2]
    assert len({"own", one, two}) == 3
    assert ask("/told", header, api_key_file=keys)[2] == "own"


def test_a_request_from_elsewhere_has_no_context() -> None:
    with pytest.raises(LookupError, match="not come through a route of modeld"):
        route_context_of(Request({"type": "http"}))
