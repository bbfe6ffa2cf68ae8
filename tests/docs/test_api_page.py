# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/api.md has every route, every field of requests and every member of responses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

import pytest
from pydantic import BaseModel

from modeld import Settings
from modeld.httpapi.app import create_app
from modeld.httpapi.routes.inference.infer import DoneLine, TokenLogprobsItem, UsageNumbers
from modeld.httpapi.routes.inference.infer_body import InferBody
from modeld.httpapi.routes.inference.unary_bodies import (
    ApplyTemplateBody,
    DetokenizeBody,
    EmbedBody,
    RerankBody,
    TokenizeBody,
    UnaryBody,
)
from modeld.httpapi.routes.inference.unary_response import (
    ApplyTemplateResponseBody,
    DetokenizeResponseBody,
    EmbedResponseBody,
    PromptUsage,
    RankedDocument,
    RerankResponseBody,
    TokenizeResponseBody,
)
from modeld.httpapi.routes.model_list import ModelItem
from modeld.httpapi.routes.plugins import PluginItem
from modeld.httpapi.routes.status import InstanceItem, StatusDocument
from tests.support.docs.pages import headings, read, rows, section

BOUNDS = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "maxProperties"}
BOUNDS |= {"minLength", "maxLength", "minItems", "maxItems"}
REQUESTS = [
    ("Fields of the request", InferBody),
    ("POST /embed", EmbedBody),
    ("POST /rerank", RerankBody),
    ("POST /tokenize", TokenizeBody),
    ("POST /detokenize", DetokenizeBody),
    ("POST /apply-template", ApplyTemplateBody),
]


def routes() -> set[str]:
    """Return method and template of all that modeld serves without other distributions' plugins."""
    plugins = entry_points(group="modeld")
    others = tuple(each.name for each in plugins if not each.value.startswith("modeld.builtin."))
    found = set()
    for route in create_app(Settings(models_dir="/nowhere", block_plugins=others)).routes:
        methods = getattr(route.route, "methods", None) or {"GET"}
        found |= {f"{method} {route.template}" for method in methods - {"HEAD"}}
    return found


def test_every_route_has_a_section_and_a_row() -> None:
    sections = [
        heading
        for heading in headings("reference/api.md")
        if re.match(r"(GET|POST|PUT|DELETE) /", heading)
    ]
    assert sorted(sections) == sorted(routes())
    listed = re.findall(r"^\| \[`([A-Z]+ /[^`]*)`\]", read("reference/api.md"), re.MULTILINE)
    assert sorted(listed) == sorted(routes())


def fields_of(heading: str, model: type[BaseModel]) -> dict[str, Sequence[str]]:
    """Return the rows that a section has for a request, by the field's name."""
    table = [row for row in rows(section("reference/api.md", heading)) if row[0].startswith("`")]
    if issubclass(model, UnaryBody):
        table = [row for row in table if row[0].strip("`") in model.model_fields]
        table += rows(section("reference/api.md", "Embeddings and tokens"))[1:]
    return {row[0].strip("`"): row for row in table}


@pytest.mark.parametrize(("heading", "model"), REQUESTS)
def test_every_field_of_a_request_is_listed_with_its_meaning(
    heading: str, model: type[BaseModel]
) -> None:
    found = {name: row[2] for name, row in fields_of(heading, model).items()}
    assert found == {name: field.description for name, field in model.model_fields.items()}


def bounds(schema: Any) -> set[float]:
    """Return all limits in a JSON schema."""
    if isinstance(schema, list):
        return set().union(*map(bounds, schema))
    if not isinstance(schema, dict):
        return set()
    here = {schema[name] for name in BOUNDS & set(schema)}
    return here.union(*map(bounds, schema.values()))


@pytest.mark.parametrize(("heading", "model"), REQUESTS)
def test_every_limit_of_a_field_is_in_its_row(heading: str, model: type[BaseModel]) -> None:
    said = fields_of(heading, model)
    for name, schema in model.model_json_schema()["properties"].items():
        numbers = re.findall(r"-?\d[\d,]*(?:\.\d+)?", said[name][1])
        limits = {float(number.replace(",", "")) for number in numbers}
        assert bounds(schema) <= limits, name


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("GET /models", ModelItem),
        ("GET /plugins", PluginItem),
        ("GET /status", StatusDocument),
        ("GET /status", InstanceItem),
        ("The lines of a stream", DoneLine),
        ("Probabilities", TokenLogprobsItem),
        ("POST /embed", EmbedResponseBody),
        ("POST /rerank", RerankResponseBody),
        ("POST /rerank", RankedDocument),
        ("POST /tokenize", TokenizeResponseBody),
        ("POST /detokenize", DetokenizeResponseBody),
        ("POST /apply-template", ApplyTemplateResponseBody),
    ],
)
def test_every_member_of_a_response_is_explained(heading: str, model: type[BaseModel]) -> None:
    listed = {row[0] for row in rows(section("reference/api.md", heading))}
    names = set(model.model_fields)
    if "usage" in names:
        usage = UsageNumbers if model is DoneLine else PromptUsage
        names = names - {"done", "usage"} | {f"usage.{name}" for name in usage.model_fields}
    lists = {"instances", "results"}
    assert {f"`{name}`" for name in names - lists} <= listed
