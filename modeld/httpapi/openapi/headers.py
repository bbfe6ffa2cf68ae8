# SPDX-License-Identifier: GPL-3.0-only
"""The headers of responses in the OpenAPI document: described once, referred to everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from modeld.dialects.documents import Header

Json: TypeAlias = dict[str, Any]

EVERYWHERE = (
    Header(
        name="X-Request-ID",
        description="names the request in the server's log; the request's own one if it was sane",
        schema={"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
    ),
    Header(
        name="X-Content-Type-Options",
        value="nosniff",
        description="browsers must not guess another media type",
    ),
)
"""What every response has."""


def described_headers(headers: Iterable[Header]) -> Json:
    """Return the headers of one response, as references; those of every response come last."""
    return {
        header.name: {"$ref": f"#/components/headers/{_key(header)}"}
        for header in (*headers, *EVERYWHERE)
    }


def header_components(headers: Iterable[Header]) -> Json:
    """Return what the references of :func:`described_headers` lead to."""
    return {_key(header): _component(header) for header in (*headers, *EVERYWHERE)}


def _key(header: Header) -> str:
    """Return a name for the component: one header may be described in several ways."""
    value = header.value or ""
    name = f"{header.name}_{value}" if value.replace("-", "").isalnum() else header.name
    return name if header.required or not value else f"{name}_optional"


def _component(header: Header) -> Json:
    schema = dict(header.schema)
    if header.value is not None:
        schema = {"type": "string", "const": header.value}
    return {"description": header.description, "required": header.required, "schema": schema}
