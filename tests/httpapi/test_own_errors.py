# SPDX-License-Identifier: GPL-3.0-only
"""An error of a plugin's own has its code and its status on every wire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from modeld.dialects import Call, Dialect, DialectRoute, PlainRoute, WholeResponse
from modeld.errors import ModeldError, ModelNotFoundError, QueueFullError
from tests.support.http.fake_service import FakeService, ask, make_app


class QuotaUsedError(ModeldError):
    """The account has no tokens left."""

    code = "account_quota_used"
    status = 402


class UpstreamBusyError(QueueFullError):
    """The upstream server is busy."""

    code = "account_upstream_busy"


MESSAGES = [{"role": "user", "content": "hi"}]
BODIES: dict[str, dict[str, Any]] = {
    "/infer": {"prompt": "hi", "stream": False},
    "/v1/completions": {"model": "m", "prompt": "hi"},
    "/v1/chat/completions": {"model": "m", "messages": MESSAGES},
    "/v1/responses": {"model": "m", "input": "hi"},
    "/v1/messages": {"model": "m", "messages": MESSAGES, "max_tokens": 5},
    "/api/generate": {"model": "m", "prompt": "hi", "stream": False},
    "/api/chat": {"model": "m", "messages": MESSAGES, "stream": False},
}


@pytest.mark.parametrize("path", BODIES)
def test_every_dialect_tells_it_with_its_status(path: str) -> None:
    response = ask(
        make_app(FakeService(QuotaUsedError("no tokens left"))), "POST", path, json=BODIES[path]
    )
    assert response.status_code == 402
    assert "no tokens left" in response.text
    if not path.startswith("/api/"):  # Ollama's errors are a text
        assert "account_quota_used" in response.text


@pytest.mark.parametrize("path", BODIES)
def test_without_a_status_of_its_own_it_has_that_of_its_base(path: str) -> None:
    error = UpstreamBusyError("busy", retry_after_s=3)
    response = ask(make_app(FakeService(error)), "POST", path, json=BODIES[path])
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"


def test_a_plain_route_may_raise_it_too() -> None:
    async def fail(_request: Request) -> Response:
        raise QuotaUsedError("no tokens left")

    response = ask(make_app(FakeService(), routes=[Route("/fail", fail)]), "GET", "/fail")
    assert response.json() == {
        "error": "no tokens left",
        "code": 402,
        "reason": "account_quota_used",
    }


class Billing(Dialect):
    name = "billing"

    def routes(self) -> Sequence[DialectRoute]:
        raises = (QuotaUsedError, ModelNotFoundError)
        route = PlainRoute(
            path="/bill", name="bill", summary="Bill", respond=self.respond, raises=raises
        )
        return (route,)

    async def respond(self, _call: Call) -> WholeResponse:
        raise QuotaUsedError("no tokens left")

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        return WholeResponse.of({"error": error.message}, status)


def test_the_openapi_document_has_it_with_its_status() -> None:
    document = ask(make_app(FakeService(), dialects=[Billing()]), "GET", "/openapi.json").json()
    responses = document["paths"]["/bill"]["get"]["responses"]
    assert {"402", "404"} <= set(responses)
    component = document["components"]["responses"][responses["402"]["$ref"].rpartition("/")[2]]
    assert component["description"] == "The reason is `account_quota_used`"
    (example,) = component["content"]["application/json"]["examples"].values()
    assert example["summary"] == "The account has no tokens left."
