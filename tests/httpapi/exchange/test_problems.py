# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import gc
import logging

import httpx
import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from modeld.builtin.gguf.folder import ModelsFolderError
from modeld.errors import ForbiddenError, ModeldError, error_codes, error_from_code
from modeld.httpapi.exchange.problems import STATUS, status_of
from tests.support.http.fake_service import FakeService, ask, infer, make_app, problem

# What the interpreter could not finish before a status line is not for a client's eyes.
SECRET = "/home/somebody/secret.py"


def raising(exc: Exception) -> Route:
    async def fail(request: Request) -> Response:
        raise exc

    return Route("/fail", fail)


def response_to(exc: Exception) -> httpx.Response:
    return ask(make_app(FakeService(), routes=[raising(exc)]), "GET", "/fail")


def test_every_error_code_has_a_status() -> None:
    own = {code for code, cls in error_codes().items() if cls.__module__ == "modeld.errors"}
    assert set(STATUS) == own


def test_an_error_of_a_plugins_own_kind_has_the_status_of_the_kind_below() -> None:
    class LicenceError(ForbiddenError):
        code = "licence_needed"

    assert status_of(LicenceError("x")) == 403
    del LicenceError
    gc.collect()  # the tree of errors is taken from the classes that exist


def test_an_error_of_a_plugins_own_kind_right_below_the_root_is_500() -> None:
    assert status_of(ModelsFolderError("gone")) == 500


@pytest.mark.parametrize("code", sorted(set(STATUS) - {"internal_error"}))
def test_an_error_is_answered_with_its_status_and_its_words(code: str) -> None:
    error = error_from_code(code, "what happened", None, "model")
    response = infer(FakeService(error))
    assert response.status_code == STATUS[code]
    assert response.json() == problem(error, STATUS[code])
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-modeld-reason"] == code


@pytest.mark.parametrize(
    ("wait_s", "header"),
    [
        (None, None),
        (0.0, "1"),
        (0.2, "1"),
        (1.0, "1"),
        (1.1, "2"),
        (90.5, "91"),
        (float("inf"), None),
        (float("nan"), None),
    ],
)
def test_retry_after_is_in_whole_seconds_rounded_up(
    wait_s: float | None, header: str | None
) -> None:
    response = infer(FakeService(error_from_code("queue_full", "full", wait_s)))
    assert response.status_code == 429
    assert response.headers.get("retry-after") == header


def test_a_missing_key_is_answered_with_how_to_send_one() -> None:
    response = infer(FakeService(error_from_code("unauthorized", "a key is needed")))
    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "fault",
    [RuntimeError(SECRET), ModeldError(SECRET), error_from_code("no_such_code", SECRET)],
)
def test_an_inner_fault_is_told_without_its_details_and_logged_with_them(
    fault: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "modeld.http"):
        response = infer(FakeService(fault))
    request_id = response.headers["x-request-id"]
    assert response.status_code == 500
    assert response.json()["reason"] == "internal_error"
    assert request_id in response.json()["error"]
    assert SECRET not in response.text
    assert "Traceback" not in response.text
    [record] = [r for r in caplog.records if r.name == "modeld.http"]
    assert request_id in record.getMessage()
    assert record.exc_info is not None
    assert record.exc_info[1] is fault


def test_an_unknown_address_is_answered_as_json() -> None:
    response = ask(make_app(FakeService()), "GET", "/nope")
    assert response.status_code == 404
    assert response.json()["reason"] == "not_found"
    assert response.json()["code"] == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/infer", {"POST"}),
        ("DELETE", "/models", {"GET", "HEAD"}),
        ("PUT", "/models/x/load", {"POST"}),
        ("POST", "/swagger/index.html", {"GET", "HEAD"}),
        ("OPTIONS", "/infer", {"POST"}),
    ],
)
def test_a_wrong_method_is_answered_with_the_right_ones(
    method: str, path: str, allowed: set[str]
) -> None:
    response = ask(make_app(FakeService()), method, path)
    assert response.status_code == 405
    assert response.json()["reason"] == "method_not_allowed"
    assert set(response.headers["allow"].split(", ")) == allowed


@pytest.mark.parametrize(
    ("status", "detail", "reason", "text"),
    [
        (404, None, "not_found", "there is nothing at this address"),
        (404, "no such trace", "not_found", "no such trace"),
        (409, "in use", "invalid_request", "in use"),
        (502, "upstream is gone", "internal_error", "upstream is gone"),
    ],
)
def test_an_http_exception_of_a_plugin_gets_the_shape_of_all_errors(
    status: int, detail: str | None, reason: str, text: str
) -> None:
    response = response_to(HTTPException(status, detail, {"X-Own": "kept"}))
    assert response.status_code == status
    assert response.json()["code"] == status
    assert response.json()["reason"] == reason
    assert text in response.json()["error"]
    assert response.headers["x-own"] == "kept"


def test_a_fault_of_a_plugins_route_is_an_inner_fault() -> None:
    response = response_to(ValueError(SECRET))
    assert response.status_code == 500
    assert SECRET not in response.text
