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
    """One media type of an answer; without a ``model`` it is plain text."""

    media_type: str
    model: type[BaseModel] | None = None
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One way in which an operation may answer when nothing has failed."""

    status: int
    description: str
    contents: tuple[Content, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A part of the address that the client fills in."""

    name: str
    place: Literal["path", "query", "header"]
    description: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method at one path.

    ``raises`` are the errors beyond those that any operation may have. ``public`` needs no key.
    ``needs_service`` is false where an answer can be given while the service has not started.
    """

    method: Literal["GET", "POST"]
    path: str
    endpoint: Endpoint
    name: str
    summary: str
    answers: tuple[Answer, ...]
    description: str = ""
    raises: tuple[type[ModeldError], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    body_examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    public: bool = False
    needs_service: bool = True
