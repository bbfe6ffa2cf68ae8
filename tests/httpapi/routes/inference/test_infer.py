# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from modeld.errors import ModelNotFoundError
from modeld.httpapi.routes.inference.infer import DoneLine, StreamLine, TokenLine
from modeld.responses import LikelyToken, Token, TokenLogprobs
from modeld.settings import Settings
from tests.support.http.fake_service import DONE, FakeService, ask, infer, make_app

DONE_OBJECT = {
    "done": True,
    "content": "ab",
    "finish_reason": "stop",
    "usage": {
        "prompt_tokens": 3,
        "completion_tokens": 2,
        "cached_tokens": 0,
        "total_tokens": 5,
    },
}


def post(service: FakeService, content: bytes, **headers: str) -> Any:
    headers = {"content-type": "application/json", **headers}
    return ask(make_app(service), "POST", "/infer", content=content, headers=headers)


def test_the_response_is_one_json_object_per_line() -> None:
    response = infer(FakeService())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert lines == [{"token": "a"}, {"token": "b"}, DONE_OBJECT]


def test_the_lines_are_as_the_api_describes_them() -> None:
    lines = infer(FakeService()).text.splitlines()
    kinds = [type(StreamLine.model_validate_json(line).root) for line in lines]
    assert kinds == [TokenLine, TokenLine, DoneLine]


LOGPROBS = (
    TokenLogprobs(chosen=LikelyToken(id=5, piece=b"a", logprob=-0.5)),
    TokenLogprobs(
        chosen=LikelyToken(id=6, piece=b"\xff", logprob=-0.25),
        top=(LikelyToken(id=7, piece=b"c", logprob=-0.125),),
    ),
)


def test_probabilities_come_with_their_tokens_and_the_end_does_not_repeat_them() -> None:
    service = FakeService(
        Token(text="a", logprobs=LOGPROBS[:1]), replace(DONE, content="a", logprobs=LOGPROBS[1:])
    )
    token, done = map(json.loads, infer(service, logprobs=1).text.splitlines())
    assert service.requests[0].logprobs == 1
    assert TokenLine.model_validate(token).token == "a"
    assert token["logprobs"] == [
        {"id": 5, "token": "a", "bytes": [97], "logprob": -0.5, "top_logprobs": []}
    ]
    last = DoneLine.model_validate(done)
    assert last.logprobs is not None
    assert [each.id for each in last.logprobs] == [6]
    assert last.logprobs[0].bytes == [255]
    whole = DoneLine.model_validate(infer(service, logprobs=1, stream=False).json())
    assert whole.logprobs is not None
    assert [each.id for each in whole.logprobs] == [5, 6]


def test_without_streaming_the_response_is_one_object() -> None:
    response = infer(FakeService(), stream=False)
    assert response.headers["content-type"] == "application/json"
    assert response.json() == DONE_OBJECT


def test_an_explicit_stream_is_the_default() -> None:
    assert infer(FakeService(), stream=True).text == infer(FakeService(), stream=None).text


def test_the_accept_header_chooses_server_sent_events() -> None:
    response = post(FakeService(), b'{"prompt":"hi"}', accept="text/event-stream")
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.text.startswith('data: {"token":"a"}\n\n')


def test_an_accept_header_that_nobody_can_serve_starts_no_work() -> None:
    service = FakeService()
    response = post(service, b'{"prompt":"hi"}', accept="image/png")
    assert response.status_code == 406
    assert "application/x-ndjson" in response.json()["error"]
    assert service.requests == []


def test_the_service_gets_the_request_under_the_id_of_the_exchange() -> None:
    service = FakeService()
    response = post(service, b'{"prompt":"hi","model":"m","seed":1}', **{"x-request-id": "abc-1"})
    [request] = service.requests
    assert request.request_id == response.headers["x-request-id"] == "abc-1"
    assert (request.prompt, request.model, request.sampling.seed) == ("hi", "m", 1)


def test_an_unknown_model_is_404_with_the_reason() -> None:
    response = infer(FakeService(ModelNotFoundError("no model 'x'", field="model")), model="x")
    assert response.status_code == 404
    assert response.json() == {
        "error": "no model 'x'",
        "code": 404,
        "reason": "model_not_found",
        "field": "model",
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "invalid_json"),
        (b'{"temperature":NaN,"prompt":"x"}', "invalid_json"),
        (b"[]", "invalid_request"),
        (b'{"prompt":"x","temperature":"hot"}', "invalid_request"),
        (b"{}", "prompt_required"),
    ],
)
def test_a_bad_body_is_400_and_starts_no_work(content: bytes, reason: str) -> None:
    service = FakeService()
    response = post(service, content)
    assert response.status_code == 400
    assert response.json()["reason"] == reason
    assert service.requests == []


def test_a_body_of_another_type_is_415() -> None:
    response = ask(make_app(FakeService()), "POST", "/infer", content=b'{"prompt":"hi"}')
    assert response.status_code == 415
    assert "Content-Type: application/json" in response.json()["error"]


def test_a_form_is_415_and_never_read_as_one() -> None:
    response = ask(make_app(FakeService()), "POST", "/infer", data={"prompt": "hi"})
    assert response.status_code == 415


def test_a_compressed_body_is_415() -> None:
    assert post(FakeService(), b"\x1f\x8b", **{"content-encoding": "gzip"}).status_code == 415


def test_a_body_over_the_limit_is_413() -> None:
    app = make_app(FakeService(), Settings(max_body_bytes=64))
    body = {"prompt": "x" * 64}
    response = ask(app, "POST", "/infer", json=body)
    assert response.status_code == 413
    assert "64 bytes" in response.json()["error"]


def test_any_text_comes_through_unharmed() -> None:
    text = 'é\u2028\u0085\n\r"\\\u0000\U0001f600\ufeff'
    response = infer(FakeService(Token(text=text), DONE))
    first = response.content.split(b"\n")[0]
    assert json.loads(first) == {"token": text}
