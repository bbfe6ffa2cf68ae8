# SPDX-License-Identifier: GPL-3.0-only
"""How texts go on: requests, responses, and what is refused."""

from __future__ import annotations

import asyncio
from typing import Any

from modeld_openai.completions.body import CompletionBody
from modeld_openai.completions.route import Completion
from modeld_openai.embeddings import EmbeddingsBody
from modeld_openai.head import FINGERPRINT
from openai_calls import COMPLETIONS, EMBEDDINGS, REQUEST_ID, events, post
from wrong_fields import COMMON, NO_BOOL, NO_TEXT, NO_WHOLE, said_of

from modeld.errors import InvalidRequestError, WorkerCrashedError
from modeld.responses import (
    Done,
    FinishReason,
    LikelyToken,
    Token,
    TokenLogprobs,
    ToolCallDelta,
    Usage,
)
from tests.support.http.fake_service import FakeService

USAGE = Usage(prompt_tokens=3, completion_tokens=2)
DONE = Done(finish_reason=FinishReason.STOP, usage=USAGE)


def logprobs(*pieces: bytes) -> tuple[TokenLogprobs, ...]:
    top = LikelyToken(id=1, piece=b"x", logprob=-2.0)
    return tuple(
        TokenLogprobs(chosen=LikelyToken(id=0, piece=piece, logprob=-1.0), top=(top,))
        for piece in pieces
    )


def whole(*script: Any, **body: Any) -> dict[str, Any]:
    response = post(FakeService(*script), COMPLETIONS, **body)
    assert response.status_code == 200, response.text
    Completion.model_validate(response.json(), extra="forbid")
    return response.json()


def stream(*script: Any, **body: Any) -> list[Any]:
    response = post(FakeService(*script), COMPLETIONS, stream=True, **body)
    *parts, end = events(response)
    assert end == "[DONE]"
    for each in parts:
        Completion.model_validate(each, extra="forbid")
    return parts


def test_a_completion_in_one_piece():
    document = whole(Token(text="a"), Token(text="b"), DONE)
    assert document.pop("created") > 1_700_000_000
    assert document == {
        "id": f"cmpl-{REQUEST_ID}",
        "object": "text_completion",
        "model": "m",
        "system_fingerprint": FINGERPRINT,
        "choices": [{"index": 0, "text": "ab", "logprobs": None, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 2,
            "total_tokens": 5,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        },
    }


def test_each_choice_of_each_prompt_is_a_request():
    service = FakeService(Token(text="a"), DONE)
    body = {"prompt": ["p", "q"], "n": 2, "seed": 5, "echo": True}
    document = post(service, COMPLETIONS, **body).json()
    assert [(r.prompt, r.sampling.seed) for r in service.requests] == [
        ("p", 5),
        ("p", 6),
        ("q", 5),
        ("q", 6),
    ]
    assert [(c["index"], c["text"]) for c in document["choices"]] == [
        (0, "pa"),
        (1, "pa"),
        (2, "qa"),
        (3, "qa"),
    ]
    assert document["usage"]["prompt_tokens"] == 6
    assert document["usage"]["completion_tokens"] == 8


def test_a_completion_has_16_tokens_unless_somebody_says_so():
    for given, passed_on in ((None, 16), (5, 5)):
        service = FakeService()
        post(service, COMPLETIONS, max_tokens=given)
        assert service.requests[0].max_tokens == passed_on


def test_null_is_the_same_as_left_out():
    least, nulls = FakeService(), FakeService()
    post(least, COMPLETIONS)
    post(nulls, COMPLETIONS, **dict.fromkeys(set(CompletionBody.model_fields) - {"prompt"}))
    assert nulls.requests == least.requests


def test_a_stream_has_the_prompt_first_where_it_is_wanted():
    script = (Token(text="a\u2028"), Token(text="b"), DONE)
    parts = stream(*script, echo=True, stream_options={"include_usage": True})
    assert [each["choices"][0]["text"] for each in parts[:-1]] == ["hia\u2028", "b", ""]
    assert [each["choices"][0]["finish_reason"] for each in parts[:-1]] == [None, None, "stop"]
    assert parts[-1]["choices"] == []
    assert parts[-1]["usage"]["total_tokens"] == 5
    (only,) = stream(DONE, echo=True)
    assert only["choices"][0]["text"] == "hi"


def test_what_is_no_text_is_left_out():
    assert len(stream(ToolCallDelta(index=0, name="f"), DONE)) == 1


def test_probabilities_say_where_each_token_begins():
    script = (
        Token(text="é", logprobs=logprobs(b"\xc3", b"\xa9")),
        Token(text="ab", logprobs=logprobs(b"ab")),
        Done(finish_reason=FinishReason.STOP, usage=USAGE, logprobs=logprobs(b"c")),
    )
    found = [each["choices"][0]["logprobs"] for each in stream(*script, logprobs=1)]
    assert [each["text_offset"] for each in found] == [[0, 1], [1], [3]]
    assert found[1] == {
        "tokens": ["ab"],
        "token_logprobs": [-1.0],
        "top_logprobs": [{"x": -2.0}],
        "text_offset": [1],
    }
    all_of_them = whole(*script, logprobs=1)["choices"][0]["logprobs"]
    assert all_of_them["text_offset"] == [0, 1, 1, 3]
    assert whole(DONE, logprobs=0)["choices"][0]["logprobs"]["tokens"] == []


def test_a_late_failure_is_the_last_event():
    service = FakeService(Token(text="a"), WorkerCrashedError("it died"))
    last = events(post(service, COMPLETIONS, stream=True))[-1]
    assert last["error"]["code"] == "worker_crashed"


WRONG: dict[str, tuple[Any, ...]] = COMMON | {
    "prompt": (None, 5, True, {}, "", [], ["a"] * 129, [5] * 131_073),
    "max_tokens": (*NO_WHOLE, 0, 2**31 + 1),
    "logprobs": (*NO_WHOLE, -1, 21),
    "echo": NO_BOOL,
    "suffix": (5, ["x"]),
    "best_of": (1, 2),
}
WRONG_EMBEDDINGS: dict[str, tuple[Any, ...]] = {
    "model": COMMON["model"],
    "timeout_s": COMMON["timeout_s"],
    "keep_alive_s": COMMON["keep_alive_s"],
    "fit": COMMON["fit"],
    "input": (None, 5, {}, "", [], ["a"] * 2049, [5] * 131_073),
    "encoding_format": (5, "int8"),
    "dimensions": (*NO_WHOLE, 0),
    "normalize": NO_BOOL,
    "user": NO_TEXT,
}


def wrong(path: str, fields: dict[str, tuple[Any, ...]]) -> list[Any]:
    """Return what is not refused with its name."""
    cases = [({name: value}, name) for name, values in fields.items() for value in values]
    found = asyncio.run(said_of(path, [body for body, _ in cases]))
    return [
        (body, said) for (body, name), said in zip(cases, found, strict=True) if said != (400, name)
    ]


def test_what_is_wrong_is_refused_by_its_name():
    assert set(CompletionBody.model_fields) == set(WRONG)
    assert wrong(COMPLETIONS, WRONG) == []


def test_what_is_wrong_with_embeddings_is_refused_by_its_name():
    assert set(EmbeddingsBody.model_fields) == set(WRONG_EMBEDDINGS)
    assert wrong(EMBEDDINGS, WRONG_EMBEDDINGS) == []


def test_two_fields_may_not_contradict_each_other():
    bodies: list[tuple[dict[str, Any], str]] = [
        ({"prompt": ["a", "b"], "n": 65}, "n"),
        ({"echo": True, "logprobs": 0}, "echo"),
        ({"prompt": ["a", ""]}, "prompt[1]"),
        ({"prompt": [[1], []]}, "prompt[1]"),
        ({"prompt": [1, "a"]}, "prompt[1]"),
        ({"prompt": ["a", [-1]]}, "prompt[1][0]"),
        ({"prompt": [1], "echo": True}, "echo"),
        ({"prompt": [1], "suffix": "s"}, "suffix"),
        ({"prompt": ["a", [1]], "suffix": "s"}, "suffix"),
        ({"prompt": "", "suffix": ""}, "prompt"),
    ]
    found = asyncio.run(said_of(COMPLETIONS, [body for body, _ in bodies]))
    assert found == [(400, field) for _, field in bodies]


def test_token_ids_are_prompts_too():
    for prompt, passed_on in (
        ([5, 6], [(None, (5, 6))]),
        ([[5], [6]], [(None, (5,)), (None, (6,))]),
        (["a", [6]], [("a", None), (None, (6,))]),
    ):
        service = FakeService()
        assert post(service, COMPLETIONS, prompt=prompt).status_code == 200
        assert [(each.prompt, each.prompt_tokens) for each in service.requests] == passed_on


def test_what_is_wrong_with_token_ids_is_named_as_the_prompt():
    refusal = InvalidRequestError("prompt_tokens[0] is 9", field="prompt_tokens")
    error = post(FakeService(refusal), COMPLETIONS, prompt=[9]).json()["error"]
    assert error["param"] == "prompt"


def test_a_suffix_is_what_follows_each_prompt():
    for prompt, texts in (("p", ["p"]), (["p", "q"], ["p", "q"]), ("", [""])):
        service = FakeService()
        assert post(service, COMPLETIONS, prompt=prompt, suffix="s").status_code == 200
        assert [(each.prompt, each.suffix) for each in service.requests] == [
            (text, "s") for text in texts
        ]
    service = FakeService()
    post(service, COMPLETIONS, suffix="")
    assert service.requests[0].suffix is None
