# SPDX-License-Identifier: GPL-3.0-only
"""A wire format for the models: its routes, its encoders and how its errors look.

Everything that is hard about serving a generation over HTTP is done for all dialects in one place:
limits of bodies, strict JSON, queueing, the watch on the client, deadlines, slow readers, keys,
request ids, logs, metrics and the OpenAPI document.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict

from modeld.dialects.documents import Parameter, ResponseDoc
from modeld.dialects.encoder import Encoder
from modeld.dialects.whole_response import WholeResponse
from modeld.errors import ModeldError
from modeld.model_service import ModelService
from modeld.requests import AnyRequest, AnyUnaryRequest, GenerateRequest, KeepAliveSeconds
from modeld.responses import AnyUnaryResponse

B = TypeVar("B", bound=BaseModel)
R = TypeVar("R", bound=AnyRequest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request, as far as a dialect may know it.

    ``headers`` have small letters; of one that is there twice, the values are joined by commas.
    ``path`` has the parts of the address that the route names. ``model`` is what serves the
    request; it is empty where no model is known yet. ``caller`` is made from the API key of the
    request and empty without one: what a dialect keeps for one caller no other may see.
    ``begun_s`` is when the request had come, on the monotonic clock. Of ``service`` only what reads
    may be used: requests go through the route's own functions, which are watched.
    """

    request_id: str
    created_unix: int
    begun_s: float
    headers: Mapping[str, str]
    query: Mapping[str, str]
    path: Mapping[str, str]
    service: ModelService
    model: str = ""
    caller: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a body asks for in place of a request: that a model comes into memory.

    ``respond`` makes the response once it is there; ``keep_alive_s`` is how long it stays unused.
    Without ``fit`` it fails where it could be had only with less than it is configured for.
    ``timeout_s`` bounds the whole request.
    """

    model: str
    respond: Callable[[Call], WholeResponse]
    keep_alive_s: KeepAliveSeconds | None = None
    fit: bool = True
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unload:
    """What a body asks for in place of a request: that a model leaves memory.

    ``respond`` makes the response once it is gone; ``timeout_s`` bounds the whole request.
    """

    model: str
    respond: Callable[[Call], WholeResponse]
    timeout_s: float | None = None


Wanted: TypeAlias = Sequence[R] | Load | Unload
"""What a body asks for: requests for one model, or that it comes into memory or leaves it."""

Reading: TypeAlias = Callable[[B, Call], Wanted[R] | Awaitable[Wanted[R]]]
"""Makes of a body what it asks for; it may wait for what the service tells of its models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Documented:
    """What every route has. ``path`` may have parts in braces; ``{id}`` takes slashes too.

    ``name`` is unique among all routes, ``tag`` the group in the documents. ``raises`` are the
    errors that it may give beyond those of all routes.
    """

    path: str
    name: str
    summary: str
    tag: str = ""
    description: str = ""
    responses: tuple[ResponseDoc, ...] = ()
    raises: tuple[type[ModeldError], ...] = ()
    parameters: tuple[Parameter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRoute(Documented, Generic[B]):
    """A POST whose body asks for one or more generations, which are sent as one response.

    ``requests`` makes the requests, which are served at once, ``encoder`` what writes their chunks.
    Both are called for each HTTP request, one after the other, and may raise a ``ModeldError``.
    """

    body: type[B]
    requests: Reading[B, GenerateRequest]
    encoder: Callable[[B, Call], Encoder]
    body_examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnaryRoute(Documented, Generic[B]):
    """A POST whose body asks for something that has a response in one piece.

    ``requests`` makes the requests, which are served at once; ``respond`` gets the responses in
    their order. Where requests can be made only of the responses to others, ``then`` makes them of
    those, and ``respond`` gets what comes of them; it returns ``None`` where nothing has to follow.
    """

    body: type[B]
    requests: Reading[B, AnyUnaryRequest]
    respond: Callable[[B, Call, Sequence[AnyUnaryResponse]], Awaitable[WholeResponse]]
    then: (
        Callable[[B, Call, Sequence[AnyUnaryResponse]], Sequence[AnyUnaryRequest] | None] | None
    ) = None
    body_examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRoute(Documented):
    """A route without a body that computes nothing with a model, like a list of them."""

    respond: Callable[[Call], Awaitable[WholeResponse]]
    method: Literal["GET", "POST", "DELETE"] = "GET"


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyRoute(Documented, Generic[B]):
    """A POST with a body that computes nothing with a model, like one that shows a model."""

    body: type[B]
    respond: Callable[[B, Call], Awaitable[WholeResponse]]
    body_examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


DialectRoute: TypeAlias = GenerationRoute[Any] | UnaryRoute[Any] | PlainRoute | BodyRoute[Any]


class AnyErrorBody(BaseModel):
    """An error of a dialect that does not say how its errors look."""

    model_config = ConfigDict(extra="allow")


class Dialect(ABC):
    """A wire format.

    What fails under one of its ``prefixes`` or at one of its routes looks as :meth:`error` has it,
    also what is refused before a route is reached. ``base_path`` is what stands behind the server's
    address in the base URL that programs for this API are given: ``/v1`` or nothing, and ``None``
    where no programs ask for one.
    """

    name: str
    prefixes: tuple[str, ...] = ()
    base_path: str | None = None
    error_body: type[BaseModel] = AnyErrorBody

    @abstractmethod
    def routes(self) -> Sequence[DialectRoute]:
        """Return the routes; called once."""

    @abstractmethod
    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        """Return how an error looks; ``status`` is what the native wire gives it."""
