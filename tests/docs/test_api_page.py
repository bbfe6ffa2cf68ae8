# SPDX-License-Identifier: GPL-3.0-only
"""docs/api.md has every route, every field of a request and every member of an answer."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from modeld import Settings
from modeld.httpapi.app import create_app
from modeld.httpapi.infer import DoneLine, UsageNumbers
from modeld.httpapi.infer_request import InferRequest
from modeld.httpapi.models import ModelItem
from modeld.httpapi.plugin_list import PluginItem
from modeld.httpapi.status import InstanceItem, StatusDocument
from tests.docs.pages import headings, read, rows, section

BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "maxLength", "maxItems")


def routes() -> set[str]:
    """Method and template of everything that is served."""
    found = set()
    for route in create_app(Settings(models_dir="/nowhere")).routes:
        methods = getattr(route.route, "methods", None) or {"GET"}
        found |= {f"{method} {route.template}" for method in methods - {"HEAD"}}
    return found


def test_every_route_has_a_section_and_a_row() -> None:
    sections = [
        heading for heading in headings("api.md") if re.match(r"(GET|POST|PUT|DELETE) /", heading)
    ]
    assert sorted(sections) == sorted(routes())
    listed = re.findall(r"^\| \[`([A-Z]+ /[^`]*)`\]", read("api.md"), re.MULTILINE)
    assert sorted(listed) == sorted(routes())


def test_every_field_of_a_request_for_text_is_listed_with_its_meaning() -> None:
    table = rows(section("api.md", "Fields of the request"))
    found = {row[0]: row[2] for row in table if row[0].startswith("`")}
    assert found == {
        f"`{name}`": field.description for name, field in InferRequest.model_fields.items()
    }


def bounds(schema: Any) -> set[float]:
    """All limits in a JSON schema."""
    if isinstance(schema, list):
        return set().union(*map(bounds, schema))
    if not isinstance(schema, dict):
        return set()
    here = {schema[name] for name in BOUNDS if name in schema}
    return here.union(*map(bounds, schema.values()))


def test_every_limit_of_a_field_is_in_its_row() -> None:
    table = rows(section("api.md", "Fields of the request"))
    said = {row[0].strip("`"): row[1] for row in table}
    for name, schema in InferRequest.model_json_schema()["properties"].items():
        numbers = {float(n.replace(",", "")) for n in re.findall(r"\d[\d,]*", said[name])}
        assert bounds(schema) <= numbers, name


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("GET /models", ModelItem),
        ("GET /plugins", PluginItem),
        ("GET /status", StatusDocument),
        ("GET /status", InstanceItem),
        ("The lines of a stream", DoneLine),
    ],
)
def test_every_member_of_an_answer_is_explained(heading: str, model: type[BaseModel]) -> None:
    listed = {row[0] for row in rows(section("api.md", heading))}
    names = set(model.model_fields)
    if model is DoneLine:
        names = names - {"done", "usage"} | {f"usage.{name}" for name in UsageNumbers.model_fields}
    lists = {"instances"}
    assert {f"`{name}`" for name in names - lists} <= listed
