# SPDX-License-Identifier: GPL-3.0-only
"""The OpenAPI document of a server with these routes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.support.http.fake_service import FakeService, ask, make_app


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return ask(make_app(FakeService()), "GET", "/openapi.json").json()


def rows(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, row in item.items():
            if method in {"get", "post", "delete"} and row["tags"] == ["openai"]:
                yield path, row


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    _, kind, name = node["$ref"].rsplit("/", 2)
    return document["components"][kind][name]


def values(example: Any) -> list[Any]:
    """Return the object of an example, or those of its events but the word that ends some."""
    if not isinstance(example, str):
        return [example]
    data = [part.split("data: ", 1)[1] for part in example.removesuffix("\n\n").split("\n\n")]
    assert "[DONE]" not in data[:-1]
    return [json.loads(each) for each in data if each != "[DONE]"]


def test_the_document_is_valid(document):
    OpenAPIV31SpecValidator(document).validate()
    assert {path for path, _ in rows(document)} == {
        "/chat/completions",
        "/completions",
        "/embeddings",
        "/responses",
        "/responses/{response_id}",
        "/responses/{response_id}/cancel",
        "/responses/{response_id}/input_items",
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/{id}",
        "/v1/rerank",
        "/v1/responses",
        "/v1/responses/{response_id}",
        "/v1/responses/{response_id}/cancel",
        "/v1/responses/{response_id}/input_items",
        "/v1/tokenize",
        "/v1/detokenize",
    }


def test_every_response_has_an_example_and_it_is_valid(document):
    for schema in document["components"]["schemas"].values():
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    for path, row in rows(document):
        for status, given in row["responses"].items():
            for media in resolved(document, given)["content"].values():
                examples = [
                    resolved(document, e)["value"] for e in media.get("examples", {}).values()
                ]
                examples += [media["example"]] if "example" in media else []
                assert examples, (path, status)
                schema = {**media["schema"], "components": document["components"]}
                for value in (value for example in examples for value in values(example)):
                    Draft202012Validator(schema).validate(value)


def test_an_error_stands_at_the_status_that_this_wire_gives_it(document):
    chat = dict(rows(document))["/v1/chat/completions"]["responses"]
    for status, told in (("400", True), ("422", False)):
        (content,) = resolved(document, chat[status])["content"].values()
        assert ("prompt_too_long" in content["examples"]) is told


def test_every_body_has_examples_and_they_are_valid(document):
    for _, row in rows(document):
        if "requestBody" in row:
            content = row["requestBody"]["content"]["application/json"]
            schema = {**content["schema"], "components": document["components"]}
            for example in content["examples"].values():
                Draft202012Validator(schema).validate(example["value"])


def test_every_field_says_what_it_is(document):
    for name in (
        "ChatCompletionBody",
        "CompletionBody",
        "EmbeddingsBody",
        "RerankDocumentsBody",
        "ResponsesBody",
        "TokenizeTextBody",
        "DetokenizeTokensBody",
    ):
        for field, schema in document["components"]["schemas"][name]["properties"].items():
            assert schema.get("description") or schema["type"] == "null", (name, field)


def test_refused_fields_are_null_in_the_document(document):
    properties = document["components"]["schemas"]["ChatCompletionBody"]["properties"]
    assert properties["functions"]["type"] == "null"
