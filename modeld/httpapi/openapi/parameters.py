# SPDX-License-Identifier: GPL-3.0-only
"""The parameters of requests in the OpenAPI document; what every route takes is described once."""

from __future__ import annotations

from typing import Any, TypeAlias

from modeld.dialects.documents import Parameter

Json: TypeAlias = dict[str, Any]

SHARED = (
    Parameter(
        name="log",
        location="query",
        description="how much is logged about this request; wins over X-Log-Level",
        choices=("off", "error", "info", "debug"),
    ),
    Parameter(
        name="X-Log-Level",
        location="header",
        description="how much is logged about this request",
        choices=("off", "error", "info", "debug"),
    ),
    Parameter(
        name="X-Log-Infer",
        location="header",
        description="1 logs the numbers of a response, never the texts of request or response",
        example="1",
    ),
    Parameter(
        name="X-Request-ID",
        location="header",
        description="name for the request in the server's log: 1 to 64 letters, digits, . _ -;"
        " any other is replaced by a new one",
        example="docs-1",
    ),
)
"""What every route takes."""


def shared_parameters() -> list[Json]:
    """Return references to what every route takes."""
    return [{"$ref": f"#/components/parameters/{shared.name}"} for shared in SHARED]


def described_parameter(parameter: Parameter) -> Json:
    """Return one parameter, all of it."""
    schema: Json = {"type": "string"}
    if parameter.between is not None:
        least, most = parameter.between
        schema = {"type": "integer", "minimum": least, "maximum": most}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    described: Json = {
        "name": parameter.name,
        "in": parameter.location,
        "required": parameter.location == "path",
        "description": parameter.description,
        "schema": schema,
    }
    if parameter.example is not None:
        described["example"] = parameter.example
    return described
