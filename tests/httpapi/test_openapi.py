# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from modeld.errors import QueueFullError
from modeld.httpapi.infer_request import InferRequest
from modeld.settings import Settings
from modeld.values import ModelSpec
from tests.httpapi.fake_service import FakeService, ask, client_of, make_app
from tests.httpapi.test_status import BUSY

EVERY_STATUS = {"200", "400", "403", "404", "406", "413", "415", "422", "429", "500", "503"}
EVERY_STATUS |= {"504", "507"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    described: dict[str, Any] = ask(make_app(FakeService()), "GET", "/openapi.json").json()
    return described


def schema_for(document: dict[str, Any], path: str, method: str, status: str) -> Any:
    content = document["paths"][path][method]["responses"][status]["content"]
    return {**content["application/json"]["schema"], "components": document["components"]}


def test_the_document_is_valid_openapi(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(document).validate()


def test_both_addresses_serve_the_same_document(document: dict[str, Any]) -> None:
    assert ask(make_app(FakeService()), "GET", "/swagger/doc.json").json() == document


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
    for gated in app.routes:
        route = gated.route
        if isinstance(route, Mount) or gated.template == "/hidden":
            assert gated.template not in document["paths"]
            continue
        assert isinstance(route, Route)
        described = document["paths"][route.path_format]
        methods = {method.lower() for method in route.methods or ()} - {"head"}
        assert set(described) == methods
    assert document["paths"]["/brought/{part}"]["get"]["summary"] == "Tell something. More of it."


def test_inference_is_described_with_every_status_and_format(document: dict[str, Any]) -> None:
    row = document["paths"]["/infer"]["post"]
    assert set(row["responses"]) == EVERY_STATUS
    assert set(row["responses"]["200"]["content"]) == {
        "application/x-ndjson",
        "application/json",
        "text/event-stream",
    }
    too_many = row["responses"]["429"]
    assert set(too_many["content"]["application/json"]["examples"]) == {
        "queue_full",
        "wait_timeout",
    }
    assert "Retry-After" in too_many["headers"]
    assert "Retry-After" not in row["responses"]["400"]["headers"]
    names = {parameter["name"] for parameter in row["parameters"]}
    assert names == {"log", "X-Log-Level", "X-Log-Infer", "X-Request-ID"}


def test_every_field_of_a_request_says_what_it_is(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["InferRequest"]
    assert set(schema["properties"]) == set(InferRequest.model_fields)
    assert schema["additionalProperties"] is False
    for name, field in schema["properties"].items():
        assert field["description"], name


def test_the_examples_are_valid(document: dict[str, Any]) -> None:
    for rows in document["paths"].values():
        for row in rows.values():
            contents = [r.get("content", {}) for r in row["responses"].values()]
            contents.append(row.get("requestBody", {}).get("content", {}))
            for media in (c["application/json"] for c in contents if "application/json" in c):
                schema = {**media["schema"], "components": document["components"]}
                examples = [e["value"] for e in media.get("examples", {}).values()]
                examples += [media["example"]] if "example" in media else []
                for example in examples:
                    Draft202012Validator(schema).validate(example)


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
def test_answers_are_as_described(
    document: dict[str, Any], method: str, path: str, template: str
) -> None:
    service = FakeService(models=[ModelSpec(id="a", name="a", path="/a", problem="x")])
    service.snapshot = BUSY
    answer = ask(make_app(service), method, path)
    schema = schema_for(document, template, method.lower(), str(answer.status_code))
    Draft202012Validator(schema).validate(answer.json())


def test_errors_and_whole_answers_are_as_described(document: dict[str, Any]) -> None:
    for service, status in ((FakeService(), "200"), (FakeService(QueueFullError("full")), "429")):
        answer = ask(make_app(service), "POST", "/infer", json={"prompt": "x", "stream": False})
        schema = schema_for(document, "/infer", "post", status)
        Draft202012Validator(schema).validate(answer.json())


@pytest.mark.parametrize(
    ("body", "valid"),
    [
        ({"prompt": "x", "stop": "a"}, True),
        ({"prompt": "x", "stop": ["a", "b"], "temperature": None}, True),
        ({"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}, True),
        ({"prompt": "x", "stop": []}, True),
        ({"prompt": "x", "logit_bias": {"1": 2, "3": None, "4": False}}, True),
        ({"prompt": "x", "dry_sequence_breakers": ["\n"], "repeat_last_n": -1}, True),
        ({"prompt": "x", "json_schema": {"type": "object"}, "logprobs": 20}, True),
        ({"prompt": "x", "logit_bias": {"a": 2}}, False),
        ({"prompt": "x", "logit_bias": {"1": 101}}, False),
        ({"prompt": "x", "logit_bias": {"1": True}}, False),
        ({"prompt": "x", "logit_bias": {str(token): 1 for token in range(301)}}, False),
        ({"prompt": "x", "dry_sequence_breakers": [""]}, False),
        ({"prompt": "x", "grammar": ""}, False),
        ({"prompt": "x", "json_schema": True}, False),
        ({"prompt": "x", "logprobs": 21}, False),
        ({"prompt": "x", "mirostat": 3}, False),
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
    schema = {"$ref": "#/components/schemas/InferRequest", "components": document["components"]}
    assert Draft202012Validator(schema).is_valid(body) is valid
    answer = ask(make_app(FakeService()), "POST", "/infer", json=body)
    assert (answer.status_code == 200) is valid


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
