# SPDX-License-Identifier: GPL-3.0-only
"""What responses for text look like, as a stream and in one piece."""

from __future__ import annotations

import re
from typing import Any

import pytest
from modeld_ollama.responses import OllamaChatResponse, OllamaGenerateResponse
from ollama_calls import CHAT, GENERATE, M, lines, post

from modeld.errors import QueueFullError, WorkerCrashedError
from modeld.responses import (
    Done,
    FinishReason,
    LikelyToken,
    ReasoningToken,
    Token,
    TokenLogprobs,
    ToolCallDelta,
    Usage,
)
from tests.support.http.fake_service import FakeService

DONE = Done(
    finish_reason=FinishReason.STOP,
    usage=Usage(prompt_tokens=9, completion_tokens=4, cached_tokens=5, reasoning_tokens=2),
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
DURATIONS = ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")
MODELS = {CHAT: OllamaChatResponse, GENERATE: OllamaGenerateResponse}


def checked(path: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return an object without what is different each time."""
    MODELS[path].model_validate(document, extra="forbid")
    assert document.pop("model") == "M"
    assert TIME.fullmatch(document.pop("created_at"))
    if document["done"]:
        total, load, prompt, generation = (document.pop(name) for name in DURATIONS)
        assert load == 0
        assert 0 < prompt <= total
        assert total == pytest.approx(prompt + generation, abs=2)
    return document


def stream(path: str, *script: Any, **body: Any) -> list[dict[str, Any]]:
    response = post(FakeService(*script, models=[M]), path, model="M", **body)
    assert response.status_code == 200, response.text
    return [checked(path, each) for each in lines(response)]


def whole(path: str, *script: Any, **body: Any) -> dict[str, Any]:
    response = post(FakeService(*script, models=[M]), path, model="M", stream=False, **body)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/json"
    return checked(path, response.json())


def message(content: str = "", **others: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **others}


END = {"done": True, "done_reason": "stop", "prompt_eval_count": 9, "eval_count": 4}
SCRIPT = (ReasoningToken(text="hm"), Token(text="a\u2028"), Token(text="b"), DONE)


def test_a_chat_is_streamed() -> None:
    assert stream(CHAT, *SCRIPT) == [
        {"message": message(thinking="hm"), "done": False},
        {"message": message("a\u2028"), "done": False},
        {"message": message("b"), "done": False},
        {"message": message(), **END},
    ]


def test_a_chat_in_one_piece() -> None:
    assert whole(CHAT, *SCRIPT) == {"message": message("a\u2028b", thinking="hm"), **END}
    assert whole(CHAT, DONE) == {"message": message(), **END}


def test_a_text_is_streamed() -> None:
    assert stream(GENERATE, *SCRIPT, stream=True) == [
        {"response": "", "thinking": "hm", "done": False},
        {"response": "a\u2028", "done": False},
        {"response": "b", "done": False},
        {"response": "", **END},
    ]


def test_a_text_in_one_piece() -> None:
    assert whole(GENERATE, *SCRIPT) == {"response": "a\u2028b", "thinking": "hm", **END}


@pytest.mark.parametrize(
    ("reason", "word"),
    [(each.value, each.value) for each in FinishReason if each is not FinishReason.TOOL_CALLS]
    + [("tool_calls", "stop")],
)
def test_why_it_has_ended(reason: str, word: str) -> None:
    done = Done(finish_reason=FinishReason(reason), usage=Usage())
    assert stream(CHAT, done)[-1]["done_reason"] == word
    assert whole(GENERATE, done)["done_reason"] == word


CALLS = (
    ToolCallDelta(index=0, id="x", name="f", arguments='{"a":'),
    ToolCallDelta(index=0, arguments=' "\u2028"}'),
    ToolCallDelta(index=1, name="g"),
    ToolCallDelta(index=2, name="h", arguments='{"cut'),
)


def called(index: int, call: str, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {"id": call, "function": {"index": index, "name": name, "arguments": arguments}}


F = called(0, "x", "f", {"a": "\u2028"})
G = called(1, "call_r-1_1", "g", {})


def test_each_call_of_a_tool_is_one_line_and_a_call_that_was_cut_off_is_left_out() -> None:
    assert stream(CHAT, Token(text="t"), *CALLS, DONE) == [
        {"message": message("t"), "done": False},
        {"message": message(tool_calls=[F]), "done": False},
        {"message": message(tool_calls=[G]), "done": False},
        {"message": message(), **END},
    ]


def test_the_last_call_is_written_before_the_end() -> None:
    assert stream(CHAT, *CALLS[:2], DONE) == [
        {"message": message(tool_calls=[F]), "done": False},
        {"message": message(), **END},
    ]


def test_calls_in_one_piece() -> None:
    assert whole(CHAT, *CALLS, DONE) == {"message": message(tool_calls=[F, G]), **END}


def test_a_call_that_was_cut_before_its_arguments_is_left_out() -> None:
    cut = Done(finish_reason=FinishReason.LENGTH, usage=DONE.usage)
    *parts, last = stream(CHAT, *CALLS[:3], cut)
    assert parts == [{"message": message(tool_calls=[F]), "done": False}]
    assert last["done_reason"] == "length"
    assert whole(CHAT, *CALLS[:3], cut)["message"] == message(tool_calls=[F])


LIKELY = LikelyToken(id=1, piece=b"\xff", logprob=-float("inf"))
LOGPROBS = (TokenLogprobs(chosen=LIKELY, top=(LIKELY,)),)
WRITTEN = {"token": "\ufffd", "logprob": -9999.0, "bytes": [255]}


def test_probabilities() -> None:
    end = Done(finish_reason=FinishReason.STOP, usage=DONE.usage, logprobs=LOGPROBS)
    expected = [{**WRITTEN, "top_logprobs": [WRITTEN]}]
    script = (Token(text="a", logprobs=LOGPROBS), Token(text="b"), end)
    first, second, last = stream(CHAT, *script, logprobs=True)
    assert first == {"message": message("a"), "logprobs": expected, "done": False}
    assert "logprobs" not in second
    assert last == {"message": message(), "logprobs": expected, **END}
    assert whole(GENERATE, *script, logprobs=True)["logprobs"] == expected * 2


@pytest.mark.parametrize("path", [CHAT, GENERATE])
def test_a_late_failure_is_the_last_line(path: str) -> None:
    service = FakeService(Token(text="a"), WorkerCrashedError("it died"), models=[M])
    assert lines(post(service, path))[-1] == {"error": "it died"}


@pytest.mark.parametrize("stream", [True, False])
def test_what_fails_before_has_its_real_status(stream: bool) -> None:
    service = FakeService(QueueFullError("full", retry_after_s=2), models=[M])
    response = post(service, CHAT, stream=stream)
    assert (response.status_code, response.json()) == (429, {"error": "full"})
    assert response.headers["retry-after"] == "2"


def test_the_model_is_called_as_the_request_calls_it() -> None:
    unnamed = lines(post(FakeService(models=[M]), CHAT))
    assert {each["model"] for each in unnamed} == {"m"}
