# SPDX-License-Identifier: GPL-3.0-only
"""Serves the routes of dialects: a dialect is data, and this is the code that serves it."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import isawaitable
from typing import Any, Final, assert_never

from msgspec.structs import replace
from starlette.datastructures import QueryParams
from starlette.types import ASGIApp, Receive, Scope, Send

from modeld.deadline import within
from modeld.dialects import (
    BodyRoute,
    Call,
    DialectRoute,
    Encoder,
    GenerationRoute,
    Load,
    PlainRoute,
    UnaryRoute,
    Unload,
    Wanted,
)
from modeld.errors import InternalError
from modeld.httpapi.exchange.disconnect import run_guarded, watch_client
from modeld.httpapi.exchange.exchange import Exchange, exchange_of
from modeld.httpapi.exchange.reading.json_body import read_body
from modeld.httpapi.exchange.writing.contained_encoder import ContainedEncoder, contained
from modeld.httpapi.exchange.writing.formatted import FormattedStream, FormattedWhole
from modeld.httpapi.exchange.writing.sending import send_whole
from modeld.httpapi.exchange.writing.streaming import Delivery
from modeld.interfaces import ModelService, PluginKind
from modeld.plugins.faults import NoteFault, only_logged
from modeld.requests import AnyUnaryRequest
from modeld.responses import (
    RESPONSES,
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)
from modeld.settings import Settings

MOST_AT_ONCE: Final = 128
"""How many requests for a model one HTTP request may make."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What the endpoints of all dialects share.

    ``salt`` makes the salt of a request from its own and from who has sent it, ``caller`` returns
    what tells who that is from others, and ``note`` takes down what plugins do wrong.
    ``default_model`` returns the one that the settings name now.
    """

    service: ModelService
    settings: Settings
    salt: Callable[[Scope, str], str]
    caller: Callable[[Scope], str]
    default_model: Callable[[], str]
    note: NoteFault = only_logged


class GenerationEndpoint:
    """Serves a :class:`~modeld.dialects.GenerationRoute` as an ASGI application."""

    def __init__(self, route: GenerationRoute[Any], kit: Kit, dialect: str) -> None:
        self._route = route
        self._kit = kit
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        kit, exchange = self._kit, exchange_of(scope)
        body, call, wanted = await _asked(self._route, kit, scope, receive)
        if isinstance(wanted, Load | Unload):
            await _move(wanted, call, receive, send)
            return
        requests = [
            replace(
                each,
                request_id=exchange.request_id,
                cache_salt=kit.salt(scope, each.cache_salt),
            )
            for each in wanted
        ]
        encoder = self._contained(self._route.encoder(body, call))
        delivery = Delivery(exchange, encoder, send, write_timeout_s=kit.settings.write_timeout_s)
        if len(requests) == 1:
            generations = [kit.service.generate_to(requests[0], delivery.take)]
        else:  # they are merged, and none may write past the others
            generations = [kit.service.generate_placed(each) for each in requests]
        await delivery.run(generations, receive, requests[0].timeout_s)

    def _contained(self, encoder: Encoder) -> ContainedEncoder:
        """Return an encoder whose faults are those of the plugin that has written it."""
        kind: PluginKind = "dialect"
        name = self._dialect
        if isinstance(encoder, FormattedStream | FormattedWhole):
            kind, name = "formatter", encoder.name
        return contained(
            encoder, f"{kind} {name!r}: its encoder", partial(self._kit.note, kind, name)
        )


class UnaryEndpoint:
    """Serves a :class:`~modeld.dialects.UnaryRoute` as an ASGI application."""

    def __init__(self, route: UnaryRoute[Any], kit: Kit) -> None:
        self._route = route
        self._kit = kit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, while its client is there and within the request's own time."""
        exchange = exchange_of(scope)
        body, call, wanted = await _asked(self._route, self._kit, scope, receive)
        if isinstance(wanted, Load | Unload):
            await _move(wanted, call, receive, send)
            return
        work = self._worked(body, call, wanted, exchange)
        responses = await run_guarded(work, watch_client(receive))
        for response in responses:
            exchange.note_response(_numbers_of(response))
        await send_whole(await self._route.respond(body, call, responses), send)

    async def _worked(
        self, body: Any, call: Call, requests: Sequence[AnyUnaryRequest], exchange: Exchange
    ) -> list[AnyUnaryResponse]:
        """Return the responses to all requests, or to those that are made of the first ones."""
        service, then = self._kit.service, self._route.then
        async with within(requests[0].timeout_s):
            responses = await _submitted(service, requests, exchange)
            following = None if then is None else then(body, call, responses)
            if following is None:
                return responses
            return await _submitted(service, following, exchange)


class PlainEndpoint:
    """Serves a :class:`~modeld.dialects.PlainRoute` as an ASGI application."""

    def __init__(self, route: PlainRoute, kit: Kit) -> None:
        self._route = route
        self._kit = kit

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Serve one request."""
        await send_whole(await self._route.respond(call_of(scope, self._kit)), send)


class BodyEndpoint:
    """Serves a :class:`~modeld.dialects.BodyRoute` as an ASGI application."""

    def __init__(self, route: BodyRoute[Any], kit: Kit) -> None:
        self._route = route
        self._kit = kit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        kit = self._kit
        body = await read_body(self._route.body, scope, receive, kit.settings.max_body_bytes)
        await send_whole(await self._route.respond(body, call_of(scope, kit)), send)


def endpoint_of(route: DialectRoute, kit: Kit, dialect: str) -> ASGIApp:
    """Return what serves a route of a dialect."""
    match route:
        case GenerationRoute():
            return GenerationEndpoint(route, kit, dialect)
        case UnaryRoute():
            return UnaryEndpoint(route, kit)
        case PlainRoute():
            return PlainEndpoint(route, kit)
        case BodyRoute():
            return BodyEndpoint(route, kit)


def call_of(scope: Scope, kit: Kit) -> Call:
    """Return what a dialect may know of a request."""
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query = scope["query_string"]
    return Call(
        request_id=exchange_of(scope).request_id,
        created_unix=int(time.time()),
        begun_s=time.monotonic(),
        headers=headers,
        query=dict(QueryParams(query)) if query else {},
        path=scope.get("path_params", {}),
        service=kit.service,
        caller=kit.caller(scope),
    )


async def _asked(
    route: GenerationRoute[Any] | UnaryRoute[Any], kit: Kit, scope: Scope, receive: Receive
) -> tuple[Any, Call, Wanted[Any]]:
    """Return the body of a request, what is known of it, and what it asks for.

    That names one model or none, and the model is noted for the logs.
    """
    body = await read_body(route.body, scope, receive, kit.settings.max_body_bytes)
    call = call_of(scope, kit)
    made: Any = route.requests(body, call)
    wanted: Wanted[Any] = await made if isawaitable(made) else made
    if isinstance(wanted, Load | Unload):
        model = wanted.model
    elif 0 < len(wanted) <= MOST_AT_ONCE:
        model = wanted[0].model
    else:
        raise InternalError(f"a dialect has made {len(wanted)} requests of one")
    model = model or kit.default_model() or await kit.service.default_model()
    exchange_of(scope).model = model
    return body, dataclasses.replace(call, model=model), wanted


async def _move(wanted: Load | Unload, call: Call, receive: Receive, send: Send) -> None:
    """Bring a model into memory or take it out, and respond.

    A client that leaves gives up a load; an unload goes on without it: that frees, not takes.
    """
    async with within(wanted.timeout_s):
        match wanted:
            case Load():
                load = call.service.load(
                    call.model, keep_alive_s=wanted.keep_alive_s, fit=wanted.fit
                )
                await run_guarded(load, watch_client(receive))
            case Unload():
                await call.service.unload(call.model)
            case _:
                assert_never(wanted)
    await send_whole(wanted.respond(call), send)


async def _submitted(
    service: ModelService, requests: Sequence[AnyUnaryRequest], exchange: Exchange
) -> list[AnyUnaryResponse]:
    """Return the responses to all requests; the first that fails ends the others."""
    requests = [replace(each, request_id=exchange.request_id) for each in requests]
    if len(requests) == 1:
        return [await _response(service, requests[0], exchange)]
    return await _all(_response(service, each, exchange) for each in requests)


async def _response(
    service: ModelService, request: AnyUnaryRequest, exchange: Exchange
) -> AnyUnaryResponse:
    placed, response = await service.submit_placed(request)
    if placed is not None:
        exchange.note_placed(placed)
    if not isinstance(response, RESPONSES[type(request)]):
        raise InternalError(f"the service has responded with {type(response).__name__}")
    return response


async def _all(work: Iterable[Coroutine[Any, Any, AnyUnaryResponse]]) -> list[AnyUnaryResponse]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(each) for each in work]
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from failed.exceptions[0].__cause__
    return [task.result() for task in tasks]


def _numbers_of(response: AnyUnaryResponse) -> Mapping[str, object]:
    """Return how much a response has in it, for the log."""
    match response:
        case EmbedResponse(vectors=vectors, usage=usage):
            return {"vectors": len(vectors), "prompt_tokens": usage.prompt_tokens}
        case RerankResponse(scores=scores, usage=usage):
            return {"scores": len(scores), "prompt_tokens": usage.prompt_tokens}
        case TokenizeResponse(ids=ids):
            return {"tokens": len(ids)}
        case TextResponse(text=text):
            return {"characters": len(text)}
        case _:
            assert_never(response)
