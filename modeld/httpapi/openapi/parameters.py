# SPDX-License-Identifier: GPL-3.0-only
"""The parameters of requests in the OpenAPI document; what every route takes is described once."""

from __future__ import annotations

from typing import Any, TypeAlias

from modeld.httpapi.operations import Parameter

Json: TypeAlias = dict[str, Any]

SHARED = (
    Parameter(
        name="log",
        place="query",
        description="how much is logged about this request; wins over X-Log-Level",
        choices=("off", "error", "info", "debug"),
    ),
    Parameter(
        name="X-Log-Level",
        place="header",
        description="how much is logged about this request",
        choices=("off", "error", "info", "debug"),
    ),
    Parameter(
        name="X-Log-Infer",
        place="header",
        description="1 logs how an answer was made, never what was asked or answered",
        example="1",
    ),
    Parameter(
        name="X-Request-ID",
        place="header",
        description="name for the request in the server's log: 1 to 64 letters, digits, . _ -;"
        " any other is replaced by a new one",
        example="docs-1",
    ),
)
"""What every route takes."""


def shared_parameters() -> list[Json]:
    """References to what every route takes."""
    return [{"$ref": f"#/components/parameters/{shared.name}"} for shared in SHARED]


def described_parameter(parameter: Parameter) -> Json:
    """One parameter, all of it."""
    schema: Json = {"type": "string"}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    described: Json = {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": schema,
    }
    if parameter.example is not None:
        described["example"] = parameter.example
    return described
