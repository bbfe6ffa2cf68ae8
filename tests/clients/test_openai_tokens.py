# SPDX-License-Identifier: GPL-3.0-only
"""Tokens with OpenAI's own client: counted, sent as prompts, and turned back into text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from openai import OpenAI

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server}/v1", api_key="unused", max_retries=0) as client:
        yield client


def post(client: OpenAI, path: str, **body: Any) -> Any:
    return cast(Any, client.post(path, cast_to=object, body={"model": MODEL, **body}))


def test_a_text_becomes_tokens_and_the_tokens_text(client: OpenAI) -> None:
    counted = post(client, "/tokenize", prompt=PROMPT, return_token_strs=True)
    assert counted["count"] == len(counted["tokens"]) == len(counted["token_strs"])
    assert counted["max_model_len"] == 4096
    assert "".join(counted["token_strs"]) == PROMPT
    assert post(client, "/detokenize", tokens=counted["tokens"]) == {"prompt": PROMPT}


def test_a_chat_has_as_many_tokens_as_its_usage_says(client: OpenAI) -> None:
    turn: Any = {"role": "user", "content": PROMPT}
    counted = post(client, "/tokenize", messages=[turn])
    said = client.chat.completions.create(model=MODEL, messages=[turn], max_tokens=1)
    assert said.usage is not None
    assert said.usage.prompt_tokens == counted["count"]


def test_tokens_go_on_as_their_text_does(client: OpenAI) -> None:
    tokens = post(client, "/tokenize", prompt=PROMPT)["tokens"]
    said = client.completions.create(
        model=MODEL, prompt=[tokens, tokens], max_tokens=4, temperature=0
    )
    text = client.completions.create(model=MODEL, prompt=PROMPT, max_tokens=4, temperature=0)
    assert [choice.text for choice in said.choices] == [text.choices[0].text] * 2
    flat = client.completions.create(model=MODEL, prompt=tokens, max_tokens=4, temperature=0)
    assert flat.choices[0].text == text.choices[0].text
