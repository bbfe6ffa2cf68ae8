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
            if method in {"get", "post", "delete"} and row["tags"] == ["ollama"]:
                yield path, row


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" not in node:
        return node
    _, kind, name = node["$ref"].rsplit("/", 2)
    return document["components"][kind][name]


def values(media_type: str, example: Any) -> list[Any]:
    """Return the value of an example, or those of its lines."""
    if media_type != "application/x-ndjson" or not isinstance(example, str):
        return [example]
    return [json.loads(line) for line in example.splitlines()]


def test_the_document_is_valid(document):
    OpenAPIV31SpecValidator(document).validate()
    assert {path for path, _ in rows(document)} == {
        "/",
        "/api/blobs/{digest}",
        "/api/chat",
        "/api/copy",
        "/api/create",
        "/api/delete",
        "/api/embed",
        "/api/embeddings",
        "/api/generate",
        "/api/ps",
        "/api/pull",
        "/api/push",
        "/api/show",
        "/api/tags",
        "/api/version",
    }


def test_every_response_has_an_example_and_it_is_valid(document):
    for schema in document["components"]["schemas"].values():
        if schema.get("type") == "object":
            schema.setdefault("additionalProperties", False)
    for path, row in rows(document):
        for status, given in row["responses"].items():
            for media_type, media in resolved(document, given)["content"].items():
                examples = [
                    resolved(document, e)["value"] for e in media.get("examples", {}).values()
                ]
                examples += [media["example"]] if "example" in media else []
                assert examples, (path, status)
                schema = {**media["schema"], "components": document["components"]}
                for example in examples:
                    for value in values(media_type, example):
                        Draft202012Validator(schema).validate(value)


def test_every_body_has_examples_and_they_are_valid(document):
    for _, row in rows(document):
        if "requestBody" in row:
            content = row["requestBody"]["content"]["application/json"]
            schema = {**content["schema"], "components": document["components"]}
            for example in content["examples"].values():
                Draft202012Validator(schema).validate(example["value"])


BODIES = ("Chat", "Generate", "Embed", "Embeddings", "Show", "Pull")


def test_every_field_says_what_it_is(document):
    for name in (*(f"Ollama{each}Body" for each in BODIES), "OllamaOptions", "OllamaChatTurn"):
        for field, schema in document["components"]["schemas"][name]["properties"].items():
            assert schema.get("description") or schema["type"] == "null", (name, field)


def test_refused_fields_are_in_the_document_with_what_they_take(document):
    schemas = document["components"]["schemas"]
    properties = schemas["OllamaGenerateBody"]["properties"]
    assert properties["shift"]["enum"] == [None, False]
    assert properties["shift"]["description"].startswith("only false")
    assert schemas["OllamaOptions"]["properties"]["num_batch"]["type"] == "null"


def test_the_options_have_what_backends_declare(document):
    properties = document["components"]["schemas"]["OllamaOptions"]["properties"]
    assert properties["mirostat"]["x-modeld-backends"] == ["llama-cpp"]
