# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from modeld.errors import QueueFullError, error_codes
from modeld.httpapi.openapi.failures import REFUSALS
from modeld.httpapi.routes.inference.infer_body import InferBody
from modeld.httpapi.server import request_head
from modeld.settings import Settings
from modeld.values import ModelSpec
from tests.httpapi.routes.test_status import BUSY
from tests.support.http.fake_service import FakeService, ask, client_of, dialects, make_app

EVERY_STATUS = {"200", "400", "403", "404", "406", "408", "413", "414", "415", "422", "429", "431"}
EVERY_STATUS |= {"500", "503", "504", "507"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    app = make_app(FakeService(), Settings(block_plugins=dialects()))
    described: dict[str, Any] = ask(app, "GET", "/openapi.json").json()
    return described


def resolved(document: dict[str, Any], node: Any) -> Any:
    """Return what a reference leads to; anything else as it is."""
    if "$ref" not in node:
        return node
    _, kind, name = node["$ref"].rsplit("/", 2)
    return document["components"][kind][name]


def schema_for(document: dict[str, Any], path: str, method: str, status: str) -> Any:
    response = resolved(document, document["paths"][path][method]["responses"][status])
    schema = response["content"]["application/json"]["schema"]
    return {**schema, "components": document["components"]}


def operations(document: dict[str, Any]) -> dict[str, Any]:
    """Return all operations by method and path; what another plugin has mounted here has none."""
    return {
        f"{method} {path}": row
        for path, item in document["paths"].items()
        for method, row in item.items()
        if method not in {"summary", "parameters"}
    }


def responses(document: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each response of each operation, with its path."""
    for where, row in operations(document).items():
        for status, response in row["responses"].items():
            yield f"{where} {status}", resolved(document, response)


def values(document: dict[str, Any], media_type: str, text: Any) -> list[Any]:
    """Return what an example says: each object of a stream, or one value."""
    match media_type:
        case "application/x-ndjson":
            return [json.loads(line) for line in text.splitlines()]
        case "text/event-stream":
            events = text.removesuffix("\n\n").split("\n\n")
            return [json.loads(event.removeprefix("data: ")) for event in events]
        case _:
            return [text]


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_both_addresses_serve_the_same_document(document: dict[str, Any]) -> None:
    app = make_app(FakeService(), Settings(block_plugins=dialects()))
    assert ask(app, "GET", "/swagger/doc.json").json() == document


def test_every_route_is_described_with_its_methods() -> None:
    async def brought(request: Request) -> Response:
        """Tell something. More of it."""
        raise NotImplementedError

    async def hidden(request: Request) -> Response:
        raise NotImplementedError

    app = make_app(
        FakeService(),
        routes=[
            Route("/brought/{part:int}", brought, methods=["GET", "PUT"]),
            Route("/hidden", hidden, include_in_schema=False),
        ],
    )
    document = ask(app, "GET", "/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    assert document["paths"]["/brought/{part}"]["get"]["summary"] == "Tell something. More of it"
    served: dict[str, set[str]] = {}
    for gated in app.routes:
        route = gated.route
        if not getattr(route, "include_in_schema", True):
            assert gated.template not in document["paths"]
            continue
        if isinstance(route, Mount):
            assert gated.template in document["paths"] or route.path_format in document["paths"]
            continue
        assert isinstance(route, Route)
        methods = {method.lower() for method in route.methods or ()}
        served.setdefault(route.path_format, set()).update(methods)
    for path, methods in served.items():
        assert set(document["paths"][path]) == methods


def test_inference_is_described_with_every_status_and_format(document: dict[str, Any]) -> None:
    row = document["paths"]["/infer"]["post"]
    assert set(row["responses"]) == EVERY_STATUS
    assert set(row["responses"]["200"]["content"]) == {
        "application/x-ndjson",
        "application/json",
        "text/event-stream",
    }
    too_many = resolved(document, row["responses"]["429"])
    assert set(too_many["content"]["application/json"]["examples"]) == {
        "queue_full",
        "wait_timeout",
    }
    assert "Retry-After" in too_many["headers"]
    assert "Retry-After" not in resolved(document, row["responses"]["400"])["headers"]
    names = {resolved(document, parameter)["name"] for parameter in row["parameters"]}
    assert names == {"log", "X-Log-Level", "X-Log-Infer", "X-Request-ID"}


def test_every_field_of_a_request_says_what_it_is(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["InferBody"]
    own = {name for name, field in schema["properties"].items() if "x-modeld-backends" in field}
    assert set(schema["properties"]) - own == set(InferBody.model_fields)
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        assert field["description"], name


def test_every_response_has_an_example_and_it_is_valid(document: dict[str, Any]) -> None:
    for where, response in responses(document):
        if where.startswith("head "):
            continue
        for media_type, media in response.get("content", {}).items():
            given = [
                resolved(document, each)["value"] for each in media.get("examples", {}).values()
            ]
            given += [media["example"]] if "example" in media else []
            assert given, f"{where} {media_type}"
            schema = {**media["schema"], "components": closed(document)["components"]}
            for example in given:
                for value in values(document, media_type, example):
                    Draft202012Validator(schema).validate(value)


def closed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with nothing allowed in an object that is not said."""
    document = copy.deepcopy(document)
    for schema in document["components"]["schemas"].values():
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    return document


def test_every_body_has_an_example_and_it_is_valid(document: dict[str, Any]) -> None:
    rows = [row for item in document["paths"].values() for row in item.values()]
    bodies = [
        row["requestBody"]["content"]["application/json"] for row in rows if "requestBody" in row
    ]
    assert len(bodies) == 9
    for body in bodies:
        schema = {**body["schema"], "components": document["components"]}
        assert body["examples"]
        for example in body["examples"].values():
            Draft202012Validator(schema).validate(example["value"])


def test_every_response_has_the_headers_that_all_have(document: dict[str, Any]) -> None:
    for where, response in responses(document):
        assert {"X-Request-ID", "X-Content-Type-Options"} <= set(response["headers"]), where


def test_every_reason_of_an_error_is_shown(document: dict[str, Any]) -> None:
    """All of modeld's own, but for those that no operation here can respond with."""
    own = {code for code, cls in error_codes().items() if cls.__module__ == "modeld.errors"}
    shown = set(document["components"]["examples"])
    assert shown >= own - {"client_too_slow", "method_not_allowed"}
    for name, response in document["components"]["responses"].items():
        assert set(response["content"]["application/json"]["examples"]) == set(name.split("-"))


def test_the_refusals_are_those_of_the_server(document: dict[str, Any]) -> None:
    real = [
        request_head.too_slow("body", 30),
        request_head.target_too_long(),
        request_head.header_too_large("head", 32 << 10),
        request_head.too_many_headers(101, 100),
        request_head.too_many_connections(2048),
    ]
    assert {each.reason: (each.status, each.message) for each in real} == REFUSALS
    for each in real:
        value = document["components"]["examples"][each.reason]["value"]
        assert value == {"error": each.message, "code": each.status, "reason": each.reason}


def test_operations_have_names_of_their_own_and_known_groups(document: dict[str, Any]) -> None:
    rows = operations(document).values()
    names = [row["operationId"] for row in rows]
    assert len(set(names)) == len(names) >= 29
    assert {tag for row in rows for tag in row["tags"]} <= {tag["name"] for tag in document["tags"]}
    assert all(row["summary"] for row in rows)


def test_nothing_in_a_response_is_said_to_be_null(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    sent = {name: s for name, s in schemas.items() if s.get("additionalProperties") is not False}
    assert {"ErrorBody", "StatusDocument", "DoneLine", "ModelItem"} <= set(sent)
    assert "null" not in json.dumps(sent).replace("not null", "")


def test_whole_numbers_have_64_bits(document: dict[str, Any]) -> None:
    size = document["components"]["schemas"]["ModelItem"]["properties"]["size_bytes"]
    assert size["format"] == "int64"
    seed = document["components"]["schemas"]["InferBody"]["properties"]["seed"]
    assert [kind.get("format") for kind in seed["anyOf"]] == ["int64", None]


def test_only_types_have_titles(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        assert schema["title"] == name
        assert not [p for p in schema.get("properties", {}).values() if "title" in p], name


def test_the_document_names_the_prefix_under_which_it_is_asked_for() -> None:
    app = make_app(FakeService())
    host: Any = Mount("/llm", app)

    async def go() -> None:
        async with client_of(host, close=app) as client:
            described = (await client.get("/llm/openapi.json")).json()
            OpenAPIV31SpecValidator(described).validate()
            assert described["servers"] == [{"url": "/llm"}]

    asyncio.run(go())


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("GET", "/status", "/status"),
        ("GET", "/models", "/models"),
        ("POST", "/models/refresh", "/models/refresh"),
        ("POST", "/models/a/load", "/models/{id}/load"),
        ("GET", "/plugins", "/plugins"),
        ("POST", "/models/nope/load", "/models/{id}/load"),
    ],
)
def test_responses_are_as_described(
    document: dict[str, Any], method: str, path: str, template: str
) -> None:
    service = FakeService(models=[ModelSpec(id="a", name="a", path="/a", problem="x")])
    service.snapshot = BUSY
    response = ask(make_app(service), method, path)
    schema = schema_for(document, template, method.lower(), str(response.status_code))
    Draft202012Validator(schema).validate(response.json())


def test_errors_and_whole_responses_are_as_described(document: dict[str, Any]) -> None:
    for service, status in ((FakeService(), "200"), (FakeService(QueueFullError("full")), "429")):
        response = ask(make_app(service), "POST", "/infer", json={"prompt": "x", "stream": False})
        schema = schema_for(document, "/infer", "post", status)
        Draft202012Validator(schema).validate(response.json())


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        ({}, False),
        ({"prompt": ""}, False),
        ({"prompt": None, "messages": []}, False),
        ({"prompt": "", "messages": [{"role": "user", "content": "x"}]}, True),
        ({"prompt": "x", "messages": []}, True),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, False),
        ({"prompt": "x", "grammar": "root ::= x", "json_schema": {}}, False),
        ({"prompt": "x", "grammar": "root ::= x", "json_schema": None}, True),
        ({"prompt": "x", "grammar": " "}, False),
        ({"prompt": "x", "regex": "a", "choice": ["a"]}, False),
        ({"prompt": "x", "regex": "a", "choice": None}, True),
        ({"prompt": "x", "choice": ["a", "b"]}, True),
        ({"prompt": "x", "choice": []}, False),
        ({"prompt": "x", "choice": [""]}, False),
        ({"prompt": "x", "lark": " "}, False),
        ({"prompt": "x", "regex": " "}, True),
        ({"prompt": "x", "stop": "a"}, True),
        ({"prompt": "x", "stop": ["a", "b"], "temperature": None}, True),
        ({"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}, True),
        ({"prompt": "x", "stop": []}, True),
        ({"prompt": "x", "logit_bias": {"1": 2, "3": None, "4": False}}, True),
        ({"prompt": "x", "top_k": 0, "seed": -1, "ignore_eos": True}, True),
        ({"prompt": "x", "json_schema": {"type": "object"}, "logprobs": 20}, True),
        ({"prompt": "x", "logit_bias": {"a": 2}}, False),
        ({"prompt": "x", "logit_bias": {"1": 101}}, False),
        ({"prompt": "x", "logit_bias": {"1": True}}, False),
        ({"prompt": "x", "logit_bias": {str(token): 1 for token in range(301)}}, False),
        ({"prompt": "x", "top_k": 0.5}, False),
        ({"prompt": "x", "grammar": ""}, False),
        ({"prompt": "x", "json_schema": True}, False),
        ({"prompt": "x", "logprobs": 21}, False),
        ({"prompt": "x", "seed": -2}, False),
        ({"prompt": "x", "stop": ""}, False),
        ({"prompt": "x", "stop": ["a"] * 17}, False),
        ({"prompt": "x", "max_tokens": 0}, False),
        ({"prompt": "x", "top_p": 0}, False),
        ({"prompt": "x", "promt": "y"}, False),
        ({"messages": [{"role": "user"}]}, False),
    ],
)
def test_the_schema_of_a_request_agrees_with_the_check(
    document: dict[str, Any], body: dict[str, Any], valid: bool
) -> None:
    schema = {"$ref": "#/components/schemas/InferBody", "components": document["components"]}
    assert Draft202012Validator(schema).is_valid(body) is valid
    response = ask(make_app(FakeService()), "POST", "/infer", json=body)
    assert (response.status_code == 200) is valid


def test_keys_are_described_where_they_are_needed(document: dict[str, Any], tmp_path: Path) -> None:
    assert "security" not in document
    file = tmp_path / "keys"
    file.write_text("a-key")
    app = make_app(FakeService(), Settings(api_key_file=str(file)))
    headers = {"x-api-key": "a-key"}
    guarded = ask(app, "GET", "/openapi.json", headers=headers).json()
    OpenAPIV31SpecValidator(guarded).validate()
    assert guarded["security"] == [{"bearer": []}, {"header": []}]
    assert guarded["paths"]["/healthz"]["get"]["security"] == []
    assert "401" in guarded["paths"]["/status"]["get"]["responses"]
    assert "401" not in guarded["paths"]["/healthz"]["get"]["responses"]


def test_the_description_needs_no_service_that_starts() -> None:
    service = FakeService()

    async def go() -> None:
        async with client_of(make_app(service)) as client:
            for path in ("/openapi.json", "/swagger/doc.json", "/swagger/index.html"):
                assert (await client.get(path)).status_code == 200
            assert service.calls == []

    asyncio.run(go())
