# SPDX-License-Identifier: GPL-3.0-only
"""Unary requests and the fields of others, over real sockets and through a real worker."""

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.http.served import DEADLINE_S, Served, serving, until

TURN = {"role": "user", "content": "hi"}
FIRST_TEXTS = {
    "/embed": lambda text: {"input": [text]},
    "/rerank": lambda text: {"query": text, "documents": ["a"]},
    "/tokenize": lambda text: {"content": text},
    "/detokenize": lambda text: {"tokens": list(text.encode())},
    "/apply-template": lambda text: {"messages": [{"role": "user", "content": text}]},
}
"""For every route a body whose first text is the one that is given."""


def body_of(path: str, **plan: object) -> dict[str, Any]:
    body: dict[str, Any] = FIRST_TEXTS[path](json.dumps(plan))
    return body


def test_texts_become_vectors(server: Served) -> None:
    response = server.post("/embed", {"input": ["one two", "a"], "normalize": False})
    assert response.status_code == 200
    assert response.json() == {
        "model": "a.gguf",
        "embeddings": [[7.0, 2.0, 3.0, 1.0], [1.0, 1.0, 1.0, 1.0]],
        "usage": {"prompt_tokens": 8, "total_tokens": 8},
    }
    [vector] = server.post("/embed", {"input": "one two"}).json()["embeddings"]
    assert math.hypot(*vector) == pytest.approx(1.0)


def test_documents_are_ranked(server: Served) -> None:
    documents = ["a dog", "a grey cat", "a cat"]
    body = {"query": "grey cat", "documents": documents, "top_n": 2, "return_documents": True}
    assert server.post("/rerank", body).json()["results"] == [
        {"index": 1, "score": 2.0, "document": "a grey cat"},
        {"index": 2, "score": 1.0, "document": "a cat"},
    ]


def test_text_becomes_tokens_and_text_again(server: Served) -> None:
    tokens = server.post("/tokenize", {"content": "hé"}).json()["tokens"]
    assert tokens == [256, 104, 195, 169]
    assert server.post("/detokenize", {"tokens": tokens}).json() == {"content": "<s>hé"}
    body = {"content": "hé", "add_special": False, "with_pieces": True}
    assert server.post("/tokenize", body).json()["tokens"] == [
        {"id": 104, "piece": "h"},
        {"id": 195, "piece": [195]},
        {"id": 169, "piece": [169]},
    ]


def test_a_chat_becomes_a_prompt(server: Served) -> None:
    response = server.post("/apply-template", {"messages": [TURN]})
    assert response.json() == {"prompt": "<user>hi\n"}


@pytest.mark.parametrize("path", FIRST_TEXTS)
@pytest.mark.parametrize(
    ("plan", "status", "reason"),
    [
        ({"refuse": "not this"}, 400, "invalid_request"),
        ({"unsupported": True}, 400, "not_supported"),
        ({"submit": "raise"}, 500, "internal_error"),
    ],
)
def test_a_unary_request_that_fails_fails_alone(
    server: Served, path: str, plan: dict[str, Any], status: int, reason: str
) -> None:
    assert server.post("/tokenize", {"content": ""}).status_code == 200
    pid = server.instance("a.gguf")["pid"]
    response = server.post(path, body_of(path, **plan))
    assert (response.status_code, response.json()["reason"]) == (status, reason)
    assert server.instance("a.gguf")["pid"] == pid


@pytest.mark.parametrize("path", FIRST_TEXTS)
def test_an_unknown_model_is_404_and_a_broken_one_422(server: Served, path: str) -> None:
    body = FIRST_TEXTS[path]("x")
    assert server.post(path, {**body, "model": "none.gguf"}).status_code == 404
    assert server.post(path, {**body, "model": "broken.gguf"}).status_code == 422


def test_a_worker_that_dies_over_a_unary_request_is_loaded_anew(server: Served) -> None:
    response = server.post("/embed", body_of("/embed", fault="SIGKILL"))
    assert (response.status_code, response.json()["reason"]) == (503, "worker_crashed")
    assert server.post("/embed", {"input": "x"}).status_code == 200


def test_a_unary_request_is_given_up_when_its_time_is_over(server: Served, tmp_path: Path) -> None:
    body = body_of("/embed", gate=str(tmp_path / "never"))
    response = server.post("/embed", {**body, "timeout_s": 0.1})
    assert (response.status_code, response.json()["reason"]) == (504, "request_timeout")


@pytest.mark.parametrize("path", FIRST_TEXTS)
def test_a_client_that_leaves_ends_its_unary_request_in_the_engine(
    rig_models: Path, path: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"

    async def scenario(served: Served) -> None:
        body = body_of(path, gate=str(tmp_path / "never"), nonce="n1")
        async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
            asking = asyncio.create_task(http.post(served.url + path, json=body))
            await until(lambda: journal.exists() and "start n1" in journal.read_text())
            asking.cancel()
            await asyncio.wait([asking])
            await until(lambda: "cancel n1" in journal.read_text())
            await until(lambda: served.instance("a.gguf")["inflight"] == 0)

    options = json.dumps({"*": {"journal": str(journal)}})
    with serving(rig_models, "--default-model", "a.gguf", "--models", options) as served:
        asyncio.run(scenario(served))


def test_unary_requests_are_counted_by_their_route(server: Served) -> None:
    server.post("/tokenize", {"content": "x"})
    text = server.get("/metrics").text
    assert 'modeld_http_requests_total{method="POST",path="/tokenize",status="200"}' in text
    assert 'modeld_requests_total{model="a.gguf",outcome="answered"}' in text


def test_each_probability_is_sent_once(server: Served) -> None:
    response = server.post("/infer", {"prompt": "big world", "logprobs": 1})
    *tokens, done = [json.loads(line) for line in response.text.splitlines()]
    assert [line["token"] for line in tokens] == ["big ", "world "]
    assert [[each["id"] for each in line["logprobs"]] for line in tokens] == [[1], [2]]
    assert tokens[0]["logprobs"][0]["top_logprobs"][0]["logprob"] == -0.5
    assert "logprobs" not in done
    whole = server.post("/infer", {"prompt": "big world", "logprobs": 0, "stream": False}).json()
    assert [each["id"] for each in whole["logprobs"]] == [1, 2]
    assert [each["top_logprobs"] for each in whole["logprobs"]] == [[], []]


@pytest.fixture
def keyed(rig_models: Path, tmp_path: Path) -> Iterator[Served]:
    """Yield a server that wants a key."""
    keys = tmp_path / "keys"
    keys.write_text("a-key\n")
    arguments = ("--default-model", "a.gguf", "--api-key-file", str(keys), "--cache-per-key")
    with serving(rig_models, *arguments) as served:
        yield served


def test_unary_requests_need_a_key_where_there_are_keys(keyed: Served) -> None:
    for path, body in FIRST_TEXTS.items():
        assert keyed.post(path, body("x")).status_code == 401
        response = httpx.post(keyed.url + path, json=body("x"), headers={"x-api-key": "a-key"})
        assert response.status_code == 200
    headers = {"x-api-key": "a-key"}
    response = httpx.post(keyed.url + "/infer", json={"prompt": "hi"}, headers=headers)
    assert response.status_code == 200
