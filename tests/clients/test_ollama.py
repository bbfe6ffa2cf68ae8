# SPDX-License-Identifier: GPL-3.0-only
"""Ollama's own Python client, unchanged, against a real server and a real model."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from ollama import AsyncClient, Client, ResponseError
from pydantic import BaseModel

ID = "SmolLM2-135M-Instruct.Q4_1.gguf"
MODEL = "smollm2-135m-instruct:q4_1"
EMBEDDER = "gemma-3-270m:latest"
TURN = {"role": "user", "content": "What is the capital of France?"}
SHORT = {"num_predict": 16, "temperature": 0}


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[Client]:
    with Client(host=server) as client:
        yield client


class Person(BaseModel):
    name: str
    age: int
    pet: Literal["cat", "dog"]


def weather(city: str) -> str:
    """Tell the weather.

    Args:
        city: where
    """
    return f"18 degrees in {city}"


def test_a_chat_in_one_piece(client: Client) -> None:
    said = client.chat(model=MODEL, messages=[TURN], options=SHORT, keep_alive="5m")
    assert said.model == MODEL
    assert said.message.role == "assistant"
    assert said.message.content
    assert said.message.thinking is None
    assert said.message.tool_calls is None
    assert said.done
    assert said.done_reason in {"stop", "length"}
    assert said.created_at is not None
    assert (said.prompt_eval_count or 0) > 0
    assert (said.eval_count or 0) > 0
    total, prompt, generation = said.total_duration, said.prompt_eval_duration, said.eval_duration
    assert total is not None
    assert prompt is not None
    assert generation is not None
    assert 0 < generation < total
    assert abs(total - prompt - generation) < 1000


def test_a_message_can_be_sent_again_as_it_came(client: Client) -> None:
    said = client.chat(model=MODEL, messages=[TURN], options=SHORT)
    more = client.chat(
        model=MODEL,
        messages=[TURN, said.message, {"role": "user", "content": "And of Spain?"}],
        options=SHORT,
    )
    assert more.message.content


def test_a_stream_has_the_same_text_as_one_piece(client: Client) -> None:
    whole = client.chat(model=MODEL, messages=[TURN], options=SHORT)
    *parts, last = client.chat(model=MODEL, messages=[TURN], options=SHORT, stream=True)
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert not any(part.done for part in parts)
    assert last.done
    assert last.eval_count == whole.eval_count


def test_a_prompt_in_one_piece_and_as_a_stream(client: Client) -> None:
    whole = client.generate(model=ID, prompt="Say hi.", system="Be kind.", options=SHORT)
    assert whole.response
    assert whole.context is None
    parts = list(
        client.generate(model=ID, prompt="Say hi.", system="Be kind.", options=SHORT, stream=True)
    )
    assert "".join(part.response for part in parts) == whole.response
    assert parts[-1].done_reason in {"stop", "length"}


def test_a_raw_prompt_goes_on_as_it_is(client: Client) -> None:
    said = client.generate(
        model=ID, prompt="The capital of France is", raw=True, options={"num_predict": 4, "seed": 1}
    )
    assert said.eval_count == 4
    stopped = client.generate(
        model=ID,
        prompt="One, two, three, four,",
        raw=True,
        options={"num_predict": 40, "temperature": 0, "stop": [","]},
    )
    assert "," not in stopped.response


def test_without_blocking(server: str) -> None:
    async def go() -> str:
        async with AsyncClient(host=server) as client:
            whole = await client.generate(model=ID, prompt="Say hi.", options=SHORT)
            assert whole.response
            stream = await client.chat(model=MODEL, messages=[TURN], options=SHORT, stream=True)
            return "".join([part.message.content or "" async for part in stream])

    assert asyncio.run(go())


def test_a_response_has_the_form_of_a_model(client: Client) -> None:
    said = client.chat(
        model=MODEL,
        messages=[{"role": "user", "content": "Bob is seven and has a dog. As JSON:"}],
        format=Person.model_json_schema(),
        options={"num_predict": 60, "temperature": 0},
    )
    assert Person.model_validate_json(said.message.content or "")


def test_any_object_can_be_wanted(client: Client) -> None:
    said = client.generate(model=ID, prompt='Say {"a": 1} as JSON.', format="json", options=SHORT)
    assert said.response.lstrip().startswith("{")


def test_a_function_can_be_a_tool_and_its_result_comes_back(client: Client) -> None:
    said = client.chat(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Rome?"}],
        tools=[weather],
        options=SHORT,
    )
    assert said.done_reason in {"stop", "length"}
    call = {"function": {"name": "weather", "arguments": {"city": "Rome"}}}
    more = client.chat(
        model=MODEL,
        messages=[
            {"role": "user", "content": "What is the weather in Rome?"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "content": weather("Rome"), "tool_name": "weather"},
        ],
        tools=[weather],
        options=SHORT,
    )
    assert more.done


@pytest.mark.parametrize("think", [False, None])
def test_a_model_may_be_told_not_to_think(client: Client, think: bool | None) -> None:
    said = client.chat(model=MODEL, messages=[TURN], think=think, options=SHORT)
    assert said.message.content


def test_probabilities(client: Client) -> None:
    said = client.chat(
        model=MODEL, messages=[TURN], logprobs=True, top_logprobs=2, options={"num_predict": 3}
    )
    assert said.logprobs is not None
    assert all(len(token.top_logprobs or ()) == 2 for token in said.logprobs)
    assert "".join(token.token for token in said.logprobs) == said.message.content


def test_a_model_is_loaded_and_unloaded(client: Client) -> None:
    assert client.generate(model=MODEL).done_reason == "load"
    (running,) = [each for each in client.ps().models if each.model == ID]
    assert running.name == ID
    assert (running.size or 0) > 50_000_000
    assert running.expires_at is not None
    assert client.chat(model=MODEL, keep_alive=0).done_reason == "unload"
    assert ID not in {each.model for each in client.ps().models}


def test_the_models_are_listed(client: Client) -> None:
    (found,) = [model for model in client.list().models if model.model == ID]
    assert (found.size or 0) > 50_000_000
    assert found.modified_at is not None
    assert len(found.digest or "") == 64
    assert found.details is not None
    assert (found.details.family, found.details.quantization_level) == ("llama", "Q4_1")


def test_a_model_is_shown(client: Client) -> None:
    shown = client.show(MODEL)
    assert shown.capabilities is not None
    assert "completion" in shown.capabilities
    assert shown.modelinfo is not None
    assert shown.modelinfo["llama.context_length"] == 8192
    assert (shown.modelfile or "").startswith("FROM ")


def test_a_model_that_is_there_is_pulled(client: Client) -> None:
    assert client.pull(MODEL).status == "success"
    assert [each.status for each in client.pull(MODEL, stream=True)][-1] == "success"


def refused(error: pytest.ExceptionInfo[ResponseError]) -> tuple[int, str]:
    return error.value.status_code, error.value.error


def test_an_unknown_model_is_not_found(client: Client) -> None:
    for ask in (
        lambda: client.chat(model="none", messages=[TURN]),
        lambda: list(client.chat(model="none", messages=[TURN], stream=True)),
        lambda: client.generate(model="none"),
        lambda: client.show("none"),
        lambda: client.embed(model="none", input="a"),
    ):
        with pytest.raises(ResponseError) as caught:
            ask()
        assert refused(caught) == (404, "model 'none' not found")
    with pytest.raises(ResponseError) as caught:
        client.pull("none")
    assert caught.value.status_code == 404


def test_a_model_for_text_makes_no_embeddings(client: Client) -> None:
    for ask in (client.embed, client.embeddings):
        with pytest.raises(ResponseError) as caught:
            ask(MODEL, "a cat")
        assert caught.value.status_code == 400
        assert "embed" in caught.value.error


def test_texts_become_vectors(client: Client) -> None:
    assert client.embed(EMBEDDER, []).embeddings == []
    said = client.embed(EMBEDDER, ["a cat", "a dog"])
    assert len(said.embeddings) == 2
    assert all(abs(sum(x * x for x in vector) - 1) < 1e-3 for vector in said.embeddings)
    assert (said.total_duration or 0) > 0
    assert (said.prompt_eval_count or 0) > 2
    one = client.embeddings(EMBEDDER, "a cat").embedding
    assert len(one) == len(said.embeddings[0])
    assert "embedding" in (client.show(EMBEDDER).capabilities or ())


def test_texts_that_are_too_long_are_cut_or_refused(client: Client) -> None:
    long = "a cat and a dog " * 200
    cut = client.embed(EMBEDDER, ["a cat", long], truncate=True)
    assert len(cut.embeddings) == 2
    assert 400 < (cut.prompt_eval_count or 0) <= 512 + 8
    with pytest.raises(ResponseError) as caught:
        client.embed(EMBEDDER, long)
    assert caught.value.status_code == 422


def test_what_is_wrong_is_named(client: Client) -> None:
    with pytest.raises(ResponseError) as caught:
        client.chat(model=MODEL, messages=[TURN], options={"temperature": 9})
    assert caught.value.status_code == 400
    assert caught.value.error.startswith("options.temperature: ")
    with pytest.raises(ResponseError) as caught:
        list(client.generate(model=ID, prompt="a", options={"num_ctx": 99_999}, stream=True))
    assert caught.value.error.startswith("options.num_ctx: ")


def test_what_would_change_the_models_is_refused(client: Client) -> None:
    for ask in (
        lambda: client.delete(MODEL),
        lambda: client.copy(MODEL, "other"),
        lambda: client.create(model="other", from_=MODEL),
        lambda: client.push(MODEL),
    ):
        with pytest.raises(ResponseError) as caught:
            ask()
        assert caught.value.status_code == 400
        assert "is not served" in caught.value.error


def test_the_example_runs(server: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "clients" / "ollama_client.py"
    done = subprocess.run(
        [sys.executable, str(example)],
        env={**os.environ, "OLLAMA_HOST": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, person, error = done.stdout.splitlines()
    assert person.startswith("Person(name=")
    assert error == "404 model 'no-such-model' not found"
