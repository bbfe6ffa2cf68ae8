# SPDX-License-Identifier: GPL-3.0-only
"""Dialects and routes that are each wrong in one way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from modeld import GenerateRequest, ModelService, PublicRoute, hookimpl
from modeld.dialects import (
    Call,
    Dialect,
    DialectRoute,
    Encoder,
    GenerationRoute,
    PlainRoute,
    StreamEncoder,
    WholeEncoder,
    WholeResponse,
)
from modeld.errors import ModeldError
from modeld.responses import Done, Piece, Token
from modeld.testing import Contract, DialectContract, RoutesContract

MUTANTS: list[tuple[str, Callable[[], Contract], str]] = []
"""The name of each, what makes its contract, and the one check that must find it."""


class Body(BaseModel):
    """What is asked."""

    model_config = ConfigDict(extra="forbid")

    say: str
    whole: bool = False


class ErrorBody(BaseModel):
    """How an error looks."""

    model_config = ConfigDict(extra="forbid")

    wrong: str


class LinesEncoder(StreamEncoder):
    """One text to a line."""

    media_type = "text/plain"

    def piece(self, index: int, piece: Piece) -> bytes:
        return piece.text.encode() + b"\n" if isinstance(piece, Token) else b""

    def done(self, index: int, done: Done) -> bytes:
        return b"(end)\n"

    def failure(self, error: ModeldError, status: int) -> bytes:
        return b"! " + error.message.encode() + b"\n"


class TextEncoder(WholeEncoder):
    """All of it."""

    media_type = "text/plain"

    def whole(self, generations: Sequence[Done]) -> bytes:
        return (generations[0].content or "").encode()


class ToyDialect(Dialect):
    """A small wire format."""

    name = "toy"
    prefixes = ("/toy",)
    base_path = "/toy"
    error_body = ErrorBody

    def routes(self) -> Sequence[DialectRoute]:
        return (
            GenerationRoute(
                path="/toy/say",
                name="toy_say",
                summary="Say it",
                body=Body,
                requests=self.requests,
                encoder=self.encoder,
                body_examples={
                    "stream": {"say": "hi"},
                    "whole": {"say": "hi", "whole": True},
                },
            ),
            PlainRoute(path="/toy/models", name="toy_models", summary="List", respond=self.listed),
        )

    def requests(self, body: Body, call: Call) -> Sequence[GenerateRequest]:
        return [GenerateRequest(prompt=body.say)]

    def encoder(self, body: Body, call: Call) -> Encoder:
        return TextEncoder() if body.whole else LinesEncoder()

    async def listed(self, call: Call) -> WholeResponse:
        return WholeResponse.of([spec.id for spec in await call.service.models()])

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        return WholeResponse.of(ErrorBody(wrong=error.message), status)


class ToyRoutes:
    """A page for everybody and a list for those with a key."""

    @hookimpl
    def modeld_register_routes(self, service: ModelService) -> list[Any]:
        self.service = service
        return [
            Route("/toy/list", self.listed, methods=["GET"]),
            PublicRoute(Route("/toy/page", self.page, methods=["GET"])),
        ]

    async def listed(self, request: Request) -> Response:
        return JSONResponse([spec.id for spec in await self.service.models()])

    async def page(self, request: Request) -> Response:
        return PlainTextResponse("hello")


def of_dialect(kind: type[Dialect]) -> Callable[[], Contract]:
    class Plugin:
        @hookimpl
        def modeld_register_dialects(self) -> list[Dialect]:
            return [kind()]

    def make() -> Contract:
        contract = DialectContract()
        contract.plugin = Plugin
        return contract

    return make


def of_routes(kind: type) -> Callable[[], Contract]:
    def make() -> Contract:
        contract = RoutesContract()
        contract.plugin = kind
        contract.quick_s = 0.05
        contract.leaving_s = 1.0
        return contract

    return make


RIGHT = {"dialect": of_dialect(ToyDialect), "routes": of_routes(ToyRoutes)}


def fails(check: str) -> Callable[[type], type]:
    """Note which check must find the mutant, and only that."""

    def note(mutant: Any) -> type:
        make = of_dialect if issubclass(mutant, Dialect) else of_routes
        MUTANTS.append((mutant.__name__, make(mutant), check))
        return mutant  # type: ignore[no-any-return]

    return note


def first_route(dialect: Any, **changes: Any) -> list[DialectRoute]:
    """Return the dialect's routes, the first of them changed."""
    first, *others = ToyDialect.routes(dialect)
    return [
        type(first)(**{name: getattr(first, name) for name in _names(first)} | changes),
        *others,
    ]


def _names(route: Any) -> list[str]:
    return list(route.__dataclass_fields__)


# Dialects.


@fails("test_it_brings_dialects")
class EndsWithASlash(ToyDialect):
    prefixes = ("/toy/",)


@fails("test_it_brings_dialects")
class NoErrorBody(ToyDialect):
    error_body = None  # type: ignore[assignment]  # that is the fault


@fails("test_routes_can_be_told_apart")
class NoSummary(ToyDialect):
    def routes(self) -> Sequence[DialectRoute]:
        return first_route(self, summary=" ")


@fails("test_errors_are_as_it_declares_them")
class HidesFaults(ToyDialect):
    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        shown = "something is wrong" if error.code == "internal_error" else error.message
        return WholeResponse.of(ErrorBody(wrong=shown), status)


@fails("test_errors_are_as_it_declares_them")
class ErrorsAreFine(ToyDialect):
    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        is_one = error.code == "template_error"
        return WholeResponse.of(ErrorBody(wrong=error.message), 200 if is_one else status)


@fails("test_examples_are_served")
class WrongExample(ToyDialect):
    def routes(self) -> Sequence[DialectRoute]:
        return first_route(self, body_examples={"old": {"text": "hi"}})


class Cutting(LinesEncoder):
    def piece(self, index: int, piece: Piece) -> bytes:
        return super().piece(index, piece)[:4] + b"\n"


@fails("test_what_was_generated_is_in_the_response")
class CutsTexts(ToyDialect):
    def encoder(self, body: Body, call: Call) -> Encoder:
        return TextEncoder() if body.whole else Cutting()


class Remembering(LinesEncoder):
    said = b""

    def piece(self, index: int, piece: Piece) -> bytes:
        self.said += super().piece(index, piece)
        return self.said


@fails("test_what_was_generated_is_in_the_response")
class OneEncoderForAll(ToyDialect):
    shared = Remembering()

    def encoder(self, body: Body, call: Call) -> Encoder:
        return TextEncoder() if body.whole else self.shared


class Silent(LinesEncoder):
    def failure(self, error: ModeldError, status: int) -> bytes:
        return b"(end)\n"


@fails("test_a_failure_in_the_middle_is_told")
class SilentFailure(ToyDialect):
    def encoder(self, body: Body, call: Call) -> Encoder:
        return TextEncoder() if body.whole else Silent()


class AnyBody(Body):
    model_config = ConfigDict(extra="ignore")

    say: str = ""


@fails("test_wrong_bodies_are_refused_as_it_declares")
class TakesAnything(ToyDialect):
    def routes(self) -> Sequence[DialectRoute]:
        return first_route(self, body=AnyBody)


@fails("test_reads_load_nothing")
class LoadsToList(ToyDialect):
    async def listed(self, call: Call) -> WholeResponse:
        await call.service.load("a")
        return await super().listed(call)


# Routes.


@fails("test_it_brings_routes")
class NoSlash(ToyRoutes):
    @hookimpl
    def modeld_register_routes(self, service: ModelService) -> list[Any]:
        return [*super().modeld_register_routes(service), "toy/other"]


@fails("test_its_routes_fit_beside_the_others")
class TakesModels(ToyRoutes):
    @hookimpl
    def modeld_register_routes(self, service: ModelService) -> list[Any]:
        taken = Route("/models", self.page, methods=["GET"])
        return [*super().modeld_register_routes(service), taken]


@fails("test_reads_load_nothing")
class LoadsToShow(ToyRoutes):
    async def listed(self, request: Request) -> Response:
        await self.service.load("little.gguf")
        return await super().listed(request)


@fails("test_reads_are_served")
class AlwaysFails(ToyRoutes):
    async def listed(self, request: Request) -> Response:
        raise KeyError("models")


@fails("test_only_public_routes_are_open")
class AsksForAKey(ToyRoutes):
    async def page(self, request: Request) -> Response:
        return PlainTextResponse("who are you?", status_code=401)


@fails("test_a_service_in_trouble_is_no_fault_of_theirs")
class TrustsTheService(ToyRoutes):
    async def listed(self, request: Request) -> Response:
        try:
            return await super().listed(request)
        except ModeldError as exc:
            raise KeyError("models") from exc


@fails("test_clients_may_leave")
class WaitsForNobody(ToyRoutes):
    """Never ends once nobody is there."""

    async def listed(self, request: Request) -> Response:
        for _ in range(3):
            if await request.is_disconnected():
                await asyncio.Event().wait()
        return await super().listed(request)


@fails("test_public_routes_need_no_service")
class StartsForThePage(ToyRoutes):
    async def page(self, request: Request) -> Response:
        await self.service.start()
        return await super().page(request)


@fails("test_the_loop_goes_on")
class BlocksTheLoop(ToyRoutes):
    async def listed(self, request: Request) -> Response:
        time.sleep(0.06)  # noqa: ASYNC251  (that is the fault)
        return await super().listed(request)


@fails("test_nothing_is_left_of_an_application")
class BeginsAThread(ToyRoutes):
    async def listed(self, request: Request) -> Response:
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        return await super().listed(request)
