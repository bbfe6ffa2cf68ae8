# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from modeld.errors import WorkerCrashedError
from modeld.events import Event, HttpRequestFinished, HttpRequestStarted
from modeld.interfaces import PublicRoute
from modeld.responses import TextResponse, Token
from modeld.values import ModelSpec
from tests.support.http.fake_service import (
    FakePlugin,
    FakeService,
    app_of,
    ask,
    client_of,
    connect,
    make_app,
)

CANARY = "canary"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """Return what the access log says, at the level that a server has by default."""
    caplog.set_level(logging.INFO, "modeld.access")
    return lambda: [r for r in caplog.records if r.name == "modeld.access"]


def post(service: FakeService, path: str = "/infer", **request: Any) -> Any:
    body = {"prompt": CANARY} if path == "/infer" else {}
    return ask(make_app(service), "POST", path, json=body, **request)


@pytest.mark.parametrize("offered", ["a", "A-1_b.c", "x" * 64])
def test_a_sane_request_id_is_taken_over(offered: str) -> None:
    response = ask(make_app(FakeService()), "GET", "/healthz", headers={"x-request-id": offered})
    assert response.headers.get_list("x-request-id") == [offered]


@pytest.mark.parametrize(
    "offered",
    [
        b"",
        b"x" * 65,
        b"a b",
        b"a\r\nset-cookie: x",
        b"a%0d%0a",
        b"\xc3\xa9",
        b"a\n",
        b"a;b",
        b"a/b",
    ],
)
def test_any_other_request_id_is_replaced(offered: bytes) -> None:
    headers = [(b"x-request-id", offered)]
    response = ask(make_app(FakeService()), "GET", "/healthz", headers=headers)
    [request_id] = response.headers.get_list("x-request-id")
    assert request_id.encode() != offered
    assert len(request_id) == 32
    assert "set-cookie" not in response.headers


def test_one_line_tells_of_each_request(lines: Any) -> None:
    response = post(FakeService(), headers={"x-request-id": "id-1"})
    assert response.status_code == 200
    [record] = lines()
    message = record.getMessage()
    assert message.startswith("POST /infer 200 ")
    assert message.endswith(" ms id=id-1")
    assert record.levelno == logging.INFO
    assert record.request_id == "id-1"
    assert (record.route, record.method, record.status) == ("/infer", "POST", 200)
    assert record.duration_ms >= 0


def test_the_line_has_the_routes_template_and_the_model(lines: Any) -> None:
    service = FakeService(models=[ModelSpec(id="a.gguf", name="a", path="/a")])
    post(service, "/models/a.gguf/load")
    [record] = lines()
    assert "POST /models/{id}/load 200" in record.getMessage()
    assert "model=a.gguf" in record.getMessage()


def test_a_model_name_cannot_forge_a_line(lines: Any) -> None:
    ask(make_app(FakeService()), "POST", "/models/a%0aERROR%1b[2J%e2%80%ae%e2%80%a8/load")
    [record] = lines()
    assert record.getMessage().isprintable()
    assert r"model=a\nERROR\x1b[2J\u202e\u2028" in record.getMessage()


def test_an_endless_model_name_does_not_fill_the_log(lines: Any) -> None:
    ask(make_app(FakeService()), "POST", f"/models/{'x' * 5000}/load")
    [record] = lines()
    assert len(record.getMessage()) < 400


def test_a_failed_request_is_an_error_in_the_log(lines: Any) -> None:
    post(FakeService(WorkerCrashedError("gone")))
    [record] = lines()
    assert record.levelno == logging.ERROR
    assert "POST /infer 503" in record.getMessage()


def test_a_response_that_broke_half_way_says_so(lines: Any) -> None:
    post(FakeService(Token(text="a"), WorkerCrashedError("gone")))
    [record] = lines()
    assert " ms worker_crashed id=" in record.getMessage()
    assert record.status == 200


def test_a_probe_that_says_not_yet_is_no_error(lines: Any) -> None:
    service = FakeService()
    service.readiness = type(service.readiness)(ready=False, reason="loading")
    ask(make_app(service), "GET", "/readyz")
    [record] = lines()
    assert (record.levelno, record.status) == (logging.INFO, 503)


def test_a_public_page_that_breaks_is_an_error(lines: Any) -> None:
    async def broken(request: Request) -> Response:
        raise RuntimeError

    ask(make_app(FakeService(), routes=[PublicRoute(Route("/page", broken))]), "GET", "/page")
    [record] = lines()
    assert (record.levelno, record.status) == (logging.ERROR, 500)


@pytest.mark.parametrize(
    "ask_by", [{"params": {"log": "off"}}, {"headers": {"x-log-level": "off"}}]
)
def test_a_request_can_be_kept_out_of_the_log(lines: Any, ask_by: dict[str, Any]) -> None:
    post(FakeService(WorkerCrashedError("gone")), **ask_by)
    assert lines() == []


@pytest.mark.parametrize("level", ["off", "error"])
@pytest.mark.parametrize("by", ["query", "header"])
@pytest.mark.parametrize("verb", ["a/load", "a/unload", "a/pin", "a/unpin", "refresh"])
def test_what_changes_the_server_cannot_be_kept_out_of_the_log(
    lines: Any, verb: str, by: str, level: str
) -> None:
    service = FakeService(models=[ModelSpec(id="a", name="a", path="/a")])
    how = {"params": {"log": level}} if by == "query" else {"headers": {"x-log-level": level}}
    assert post(service, f"/models/{verb}", **how).status_code == 200
    [record] = lines()
    assert record.levelno == logging.INFO


def test_who_may_not_hide_writes_no_more_than_the_server_does(lines: Any) -> None:
    logging.getLogger("modeld.access").setLevel(logging.ERROR)
    post(FakeService(), "/models/refresh", params={"log": "off"})
    assert lines() == []
    post(FakeService(), "/models/refresh", params={"log": "info"})
    assert len(lines()) == 1


def test_a_plugins_route_can_be_kept_out_of_the_log_only_where_it_reads(lines: Any) -> None:
    async def page(request: Request) -> Response:
        return Response()

    route = Route("/page", page, methods=["GET", "POST"])
    for method in ("GET", "POST"):
        ask(make_app(FakeService(), routes=[route]), method, "/page", params={"log": "off"})
    assert [record.method for record in lines()] == ["POST"]


def test_a_request_can_ask_for_its_errors_only(lines: Any) -> None:
    post(FakeService(), params={"log": "error"})
    assert lines() == []
    post(FakeService(WorkerCrashedError("gone")), params={"log": "error"})
    assert len(lines()) == 1


@pytest.mark.parametrize(
    "ask_by",
    [{"params": {"log": "debug"}}, {"headers": {"x-log-infer": "1"}}],
)
def test_a_request_can_have_the_numbers_of_its_response_logged(
    lines: Any, ask_by: dict[str, Any]
) -> None:
    logging.getLogger("modeld.access").setLevel(logging.ERROR)
    post(FakeService(), **ask_by)
    details, access = lines()
    assert "chunks=3 finish_reason=stop prompt_tokens=3 completion_tokens=2" in (
        details.getMessage()
    )
    assert access.getMessage().startswith("POST /infer 200")


def test_the_query_wins_over_the_header(lines: Any) -> None:
    post(FakeService(), params={"log": "off"}, headers={"x-log-level": "debug"})
    assert lines() == []


@pytest.mark.parametrize(
    "ask_by",
    [
        {"params": {"log": ""}},
        {"headers": {"x-log-level": "loud"}},
        {"params": {"log": "off"}, "headers": {"x-log-level": "loud"}},
    ],
)
def test_each_level_that_is_given_has_to_exist(ask_by: dict[str, Any]) -> None:
    assert post(FakeService(), **ask_by).status_code == 400


def test_a_level_that_does_not_exist_is_refused(lines: Any) -> None:
    response = post(FakeService(), params={"log": "loud"})
    assert response.status_code == 400
    assert response.json()["field"] == "log"
    assert "off, error, info, debug" in response.json()["error"]
    assert len(lines()) == 1


@pytest.mark.parametrize("level", ["off", "error", "info", "debug"])
def test_nothing_of_what_is_asked_or_answered_is_ever_logged(
    caplog: pytest.LogCaptureFixture, level: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        post(
            FakeService(Token(text=CANARY), RuntimeError("fault")),
            params={"log": level},
            headers={"x-log-infer": "1"},
        )
        post(FakeService(Token(text=CANARY)), params={"log": level})
        for body in ({"grammar": CANARY}, {"cache_salt": CANARY}, {"json_schema": {CANARY: 1}}):
            ask(
                make_app(FakeService(RuntimeError("fault"))),
                "POST",
                "/infer",
                json={"prompt": "hi", **body},
                params={"log": level},
            )
        for path, body in (
            ("/embed", {"input": CANARY}),
            ("/rerank", {"query": CANARY, "documents": [CANARY]}),
            ("/tokenize", {"content": CANARY}),
        ):
            service = FakeService()
            service.unary_response = TextResponse(
                text=CANARY
            )  # which suits none of them, and so is a fault
            ask(make_app(service), "POST", path, json=body, params={"log": level})
    assert CANARY not in "\n".join(record.getMessage() for record in caplog.records)


def events_of(method: str, path: str) -> list[Event]:
    plugin = FakePlugin(FakeService())
    ask(app_of(plugin), method, path)
    return plugin.events


@pytest.mark.parametrize(
    ("method", "path", "route", "label", "status"),
    [
        ("GET", "/status", "/status", "GET", 200),
        ("POST", "/models/x/load", "/models/{id}/load", "POST", 404),
        ("DELETE", "/infer", "/infer", "DELETE", 405),
        ("GET", "/nope/at/all", "unmatched", "GET", 404),
        ("GET", "/swagger/init.js", "/swagger/{path}", "GET", 200),
        ("BREW", "/nope", "unmatched", "OTHER", 404),
    ],
)
def test_observers_are_told_of_each_request_by_its_route(
    method: str, path: str, route: str, label: str, status: int
) -> None:
    started, finished = events_of(method, path)
    assert started == HttpRequestStarted(route=route, method=label)
    assert isinstance(finished, HttpRequestFinished)
    assert (finished.route, finished.method, finished.status) == (route, label, status)
    assert finished.seconds > 0


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        ("/nope/at/all", "path=/nope/at/all"),
        ("/a%0Ab%1b%5B31m", r"path=/a\nb\x1b[31m"),
        ("/" + "x" * 5000, "path=/" + "x" * 199),
        ("/nope?key=secret", "path=/nope"),
    ],
)
def test_a_path_that_no_route_matches_is_in_the_log_and_cannot_forge_a_line(
    target: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="modeld.access")
    events_of("GET", target)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "modeld.access"]
    assert f" {shown} id=" in line
    assert line.startswith("GET unmatched 404 ")


def test_the_path_of_a_known_route_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="modeld.access")
    events_of("POST", "/models/x/load")
    (line,) = [r.getMessage() for r in caplog.records if r.name == "modeld.access"]
    assert "path=" not in line


def test_ten_thousand_names_make_no_new_route() -> None:
    plugin = FakePlugin(FakeService())
    app = app_of(plugin)

    async def go() -> None:
        async with client_of(app) as client:
            for i in range(50):
                await client.get(f"/junk/{i}")
                await client.post(f"/models/{i}/load")

    asyncio.run(go())
    routes = {e.route for e in plugin.events if isinstance(e, HttpRequestStarted)}
    assert routes == {"unmatched", "/models/{id}/load"}


def test_a_websocket_of_a_plugin_is_counted_too() -> None:
    async def talk(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    plugin = FakePlugin(FakeService(), routes=[WebSocketRoute("/talk", talk)])
    assert connect(app_of(plugin), "/talk") == ["websocket.accept", "websocket.close"]
    started, finished = plugin.events
    assert started == HttpRequestStarted(route="/talk", method="WEBSOCKET")
    assert isinstance(finished, HttpRequestFinished)
    assert finished.status == 101
