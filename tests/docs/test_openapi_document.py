# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/openapi.json is the document of the code, and says what the API page says."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.docs.test_api_examples import Example, examples
from tests.openapi_document import COMMAND, FILE, difference, main
from tests.support.docs.pages import headings, read

JSON_EXAMPLES = [each for each in examples() if each.language == "json"]


@pytest.fixture(scope="module")
def document() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))


def test_the_file_is_the_document_of_the_code() -> None:
    lines = difference()
    assert not lines, "\n".join([f"write it anew: {COMMAND}", *lines[:60]])


def test_the_check_tells_a_drift_from_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check"]) == 0
    old = tmp_path / "openapi.json"
    old.write_text(FILE.read_text(encoding="utf-8").replace("Generate text", "Generate words"))
    monkeypatch.setattr("tests.openapi_document.FILE", old)
    assert main(["--check"]) == 1
    assert COMMAND in capsys.readouterr().out


def test_the_file_is_valid_openapi(document: Any) -> None:
    OpenAPIV31SpecValidator(document).validate()


def test_the_file_and_the_api_page_have_the_same_requests(document: Any) -> None:
    described = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method in item
        if method != "head"
    }
    page = {name for name in headings("reference/api.md") if re.match(r"(GET|POST) /", name)}
    assert described == page


@pytest.mark.parametrize("example", JSON_EXAMPLES, ids=lambda example: example.path)
def test_an_example_of_the_api_page_is_valid(example: Example, document: Any) -> None:
    posted = "-d '" in example.command or "-X POST" in example.command
    path = re.sub(r"^/models/[^/]+\.gguf/", "/models/{id}/", example.path)
    row = document["paths"][path]["post" if posted else "get"]
    response = row["responses"][str(example.status)]
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    schema = response["content"][example.media_type]["schema"]
    for described in document["components"]["schemas"].values():
        if described.get("type") == "object":
            described.setdefault("additionalProperties", False)
    checked = {**schema, "components": document["components"]}
    Draft202012Validator(checked).validate(json.loads(example.body))


def test_the_page_says_how_the_file_is_written() -> None:
    assert COMMAND in read("reference/openapi.md")
