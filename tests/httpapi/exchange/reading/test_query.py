# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from modeld.errors import InvalidRequestError
from modeld.httpapi.exchange.reading.query import check_query
from tests.support.http.fake_service import FakeService, ask, make_app

KNOWN = ("limit", "after", "log")


def check(query: bytes) -> None:
    check_query({"type": "http", "query_string": query}, KNOWN)


@pytest.mark.parametrize("query", [b"", b"limit=1", b"after=&log=off", b"%6cimit=1&after=a%26b"])
def test_what_a_route_takes_passes(query: bytes) -> None:
    check(query)


@pytest.mark.parametrize(
    ("query", "field", "message"),
    [
        (b"limt=1", "limt", "limt: unknown query parameter; did you mean 'limit'?"),
        (b"limit=1&Log=off", "Log", "Log: unknown query parameter; did you mean 'log'?"),
        (b"zzz", "zzz", "zzz: unknown query parameter; there is after, limit, log"),
        (b"=1", "", ": unknown query parameter; there is after, limit, log"),
        (b"limit=1&after=a&limit=2", "limit", "limit: is in the query twice; send it once"),
        (b"limit=1&lim%69t=1", "limit", "limit: is in the query twice; send it once"),
    ],
)
def test_what_would_be_ignored_is_refused_and_named(query: bytes, field: str, message: str) -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        check(query)
    assert (refusal.value.field, refusal.value.message) == (field, message)


def test_the_refusal_of_an_endless_name_is_short_and_repeats_no_value() -> None:
    with pytest.raises(InvalidRequestError) as refusal:
        check(b"p" * 8000 + b"=canary")
    assert len(refusal.value.message) < 200
    assert "canary" not in refusal.value.message


def test_each_route_of_ours_takes_its_own_parameters_and_no_others() -> None:
    app = make_app(FakeService())
    operations = (*app._operations_of_dialects(), *app._operations())
    paths = {
        operation.path.replace("{id}", "a.gguf")
        for operation in operations
        if operation.dialect is None or operation.dialect.name == "native"
    }
    assert {"/infer", "/status", "/healthz", "/models/a.gguf/load"} <= paths
    paths |= {"/openapi.json", "/swagger/doc.json", "/swagger/index.html"}
    for path in paths:
        method = "POST" if path in {"/infer", "/embed"} else "GET"
        response = ask(app, method, f"{path}?log=off&lgo=off")
        assert response.status_code == 400, path
        assert response.json()["field"] == "lgo"
        assert "did you mean 'log'?" in response.json()["error"]


@pytest.mark.parametrize(
    ("target", "statuses"),
    [
        ("/status?limit=1&after=a&log=off", {200}),
        ("/readyz?model=a.gguf&log=off", {200, 404, 503}),
        ("/swagger/index.html?log=off", {200}),
        ("/healthz?limit=1", {400}),
        ("/status?model=a", {400}),
    ],
)
def test_each_route_takes_what_its_page_says(target: str, statuses: set[int]) -> None:
    assert ask(make_app(FakeService()), "GET", target).status_code in statuses


def test_what_a_plugins_route_takes_is_its_own_business() -> None:
    async def echo(request: Request) -> Response:
        return PlainTextResponse(str(request.query_params))

    app = make_app(FakeService(), routes=[Route("/echo", echo)])
    assert ask(app, "GET", "/echo?about=rain&about=sun").text == "about=rain&about=sun"


def test_an_address_that_leads_nowhere_leads_nowhere_whatever_its_query() -> None:
    assert ask(make_app(FakeService()), "GET", "/nope?x=1").status_code == 404
