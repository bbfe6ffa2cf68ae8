# SPDX-License-Identifier: GPL-3.0-only
"""What the OpenAPI document says of routes that plugins bring."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from modeld.interfaces import PublicRoute
from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, ask, dialects, make_app


async def plain(request: Request) -> Response:
    """Tell something.

    More of it.
    """
    return PlainTextResponse("x")


async def detailed(request: Request) -> Response:
    """Count the things.
    ---
    operationId: count_things
    tags: [state]
    parameters:
      - {name: kind, in: query, schema: {type: string}}
    responses:
      200:
        description: How many there are
        content: {application/json: {schema: {type: integer}, example: 3}}
    """
    return PlainTextResponse("3")


def described_by(text: str) -> Any:
    """Return an endpoint with this YAML in its docstring."""

    async def endpoint(request: Request) -> Response:
        return PlainTextResponse("x")

    endpoint.__doc__ = f"Say something.\n---\n{text}"
    return endpoint


async def socket(websocket: WebSocket) -> None:
    await websocket.close()


async def hollow(request: Request) -> Response:
    """Say nothing of it.
    ---
    parameters:
    responses:
      200: {description: Nothing, headers: }
    """
    return PlainTextResponse("x")


_THREE = [("/infer", "post"), ("/one", "get"), ("/two", "get")]


class Counter(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        """Show the counter."""
        return PlainTextResponse("1")

    async def delete(self, request: Request) -> Response:
        """Set the counter back."""
        return PlainTextResponse("0")


def document(*routes: Any, settings: Settings | None = None, **headers: str) -> dict[str, Any]:
    settings = replace(settings or Settings(), block_plugins=dialects())
    app = make_app(FakeService(), settings, routes=list(routes))
    described: dict[str, Any] = ask(app, "GET", "/openapi.json", headers=headers).json()
    OpenAPIV31SpecValidator(described).validate()
    return described


def test_a_docstring_is_summary_and_description() -> None:
    row = document(Route("/plain", plain))["paths"]["/plain"]["get"]
    assert (row["summary"], row["description"]) == ("Tell something", "More of it.")
    assert (row["operationId"], row["tags"]) == ("plain_get", ["plugins"])
    assert {"400", "403", "500", "503", "default"} <= set(row["responses"])


def test_yaml_in_a_docstring_says_the_rest() -> None:
    row = document(Route("/things/{id:int}", detailed))["paths"]["/things/{id}"]["get"]
    assert (row["summary"], row["operationId"]) == ("Count the things", "count_things")
    assert row["tags"] == ["state"]
    names = [parameter.get("name", parameter.get("$ref")) for parameter in row["parameters"]]
    assert names[:2] == ["id", "kind"]
    assert "#/components/parameters/X-Request-ID" in names
    assert row["parameters"][0]["schema"] == {"type": "integer", "minimum": 0}
    assert row["responses"]["200"]["content"]["application/json"]["example"] == 3
    assert "X-Request-ID" in row["responses"]["200"]["headers"]
    assert "403" in row["responses"]
    assert "default" not in row["responses"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("responses: [", id="no YAML"),
        pytest.param("just a text", id="no mapping"),
        pytest.param("x: " + "[" * 3000, id="too deep"),
        pytest.param("x: &a [*a]", id="a loop"),
        pytest.param("x: 2020-13-45", id="no date"),
        pytest.param("null: 1", id="a key that is no text"),
        pytest.param('x: "\\ud800"', id="half a character"),
        pytest.param("x: " + "9" * 5000, id="too long a number"),
        pytest.param("operationId: [1]", id="a list for a name"),
        pytest.param("operationId: 5", id="a number for a name"),
        pytest.param("tags: 7", id="a number for tags"),
        pytest.param("parameters: {a: b}", id="a mapping of parameters"),
        pytest.param("responses: [1]", id="a list of responses"),
        pytest.param("responses: {200: hello}", id="a text for a response"),
        pytest.param("responses: {200: {headers: [1]}}", id="a list of headers"),
    ],
)
def test_yaml_that_cannot_be_used_is_left_out_and_hurts_nobody(
    caplog: pytest.LogCaptureFixture, text: str
) -> None:
    endpoint = described_by(text)
    with caplog.at_level(logging.WARNING, "modeld.http"):
        paths = document(Route("/one", endpoint), Route("/two", endpoint))["paths"]
    assert paths["/one"]["get"]["summary"] == "Say something"
    assert set(paths["/one"]["get"]["responses"]) >= {"400", "default"}
    assert {"/two", "/infer"} <= set(paths)
    assert caplog.text.count("is left out") == 2


def test_what_yaml_knows_and_json_does_not_becomes_json() -> None:
    text = "x-since: 2020-12-12\nx-parts: !!set {a}\nx-numbers: {1: one}"
    row = document(Route("/odd", described_by(text)))["paths"]["/odd"]["get"]
    assert (row["x-since"], row["x-parts"]) == ("2020-12-12", ["a"])
    assert row["x-numbers"] == {"1": "one"}


def test_members_without_a_value_hurt_nobody() -> None:
    row = document(Route("/hollow", hollow))["paths"]["/hollow"]["get"]
    assert "X-Request-ID" in row["responses"]["200"]["headers"]
    assert len(row["parameters"]) == 4


def test_each_method_of_a_class_has_its_own_row() -> None:
    item = document(Route("/counter", Counter))["paths"]["/counter"]
    assert set(item) == {"get", "head", "delete"}
    assert item["delete"]["summary"] == "Set the counter back"


def test_what_is_mounted_is_described_as_far_as_it_is_known() -> None:
    paths = document(
        Mount(
            "/box/{name}",
            routes=[Route("/inner", plain), Mount("/deep", app=PlainTextResponse("x"))],
        ),
        Mount("/whole", app=PlainTextResponse("x")),
        WebSocketRoute("/talk", socket),
    )["paths"]
    assert paths["/box/{name}/inner"]["get"]["parameters"][0]["name"] == "name"
    assert set(paths["/whole/{path}"]) == {"summary", "parameters"}
    assert "/box/{name}/deep/{path}" in paths
    assert "/talk" not in paths


def test_two_routes_of_one_name_have_two_names() -> None:
    paths = document(Route("/one", plain), Route("/two", plain))["paths"]
    names = {paths["/one"]["get"]["operationId"], paths["/two"]["get"]["operationId"]}
    assert names == {"plain_get", "plain_get_2"}


def test_an_operation_takes_no_name_that_modeld_has() -> None:
    infer = described_by("operationId: infer")
    paths = document(Route("/one", infer), Route("/two", infer))["paths"]
    names = [paths[path][method]["operationId"] for path, method in _THREE]
    assert names == ["infer", "infer_2", "infer_3"]


def test_a_public_route_needs_no_key_and_the_others_do(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("a-key")
    described = document(
        PublicRoute(Route("/open", plain)),
        Route("/shut", plain),
        settings=Settings(api_key_file=str(file)),
        **{"x-api-key": "a-key"},
    )
    for method in ("get", "head"):
        opened = described["paths"]["/open"][method]
        assert opened["security"] == []
        assert not {"401"} & set(opened["responses"])
        shut = described["paths"]["/shut"][method]
        assert "security" not in shut
        assert "401" in shut["responses"]


def test_a_route_that_is_left_out_of_the_schema_is_not_described() -> None:
    assert "/hidden" not in document(Route("/hidden", plain, include_in_schema=False))["paths"]
