# SPDX-License-Identifier: GPL-3.0-only
"""The routes of unary requests, around a service of a plugin."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import operator
import time
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from modeld.errors import (
    ModeldError,
    ModelNotFoundError,
    NotSupportedError,
    PromptTooLongError,
    QueueFullError,
    TemplateError,
)
from modeld.events import HttpRequestFinished
from modeld.httpapi.app import ModeldApp
from modeld.requests import DetokenizeRequest, EmbedRequest, TokenizeRequest
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
    Usage,
)
from modeld.settings import Settings
from tests.support.http.fake_service import (
    FakePlugin,
    FakeService,
    app_of,
    ask,
    client_of,
    make_app,
    problem,
)

USAGE = Usage(prompt_tokens=5)
USAGE_OBJECT = {"prompt_tokens": 5, "total_tokens": 5}
TURN = {"role": "user", "content": "hi"}

# Every route with a body that it takes, and what the service returns that suits it.
ROUTES: dict[str, tuple[dict[str, Any], AnyUnaryResponse]] = {
    "/embed": ({"input": "a"}, EmbedResponse(vectors=((0.5, 1.0),), usage=USAGE)),
    "/rerank": ({"query": "q", "documents": ["a"]}, RerankResponse(scores=(0.5,), usage=USAGE)),
    "/tokenize": ({"content": "a"}, TokenizeResponse(ids=(1,), pieces=(b"a",))),
    "/detokenize": ({"tokens": [1]}, TextResponse(text="a")),
    "/apply-template": ({"messages": [TURN]}, TextResponse(text="a")),
}


def post(path: str, returned: AnyUnaryResponse | Exception, /, **body: Any) -> httpx.Response:
    service = FakeService()
    service.unary_response = returned
    body = {**ROUTES[path][0], **body}
    return ask(make_app(service, Settings(default_model="d")), "POST", path, json=body)


def test_texts_become_vectors() -> None:
    vectors = ((0.25, -1.0), (1e-7, 0.0))
    response = post("/embed", EmbedResponse(vectors=vectors, usage=USAGE), input=["a", "b"])
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"
    assert response.json() == {
        "model": "d",
        "embeddings": [[0.25, -1.0], [1e-7, 0.0]],
        "usage": USAGE_OBJECT,
    }


def test_many_long_vectors_arrive_as_they_were() -> None:
    vectors = tuple(tuple(float(i * j) for j in range(64)) for i in range(100))
    response = post("/embed", EmbedResponse(vectors=vectors, usage=USAGE), input=["a"] * 100)
    assert response.json()["embeddings"] == [list(vector) for vector in vectors]


def test_the_response_names_the_model_that_has_served_it() -> None:
    for path, (_, returned) in ROUTES.items():
        if path in {"/embed", "/rerank"}:
            assert post(path, returned, model="m").json()["model"] == "m"
            assert post(path, returned).json()["model"] == "d"


def test_the_response_names_the_model_that_the_service_has_chosen() -> None:
    for path in ("/embed", "/rerank"):
        service = FakeService()
        body, service.unary_response = ROUTES[path]
        service.default = "the only one"
        response = ask(make_app(service, Settings()), "POST", path, json=body)
        assert response.json()["model"] == "the only one"


def test_documents_come_best_first_and_equals_in_their_order() -> None:
    documents = ["a", "b", "c", "d"]
    returned = RerankResponse(scores=(0.5, 2.0, -1.0, 0.5), usage=USAGE)
    response = post("/rerank", returned, documents=documents, return_documents=True)
    assert response.json() == {
        "model": "d",
        "results": [
            {"index": 1, "score": 2.0, "document": "b"},
            {"index": 0, "score": 0.5, "document": "a"},
            {"index": 3, "score": 0.5, "document": "d"},
            {"index": 2, "score": -1.0, "document": "c"},
        ],
        "usage": USAGE_OBJECT,
    }
    best = post("/rerank", returned, documents=documents, top_n=2).json()["results"]
    assert best == [{"index": 1, "score": 2.0}, {"index": 0, "score": 0.5}]
    assert len(post("/rerank", returned, documents=documents, top_n=9).json()["results"]) == 4


def test_text_becomes_token_ids() -> None:
    assert post("/tokenize", TokenizeResponse(ids=(1, 15), pieces=(b"", b"a"))).json() == {
        "tokens": [1, 15]
    }
    assert post("/tokenize", TokenizeResponse(ids=(), pieces=()), content="").json() == {
        "tokens": []
    }


def test_pieces_are_text_or_the_bytes_of_what_is_no_whole_text() -> None:
    pieces = (b"a", "é".encode(), b"\xf0\x9f", b"")
    returned = TokenizeResponse(ids=(5, 6, 7, 8), pieces=pieces)
    assert post("/tokenize", returned, with_pieces=True).json() == {
        "tokens": [
            {"id": 5, "piece": "a"},
            {"id": 6, "piece": "é"},
            {"id": 7, "piece": [240, 159]},
            {"id": 8, "piece": ""},
        ]
    }
    none = post("/tokenize", TokenizeResponse(ids=(), pieces=()), with_pieces=True)
    assert none.json() == {"tokens": []}


@pytest.mark.parametrize("wanted", [None, False, True])
def test_the_engine_is_asked_for_pieces_only_where_the_client_asks(wanted: bool | None) -> None:
    service = FakeService()
    service.unary_response = TokenizeResponse(ids=(), pieces=())
    body = {"content": "", "with_pieces": wanted}
    ask(make_app(service), "POST", "/tokenize", json=body)
    [unary_request] = service.unary_requests
    assert isinstance(unary_request, TokenizeRequest)
    assert unary_request.with_pieces is (wanted is True)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/embed", "vectors=1 prompt_tokens=5"),
        ("/rerank", "scores=1 prompt_tokens=5"),
        ("/tokenize", "tokens=1"),
        ("/detokenize", "characters=1"),
        ("/apply-template", "characters=1"),
    ],
)
def test_a_request_can_have_the_numbers_of_its_response_logged(
    path: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    body, returned = ROUTES[path]
    headers = {"x-log-infer": "1"}
    with caplog.at_level(logging.INFO, logger="modeld.access"):
        ask(returning(returned), "POST", path, json={**body, "model": "m"}, headers=headers)
    lines = [record.getMessage() for record in caplog.records if record.name == "modeld.access"]
    assert [line.partition(" id=")[0] for line in lines[:1]] == [f"response {said}"]
    assert len(lines) == 2


def test_tokens_become_text() -> None:
    assert post("/detokenize", TextResponse(text="é\u2028")).json() == {"content": "é\u2028"}


def test_a_chat_becomes_a_prompt() -> None:
    assert post("/apply-template", TextResponse(text="<s>hi")).json() == {"prompt": "<s>hi"}


@pytest.mark.parametrize("path", ROUTES)
def test_the_service_is_asked_under_the_id_of_the_exchange(path: str) -> None:
    service = FakeService()
    body, service.unary_response = ROUTES[path]
    response = ask(
        make_app(service), "POST", path, json={**body, "model": "m"}, headers={"x-request-id": "r"}
    )
    assert (response.status_code, response.headers["x-request-id"]) == (200, "r")
    [unary_request] = service.unary_requests
    assert (unary_request.request_id, unary_request.model) == ("r", "m")
    assert service.calls[0] == "start"


def test_what_is_left_out_has_the_values_defaults() -> None:
    for path, unary_request in (
        ("/embed", EmbedRequest(inputs=("a",), request_id="r")),
        ("/tokenize", TokenizeRequest(text="a", request_id="r")),
        ("/detokenize", DetokenizeRequest(tokens=(1,), request_id="r")),
    ):
        service = FakeService()
        body, service.unary_response = ROUTES[path]
        ask(make_app(service), "POST", path, json=body, headers={"x-request-id": "r"})
        assert service.unary_requests == [unary_request]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotSupportedError("the model has no response to it"), 400),
        (TemplateError("there is none"), 400),
        (ModelNotFoundError("no model 'x'", field="model"), 404),
        (PromptTooLongError("9 tokens are more than 8", field="input"), 422),
        (QueueFullError("full", retry_after_s=2), 429),
    ],
)
def test_an_error_looks_as_everywhere(path: str, error: ModeldError, status: int) -> None:
    response = post(path, error)
    assert response.status_code == status
    assert response.json() == problem(error, status)


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"content": b"{"}, 400, "invalid_json"),
        ({"content": b"[]"}, 400, "invalid_request"),
        ({"content": b"{}"}, 400, "invalid_request"),
        ({"content": b'{"grammar":"x"}'}, 400, "invalid_request"),
        ({"content": b" " * 200}, 413, "body_too_large"),
        ({"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, None),
        ({"content": b"{}", "headers": {"content-encoding": "gzip"}}, 415, None),
    ],
)
def test_a_bad_body_is_refused_and_starts_no_work(
    path: str, request_: dict[str, Any], status: int, reason: str | None
) -> None:
    service = FakeService()
    headers = {"content-type": "application/json", **request_.get("headers", {})}
    app = make_app(service, Settings(max_body_bytes=128))
    response = ask(app, "POST", path, content=request_["content"], headers=headers)
    assert response.status_code == status
    assert response.json()["reason"] == (reason or "unsupported_media_type")
    assert service.unary_requests == []


@pytest.mark.parametrize("path", ROUTES)
def test_only_post_is_taken(path: str) -> None:
    response = ask(make_app(FakeService()), "GET", path)
    assert (response.status_code, response.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("path", ROUTES)
def test_a_unary_request_ends_when_its_own_time_is_over(path: str) -> None:
    async def go() -> None:
        service = FakeService()
        service.unary_gate = asyncio.Event()
        async with client_of(make_app(service)) as client:
            response = await client.post(path, json={**ROUTES[path][0], "timeout_s": 0.01})
        assert response.status_code == 504
        assert response.json()["reason"] == "request_timeout"
        assert response.json()["field"] == "timeout_s"
        assert "0.01" in response.json()["error"]
        assert service.ends == ["left"]

    asyncio.run(go())


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_say_is_a_fault_and_never_sent(number: float) -> None:
    for path, returned, body in (
        ("/embed", EmbedResponse(vectors=((1.0,), (number,)), usage=USAGE), {"input": ["a", "b"]}),
        ("/rerank", RerankResponse(scores=(1.0, number), usage=USAGE), {"documents": ["a", "b"]}),
    ):
        response = post(path, returned, **body)
        assert response.status_code == 500
        assert response.json()["reason"] == "internal_error"


@pytest.mark.parametrize(
    ("path", "returned"),
    [
        ("/embed", RerankResponse(scores=(1.0,), usage=USAGE)),
        ("/embed", EmbedResponse(vectors=(), usage=USAGE)),
        ("/embed", EmbedResponse(vectors=((1.0,), (2.0,)), usage=USAGE)),
        ("/rerank", RerankResponse(scores=(), usage=USAGE)),
        ("/rerank", TextResponse(text="a")),
        ("/detokenize", TokenizeResponse(ids=(), pieces=())),
        ("/apply-template", TokenizeResponse(ids=(), pieces=())),
    ],
)
def test_a_response_that_does_not_suit_its_unary_request_is_a_fault(
    path: str, returned: AnyUnaryResponse, caplog: pytest.LogCaptureFixture
) -> None:
    response = post(path, returned)
    assert response.status_code == 500
    assert response.json()["reason"] == "internal_error"
    assert "the service has responded with" in caplog.text


def test_pieces_that_do_not_suit_their_tokens_are_a_fault() -> None:
    response = post("/tokenize", TokenizeResponse(ids=(1, 2), pieces=(b"a",)), with_pieces=True)
    assert response.json()["reason"] == "internal_error"


@pytest.mark.parametrize("path", ROUTES)
def test_a_unary_request_is_counted_under_its_route(path: str) -> None:
    service = FakeService()
    body, service.unary_response = ROUTES[path]
    plugin = FakePlugin(service)
    ask(app_of(plugin), "POST", path, json=body)
    [finished] = [event for event in plugin.events if isinstance(event, HttpRequestFinished)]
    assert (finished.route, finished.method, finished.status) == (path, "POST", 200)


def test_the_responses_are_as_described() -> None:
    document = ask(make_app(FakeService()), "GET", "/openapi.json").json()
    for path, (_, returned) in ROUTES.items():
        described = document["paths"][path]["post"]["responses"]["200"]["content"]
        schema = {
            **described["application/json"]["schema"],
            "components": document["components"],
        }
        bodies: list[dict[str, Any]] = [{}]
        bodies += [{"with_pieces": True}] if path == "/tokenize" else []
        bodies += [{"return_documents": True}] if path == "/rerank" else []
        for body in bodies:
            Draft202012Validator(schema).validate(post(path, returned, **body).json())


@pytest.mark.parametrize("path", ROUTES)
def test_every_status_that_a_unary_request_may_have_is_described(path: str) -> None:
    document = ask(make_app(FakeService()), "GET", "/openapi.json").json()
    row = document["paths"][path]["post"]
    assert set(row["responses"]) == {
        *("200", "400", "403", "404", "408", "413", "414", "415", "422", "429", "431"),
        *("500", "503", "504", "507"),
    }
    name = row["responses"]["400"]["$ref"].rpartition("/")[2]
    examples = document["components"]["responses"][name]["content"]["application/json"]["examples"]
    assert ("template_error" in examples) is (path == "/apply-template")
    assert {"invalid_request", "invalid_json", "not_supported"} <= set(examples)
    assert row["requestBody"]["content"]["application/json"]["examples"]
    for name, field in described_fields(document, row).items():
        assert field["description"], name


def described_fields(document: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    reference = row["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    schema = document["components"]["schemas"][reference.rpartition("/")[2]]
    assert schema["additionalProperties"] is False
    found: dict[str, Any] = schema["properties"]
    return found


async def in_pieces(app: ModeldApp, path: str, body: dict[str, Any]) -> list[bytes]:
    """Return the parts of a response as they are sent, after a head that says their length."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not sent:
            sent.append({"type": "asked"})
            return {"type": "http.request", "body": json.dumps(body).encode()}
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "query_string": b""}
    await app({**scope, "headers": headers}, receive, send)
    _asked, start, *bodies = sent
    assert [message["more_body"] for message in bodies] == [True] * (len(bodies) - 1) + [False]
    pieces = [message["body"] for message in bodies]
    length = dict(start["headers"])[b"content-length"]
    assert int(length) == sum(map(len, pieces))
    return pieces


def returning(returned: AnyUnaryResponse) -> ModeldApp:
    """Return an application whose service returns this for everything."""
    service = FakeService()
    service.unary_response = returned
    return make_app(service)


LONG = [
    (
        "/embed",
        EmbedResponse(vectors=(tuple(n / 977 for n in range(4096)),) * 256, usage=USAGE),
        {"input": ["a"] * 256},
        "embeddings",
    ),
    (
        "/tokenize",
        TokenizeResponse(ids=(123_456,) * 300_000, pieces=()),
        {"content": "a"},
        "tokens",
    ),
    (
        "/tokenize",
        TokenizeResponse(ids=(1,) * 50_000, pieces=(b"a",) * 50_000),
        {"content": "a", "with_pieces": True},
        "tokens",
    ),
]


@pytest.mark.parametrize(("path", "returned", "body", "member"), LONG)
def test_a_long_response_is_sent_in_pieces(
    path: str, returned: AnyUnaryResponse, body: dict[str, Any], member: str
) -> None:
    pieces = asyncio.run(in_pieces(returning(returned), path, body))
    whole = b"".join(pieces)
    sent = json.loads(whole)[member]
    wanted = returned.vectors if isinstance(returned, EmbedResponse) else returned.ids  # type: ignore[union-attr]
    assert len(sent) == len(wanted)
    assert max(map(len, pieces)) < len(whole) / 8


@pytest.mark.parametrize(("path", "returned", "body", "member"), LONG)
def test_no_turn_of_a_long_response_takes_much_of_its_time(
    path: str, returned: AnyUnaryResponse, body: dict[str, Any], member: str
) -> None:
    async def go() -> tuple[float, float]:
        """Return the longest turn of a response and the time of it all, in processor time."""
        app = returning(returned)
        await app.start()
        turns = [time.thread_time()]

        async def note() -> None:
            while True:
                turns.append(time.thread_time())
                await asyncio.sleep(0)

        noting = asyncio.create_task(note())
        await in_pieces(app, path, body)
        noting.cancel()
        return max(map(operator.sub, turns[1:], turns)), turns[-1] - turns[0]

    longest, whole = min(asyncio.run(go()) for _ in range(3))
    assert longest < whole / 3, (longest, whole)
