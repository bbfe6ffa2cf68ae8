# SPDX-License-Identifier: GPL-3.0-only
"""A small wire format of a plugin gets all that is hard about serving from the kit."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from modeld import Done, FinishReason, GenerateRequest, Settings, Token, Usage
from modeld.dialects import (
    BodyRoute,
    Call,
    Dialect,
    DialectRoute,
    GenerationRoute,
    Load,
    PlainRoute,
    StreamEncoder,
    UnaryRoute,
    Unload,
    Wanted,
    WholeEncoder,
    WholeResponse,
    retry_headers,
)
from modeld.dialects.body import Strict
from modeld.dialects.documents import Parameter
from modeld.errors import ConfigurationError, ModeldError, QueueFullError, WorkerCrashedError
from modeld.messages import Message, ToolCall
from modeld.requests import AnyUnaryRequest, ApplyTemplateRequest, TokenizeRequest
from modeld.responses import (
    AnyUnaryResponse,
    Chunk,
    Piece,
    ReasoningToken,
    TextResponse,
    TokenizeResponse,
    ToolCallDelta,
)
from modeld.values import ModelSpec
from tests.support.http.fake_service import (
    FakePlugin,
    FakeService,
    app_of,
    ask,
    client_of,
    make_app,
)

END = Done(finish_reason=FinishReason.STOP, usage=Usage(completion_tokens=2))


class Text(Strict):
    text: str
    count: int = 1
    timeout_s: float | None = None
    stream: bool = True
    model: str | None = None


class Oops(BaseModel):
    """How an error looks."""

    oops: str


class Lines(StreamEncoder):
    media_type = "text/plain"

    def __init__(self, model: str) -> None:
        self.model = model
        self.headers = {"X-Served-By": f"{model}!"}

    def piece(self, index: int, piece: Piece) -> bytes:
        text = piece.arguments if isinstance(piece, ToolCallDelta) else piece.text
        return f"{index}:{type(piece).__name__}:{text}\n".encode()

    def done(self, index: int, done: Done) -> bytes:
        return f"{index} {done.finish_reason}\n".encode()

    def last(self) -> bytes:
        return f"end of {self.model}\n".encode()

    def failure(self, error: ModeldError, status: int) -> bytes:
        return f"oops {error.code} {status}\n".encode()


class AllLines(WholeEncoder):
    media_type = "text/plain"
    headers = {"X-Served-By": "all"}

    def whole(self, generations: Sequence[Done]) -> bytes:
        wanted = [(g.content, g.reasoning, g.tool_calls) for g in generations]
        return repr(wanted).encode()


class Noted(WholeEncoder):
    media_type = "text/plain"

    def __init__(self) -> None:
        self.noted: list[str] = []

    def note(self, index: int, piece: Piece) -> None:
        self.noted.append(f"{index}:{type(piece).__name__}")

    def whole(self, generations: Sequence[Done]) -> bytes:
        return " ".join(self.noted).encode()


class Toy(Dialect):
    name = "toy"
    prefixes = ("/toy",)
    error_body = Oops

    def routes(self) -> Sequence[DialectRoute]:
        return (
            GenerationRoute(
                path="/toy/text",
                name="toy_text",
                summary="Go on",
                body=Text,
                requests=self.requests,
                encoder=lambda body, call: Lines(call.model) if body.stream else AllLines(),
            ),
            UnaryRoute(
                path="/toy/tokens",
                name="toy_tokens",
                summary="Count",
                body=Text,
                requests=lambda body, _call: [TokenizeRequest(text=body.text)] * body.count,
                respond=self.counted,
            ),
            UnaryRoute(
                path="/toy/twice",
                name="toy_twice",
                summary="Count what a template makes",
                body=Text,
                requests=lambda body, _call: [
                    ApplyTemplateRequest(messages=(Message(role="user", content=body.text),))
                ],
                then=self.counting,
                respond=self.counted,
            ),
            GenerationRoute(
                path="/toy/moves",
                name="toy_moves",
                summary="Go on, or bring a model into memory or take it out",
                body=Text,
                requests=self.moves,
                encoder=lambda _body, _call: Noted(),
            ),
            UnaryRoute(
                path="/toy/unary_moves",
                name="toy_unary_moves",
                summary="Bring a model into memory",
                body=Text,
                requests=lambda body, _call: Load(
                    model=body.text, respond=self.moved, keep_alive_s=60
                ),
                respond=self.counted,
            ),
            BodyRoute(
                path="/toy/upper",
                name="toy_upper",
                summary="Say it louder",
                body=Text,
                respond=self.upper,
            ),
            PlainRoute(
                path="/toy/models/{id}",
                parameters=(Parameter(name="q", location="query", description="anything"),),
                name="toy_model",
                summary="One model",
                respond=self.model,
            ),
        )

    def requests(self, body: Text, call: Call) -> list[GenerateRequest]:
        if body.text == "refuse":
            raise QueueFullError("too many", retry_after_s=7)
        return [GenerateRequest(model=body.model or "", prompt=body.text)] * body.count

    async def moves(self, body: Text, call: Call) -> Wanted[GenerateRequest]:
        named = [spec.id for spec in await call.service.models() if spec.name == body.model]
        model = named[0] if named else ""
        match body.text:
            case "load":
                return Load(model=model, respond=self.moved, timeout_s=body.timeout_s)
            case "unload":
                return Unload(model=model, respond=self.moved)
            case text:
                return [GenerateRequest(model=model, prompt=text)]

    def moved(self, call: Call) -> WholeResponse:
        return WholeResponse.of({"moved": call.model})

    async def upper(self, body: Text, _call: Call) -> WholeResponse:
        return WholeResponse.of({"text": body.text.upper()})

    def counting(
        self, body: Text, _call: Call, texts: Sequence[AnyUnaryResponse]
    ) -> list[TokenizeRequest] | None:
        if body.text == "once":
            return None
        return [TokenizeRequest(text=each.text) for each in texts if isinstance(each, TextResponse)]

    async def counted(
        self, body: Text, _call: Call, responses: Sequence[AnyUnaryResponse]
    ) -> WholeResponse:
        return WholeResponse.of(
            [len(each.ids) if isinstance(each, TokenizeResponse) else "text" for each in responses]
        )

    async def model(self, call: Call) -> WholeResponse:
        return WholeResponse.of(
            {"id": call.path["id"], "q": call.query.get("q"), "h": call.headers["x-h"]}
        )

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        assert request_id
        if error.message == "the dialect breaks":
            raise ZeroDivisionError
        content = {"oops": error.code}
        return WholeResponse(
            pieces=(json.dumps(content).encode(),), status=status, headers=retry_headers(error)
        )


class Inner(Toy):
    name = "inner"
    prefixes = ("/toy/inner",)

    def routes(self) -> Sequence[DialectRoute]:
        return ()

    def error(self, error: ModeldError, status: int, request_id: str) -> WholeResponse:
        return WholeResponse.of({"oops": f"inner {error.code}"}, 599 if status == 429 else status)


class Counting(FakeService):
    """Makes a text of a chat, and as many tokens of a text as it has characters."""

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        await super().submit(request)
        if isinstance(request, TokenizeRequest):
            return TokenizeResponse(ids=tuple(range(len(request.text))))
        assert isinstance(request, ApplyTemplateRequest)
        return TextResponse(text=f"<{request.messages[0].text}>")


class Together(FakeService):
    """Begins a generation only when all are asked for."""

    def __init__(self, count: int) -> None:
        super().__init__(Token(text="a"), Token(text="b"), END)
        self._barrier = asyncio.Barrier(count)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        async with asyncio.timeout(10):
            await self._barrier.wait()
        async for chunk in super().generate(request):
            yield chunk


def posted(path: str) -> dict[str, Any]:
    """Return the scope of a request with a body."""
    headers = [(b"content-type", b"application/json"), (b"host", b"testserver")]
    return {
        "type": "http", "method": "POST", "path": path, "query_string": b"",
        "headers": headers, "root_path": "",
    }  # fmt: skip


async def sent_to_nobody(_message: Any) -> None:
    pass


def post(service: FakeService, path: str = "/toy/text", **body: Any) -> Any:
    return ask(make_app(service, dialects=[Toy()]), "POST", path, json={"text": "hi", **body})


def test_pieces_of_all_kinds_are_streamed_and_the_end_follows() -> None:
    service = FakeService(
        ReasoningToken(text="hm"), Token(text="a"), ToolCallDelta(index=0, name="f"), END
    )
    service.default = "m"
    response = post(service)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["x-served-by"] == "m!"
    assert response.text.splitlines() == [
        "0:ReasoningToken:hm", "0:Token:a", "0:ToolCallDelta:", "0 stop", "end of m",
    ]  # fmt: skip
    assert service.ends == ["done"]


def test_a_whole_response_has_all_that_the_pieces_had() -> None:
    service = FakeService(
        ReasoningToken(text="hm"),
        Token(text="a"),
        Token(text="b"),
        ToolCallDelta(index=0, id="1", name="f", arguments="{"),
        ToolCallDelta(index=0, arguments="}"),
        END,
    )
    response = post(service, stream=False)
    call = ToolCall(id="1", name="f", arguments="{}")
    assert response.text == repr([("ab", "hm", (call,))])
    assert response.headers["x-served-by"] == "all"


def test_an_encoder_of_the_whole_is_told_of_each_piece_as_it_comes() -> None:
    service = FakeService(ReasoningToken(text="hm"), Token(text="a"), END)
    assert post(service, "/toy/moves").text == "0:ReasoningToken 0:Token"


@pytest.mark.parametrize("stream", [True, False])
def test_several_generations_of_one_request_are_served_at_once(stream: bool) -> None:
    async def go() -> None:
        service = Together(3)
        app = make_app(service, dialects=[Toy()])
        async with client_of(app) as client:
            body = {"text": "hi", "count": 3, "stream": stream}
            response = await client.post("/toy/text", json=body)
        if stream:
            lines = response.text.splitlines()
            for index in range(3):
                mine = [line for line in lines if line[0] == str(index)]
                assert mine == [f"{index}:Token:a", f"{index}:Token:b", f"{index} stop"]
            assert lines[-1] == "end of "
        else:
            assert response.text == repr([("ab", "", ())] * 3)
        assert service.ends == ["done"] * 3

    asyncio.run(go())


def test_the_first_of_several_that_fails_ends_all() -> None:
    class Mixed(FakeService):
        async def generate(self, request: GenerateRequest) -> Any:
            first = not self.requests
            self.requests.append(request)
            try:
                if first:
                    raise WorkerCrashedError("gone")
                await asyncio.Event().wait()
                yield END
            finally:
                self.ends.append("failed" if first else "left")

    service = Mixed()
    response = post(service, count=3)
    assert (response.status_code, response.json()) == (503, {"oops": "worker_crashed"})
    assert sorted(service.ends) == ["failed", "left", "left"]


def test_a_late_failure_is_the_dialects_own() -> None:
    response = post(FakeService(Token(text="a"), WorkerCrashedError("gone")))
    assert response.text.splitlines() == ["0:Token:a", "oops worker_crashed 503"]


def test_a_generation_without_an_end_is_a_failure() -> None:
    assert post(FakeService(Token(text="a"))).text.splitlines()[-1] == "oops internal_error 500"


def test_unary_requests_of_one_body_are_served_at_once_and_replied_in_order() -> None:
    service = FakeService()
    service.unary_response = TokenizeResponse(ids=(1, 2))
    assert post(service, "/toy/tokens", count=2).json() == [2, 2]
    assert len(service.unary_requests) == 2


def test_unary_requests_can_be_made_of_the_responses_to_others() -> None:
    service = Counting()
    assert post(service, "/toy/twice", text="abc").json() == [5]
    first, second = service.unary_requests
    assert isinstance(first, ApplyTemplateRequest)
    assert second == TokenizeRequest(text="<abc>", request_id=first.request_id)
    assert first.request_id


def test_the_first_responses_count_where_no_request_is_made_of_them() -> None:
    service = Counting()
    assert post(service, "/toy/twice", text="once").json() == ["text"]
    assert len(service.unary_requests) == 1


def test_a_response_of_another_kind_is_refused() -> None:
    service = FakeService()
    service.unary_response = TextResponse(text="")
    response = post(service, "/toy/tokens")
    assert (response.status_code, response.json()) == (500, {"oops": "internal_error"})


def test_one_of_several_unary_requests_that_fails_fails_all() -> None:
    service = FakeService()
    service.unary_response = WorkerCrashedError("gone")
    response = post(service, "/toy/tokens", count=2)
    assert (response.status_code, response.json()) == (503, {"oops": "worker_crashed"})


M1 = ModelSpec(id="m1", name="alias", path="/m1")


def test_what_a_body_asks_for_may_depend_on_what_the_service_knows() -> None:
    service = FakeService(models=[M1])
    assert post(service, "/toy/moves", model="alias").status_code == 200
    assert [each.model for each in service.requests] == ["m1"]


@pytest.mark.parametrize("move", ["load", "unload"])
def test_a_body_may_ask_for_a_model_to_come_or_to_leave(move: str) -> None:
    service = FakeService(models=[M1])
    response = post(service, "/toy/moves", text=move, model="alias")
    assert response.json() == {"moved": "m1"}
    assert service.calls[1] == f"{move} m1"
    assert not service.requests
    missing = post(FakeService(), "/toy/moves", text=move, model="none")
    assert (missing.status_code, missing.json()) == (404, {"oops": "model_not_found"})


def test_a_route_for_unary_requests_may_load_a_model_too() -> None:
    service = FakeService(models=[M1])
    assert post(service, "/toy/unary_moves", text="m1").json() == {"moved": "m1"}
    assert service.calls[1] == "load m1 for 60"


def test_a_load_is_given_up_when_its_time_is_over() -> None:
    service = FakeService(models=[M1])
    service.load_gate = asyncio.Event()
    response = post(service, "/toy/moves", text="load", model="alias", timeout_s=0.01)
    assert (response.status_code, response.json()) == (504, {"oops": "request_timeout"})
    assert service.calls[1:3] == ["load m1", "gave up m1"]


def test_a_client_that_leaves_gives_up_its_load() -> None:
    async def go() -> None:
        service = FakeService(models=[M1])
        service.load_gate = asyncio.Event()
        app = make_app(service, dialects=[Toy()])
        body = b'{"text": "load", "model": "alias"}'
        first = True

        async def receive() -> dict[str, Any]:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": body}
            await service.begun.wait()
            return {"type": "http.disconnect"}

        await app(posted("/toy/moves"), receive, sent_to_nobody)
        assert service.calls[1:] == ["load m1", "gave up m1"]
        await app.aclose()

    asyncio.run(go())


def test_a_route_with_a_body_needs_no_model() -> None:
    service = FakeService()
    assert post(service, "/toy/upper").json() == {"text": "HI"}
    wrong = post(service, "/toy/upper", text=3)
    assert (wrong.status_code, wrong.json()) == (400, {"oops": "invalid_request"})
    assert not service.requests


def test_a_plain_route_knows_its_address() -> None:
    app = make_app(FakeService(), dialects=[Toy()])
    response = ask(app, "GET", "/toy/models/a/b?q=1", headers={"X-H": "yes"})
    assert response.json() == {"id": "a/b", "q": "1", "h": "yes"}


@pytest.mark.parametrize("count", [0, 129])
def test_a_dialect_that_makes_no_request_or_too_many_is_at_fault(count: int) -> None:
    assert post(FakeService(), count=count).status_code == 500


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/toy/nothing", 404, "not_found"),
        ("GET", "/toy", 404, "not_found"),
        ("GET", "/toy/text", 405, "method_not_allowed"),
        ("POST", "/toy/text", 415, "unsupported_media_type"),
    ],
)
def test_what_the_gate_refuses_looks_as_the_dialect_has_it(
    method: str, path: str, status: int, code: str
) -> None:
    response = ask(make_app(FakeService(), dialects=[Toy()]), method, path)
    assert (response.status_code, response.json()) == (status, {"oops": code})


@pytest.mark.parametrize("dialects", [(Toy, Inner), (Inner, Toy)])
def test_below_two_prefixes_the_longer_one_counts(dialects: tuple[type[Toy], ...]) -> None:
    for path, code in (("/toy/inner/x", "inner not_found"), ("/toy/x", "not_found")):
        app = make_app(FakeService(), dialects=[each() for each in dialects])
        assert ask(app, "GET", path).json() == {"oops": code}


def test_other_addresses_keep_the_native_errors() -> None:
    response = ask(make_app(FakeService(), dialects=[Toy()]), "GET", "/toys")
    assert response.json()["reason"] == "not_found"


def test_a_wrong_field_is_refused_by_name_and_when_to_try_again_is_told() -> None:
    assert post(FakeService(), text=3).json() == {"oops": "invalid_request"}
    response = post(FakeService(), text="refuse")
    assert (response.status_code, response.headers["retry-after"]) == (429, "7")


def test_a_dialect_that_cannot_tell_an_error_does_not_hide_it() -> None:
    response = post(FakeService(WorkerCrashedError("the dialect breaks")))
    assert (response.status_code, response.json()["error"]) == (503, "the dialect breaks")


def test_two_dialects_cannot_have_one_address() -> None:
    class Other(Toy):
        name = "other"

    with pytest.raises(ConfigurationError, match="'toy' and 'other' both bring POST /toy/text"):
        make_app(FakeService(), dialects=[Toy(), Other()])


def test_what_is_no_dialect_leaves_its_plugin_out() -> None:
    plugin = FakePlugin(FakeService(), dialects=["no"])  # type: ignore[list-item]
    app = app_of(plugin)
    (status,) = [each for each in app.plugins.statuses() if each.name == "fake"]
    assert status.state == "active"
    assert status.reason is not None
    assert "Dialect" in status.reason


def test_the_document_has_the_routes_and_the_errors_of_a_dialect() -> None:
    app = make_app(FakeService(), Settings(), dialects=[Toy()])
    document = ask(app, "GET", "/openapi.json").json()
    row = document["paths"]["/toy/text"]["post"]
    assert row["tags"] == ["toy"]
    assert {"name": "toy", "description": "The dialect `toy`."} in document["tags"]
    reference = row["responses"]["400"]["$ref"].rpartition("/")[2]
    (content,) = document["components"]["responses"][reference]["content"].values()
    assert content["schema"] == {"$ref": "#/components/schemas/Oops"}
    assert content["examples"]["invalid_request"]["value"] == {"oops": "invalid_request"}
    assert document["components"]["schemas"]["Oops"]["properties"] == {"oops": {"type": "string"}}


def test_the_document_has_the_statuses_that_a_dialect_gives_its_errors() -> None:
    class Other(Inner):
        def routes(self) -> Sequence[DialectRoute]:
            route, *_ = Toy.routes(self)
            return (dataclasses.replace(route, path="/inner", raises=(QueueFullError,)),)

    app = make_app(FakeService(), dialects=[Other()])
    responses = ask(app, "GET", "/openapi.json").json()["paths"]["/inner"]["post"]["responses"]
    assert "599" in responses
    assert "429" not in responses


def test_a_client_that_leaves_frees_all_generations() -> None:
    async def go() -> None:
        service = FakeService(Token(text="a"), asyncio.Event())
        app = make_app(service, dialects=[Toy()])
        left = asyncio.Event()
        first = True

        async def receive() -> dict[str, Any]:
            nonlocal first
            if first:
                first = False
                return {"type": "http.request", "body": b'{"text": "hi", "count": 2}'}
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.body":
                left.set()

        await app(posted("/toy/text"), receive, send)
        assert service.ends == ["left", "left"]
        await app.aclose()

    asyncio.run(go())
