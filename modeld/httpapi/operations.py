# SPDX-License-Identifier: GPL-3.0-only
"""What one row of the route table says: it is served by it and documented from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from modeld.errors import ModeldError

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]] | ASGIApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One media type of an answer; of a stream, ``model`` and ``schema`` are those of one item.

    Without a ``model`` the ``schema`` counts, which is that of any text.
    """

    media_type: str
    model: type[BaseModel] | None = None
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header of an answer; with a ``value`` it is always that one."""

    name: str
    description: str
    value: str | None = None
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = True


NO_STORE = Header(
    name="Cache-Control", value="no-store", description="caches keep nothing of this answer"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One way in which an operation may answer when nothing has failed.

    ``headers`` are those beyond the ones that every answer has.
    """

    status: int
    description: str
    contents: tuple[Content, ...] = ()
    headers: tuple[Header, ...] = (NO_STORE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A part of the address or of the head that the client fills in."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    choices: tuple[str, ...] = ()
    example: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method at one path. Where there is a GET there is a HEAD too.

    ``raises`` are the errors beyond those that any operation may have. ``public`` needs no key.
    ``needs_service`` is false where an answer can be given while the service has not started.
    ``tag`` is one of those in :data:`modeld.httpapi.openapi.TAGS`.
    """

    method: Literal["GET", "POST"]
    path: str
    endpoint: Endpoint
    name: str
    tag: str
    summary: str
    answers: tuple[Answer, ...]
    description: str = ""
    raises: tuple[type[ModeldError], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    body_examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    public: bool = False
    needs_service: bool = True
