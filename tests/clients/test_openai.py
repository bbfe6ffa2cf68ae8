# SPDX-License-Identifier: GPL-3.0-only
"""OpenAI's own client, unchanged, against a real server and a real model."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
TURN = {"role": "user", "content": "What is the capital of France?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server}/v1", api_key="unused", max_retries=0) as client:
        yield client


class Person(BaseModel):
    name: str
    age: int
    pet: Literal["cat", "dog"]


def test_a_chat_in_one_piece(client: OpenAI) -> None:
    said = client.chat.completions.create(
        model=MODEL, messages=[TURN], max_tokens=24, temperature=0, seed=1
    )
    assert said.id.startswith("chatcmpl-")
    assert said.object == "chat.completion"
    assert said.model == MODEL
    (choice,) = said.choices
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason in {"stop", "length"}
    assert choice.logprobs is None
    usage = said.usage
    assert usage is not None
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details is not None


def test_a_message_can_be_sent_again_as_it_came(client: OpenAI) -> None:
    said = client.chat.completions.create(model=MODEL, messages=[TURN], max_tokens=8)
    more = client.chat.completions.create(
        model=MODEL,
        messages=[TURN, said.choices[0].message, {"role": "user", "content": "And of Spain?"}],
        max_tokens=4,
    )
    assert more.choices[0].message.content


def test_a_stream_has_the_same_text_as_one_piece(client: OpenAI) -> None:
    wanted = {"model": MODEL, "messages": [TURN], "max_tokens": 16, "temperature": 0}
    whole = client.chat.completions.create(**wanted)
    chunks = list(
        client.chat.completions.create(
            **wanted, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] in {"stop", "length"}
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_streaming_helper_gathers_all(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=[TURN], extra_body={"choice": ["yes, it is", "no"]}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "content.delta" in kinds
    assert final.choices[0].message.content in {"yes, it is", "no"}


def test_a_chat_without_blocking(server: str) -> None:
    async def go() -> str:
        async with AsyncOpenAI(base_url=f"{server}/v1", api_key="unused") as client:
            stream = await client.chat.completions.create(
                model=MODEL, messages=[TURN], max_tokens=8, stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in stream])

    assert asyncio.run(go())


def test_a_response_is_parsed_into_a_model(client: OpenAI) -> None:
    said = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": "Bob is seven and has a dog. As JSON:"}],
        response_format=Person,
        max_tokens=60,
        temperature=0,
    )
    assert isinstance(said.choices[0].message.parsed, Person)


def test_a_message_that_was_parsed_can_be_sent_again_as_it_came(client: OpenAI) -> None:
    said = client.chat.completions.parse(
        model=MODEL, messages=[TURN], response_format=Person, max_tokens=60, temperature=0
    ).choices[0]
    with pytest.warns(
        UserWarning, match="Pydantic serializer"
    ):  # openai's own: of any such message
        more = client.chat.completions.create(
            model=MODEL, messages=[TURN, said.message, TURN], max_tokens=4
        )
    assert more.choices[0].message.content


def test_any_object_can_be_wanted(client: OpenAI) -> None:
    said = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": 'Say {"a": 1} as JSON.'}],
        response_format={"type": "json_object"},
        max_tokens=200,
        temperature=0,
    )
    if said.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(said.choices[0].message.content or ""), dict)
    assert (said.choices[0].message.content or "").lstrip().startswith("{")


def test_own_fields_go_through_the_extra_body(client: OpenAI) -> None:
    said = client.chat.completions.create(
        model=MODEL, messages=[TURN], extra_body={"choice": ["yes", "no"], "top_k": 1}
    )
    assert said.choices[0].message.content in {"yes", "no"}


def test_several_choices(client: OpenAI) -> None:
    said = client.chat.completions.create(
        model=MODEL, messages=[TURN], n=3, seed=7, max_tokens=12, temperature=1.5
    )
    assert [choice.index for choice in said.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in said.choices}) > 1
    assert said.usage is not None
    assert said.usage.completion_tokens <= 36


def test_probabilities(client: OpenAI) -> None:
    said = client.chat.completions.create(
        model=MODEL, messages=[TURN], max_tokens=3, logprobs=True, top_logprobs=2
    )
    logprobs = said.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.content is not None
    assert all(len(token.top_logprobs) == 2 for token in logprobs.content)
    text = b"".join(bytes(token.bytes or []) for token in logprobs.content).decode()
    assert text == said.choices[0].message.content


def test_a_tool_that_must_be_called_is_called_as_its_schema_says(client: OpenAI) -> None:
    said = client.chat.completions.create(
        model=MODEL,
        messages=[TURN],
        tools=[TOOL],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=200,
    )
    (choice,) = said.choices
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls or ()
    assert call.type == "function"
    assert call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    again = client.chat.completions.create(
        model=MODEL,
        messages=[
            TURN,
            {"role": "assistant", "tool_calls": [call.model_dump()]},  # type: ignore[list-item]
            {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"},
        ],
        tools=[TOOL],
        max_tokens=8,
    )
    assert again.choices[0].message.content


def test_a_call_is_streamed_in_parts(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[TURN],
        tools=[TOOL],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=200,
        stream=True,
    )
    deltas = [
        part
        for chunk in stream
        for choice in chunk.choices
        for part in choice.delta.tool_calls or ()
    ]
    first, *others = deltas
    assert first.id is not None
    assert first.function is not None
    assert first.function.name == "weather"
    assert all(part.index == 0 and part.id is None for part in others)
    text = "".join(part.function.arguments or "" for part in deltas if part.function)
    assert isinstance(json.loads(text)["city"], str)


def test_a_call_that_the_streaming_helper_gathered_can_be_sent_again(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL,
        messages=[TURN],
        tools=[{**TOOL, "function": {**TOOL["function"], "strict": True}}],
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_tokens=200,
    ) as stream:
        stream.until_done()
        message = stream.get_final_completion().choices[0].message
    (call,) = message.tool_calls or ()
    more = client.chat.completions.create(
        model=MODEL,
        messages=[TURN, message, {"role": "tool", "tool_call_id": call.id, "content": "18"}],
        tools=[TOOL],
        max_tokens=4,
    )
    assert more.choices[0].message.content


def test_completions(client: OpenAI) -> None:
    said = client.completions.create(
        model=MODEL,
        prompt=["The capital of France is", "One, two,"],
        max_tokens=4,
        temperature=0,
        logprobs=1,
        n=2,
    )
    assert [choice.index for choice in said.choices] == [0, 1, 2, 3]
    assert "Paris" in said.choices[0].text
    assert said.choices[0].logprobs is not None
    assert "".join(said.choices[0].logprobs.tokens or []) == said.choices[0].text


def test_completions_as_a_stream_after_their_prompt(client: OpenAI) -> None:
    prompt = "The capital of France is"
    stream = client.completions.create(
        model=MODEL, prompt=prompt, max_tokens=4, temperature=0, stream=True, echo=True
    )
    text = "".join(chunk.choices[0].text for chunk in stream)
    assert text.startswith(f"{prompt} Paris")


def test_the_models_are_listed(client: OpenAI) -> None:
    models = client.models.list().data
    assert MODEL in {model.id for model in models}
    found = client.models.retrieve(MODEL)
    assert (found.id, found.owned_by) == (MODEL, "modeld")
    assert found.created > 1_500_000_000


def test_a_model_for_text_makes_no_embeddings(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(model=MODEL, input="a cat")
    assert caught.value.code == "not_supported"


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="none", messages=[TURN])
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    assert caught.value.type == "invalid_request_error"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")


def test_what_is_wrong_is_named(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=MODEL, messages=[TURN], temperature=9)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL, messages=[TURN], extra_body={"temprature": 1}, stream=True
        )
    assert caught.value.param == "temprature"


def test_raw_headers_name_the_request(client: OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=[TURN], max_tokens=1
    )
    assert raw.parse().id == f"chatcmpl-{raw.headers['x-request-id']}"


def test_the_example_of_the_readme_runs(server: str, capsys: pytest.CaptureFixture[str]) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    (code,) = re.findall(r"^```python\n(from openai .*?)^```$", readme, re.MULTILINE | re.DOTALL)
    exec(code.replace("http://127.0.0.1:8080", server), {})  # the README's own code
    assert capsys.readouterr().out.strip()


def test_the_example_runs(example: Callable[[str], list[str]]) -> None:
    *_, chosen, code = example("openai_client.py")
    assert chosen in {"yes", "no"}
    assert code == "model_not_found"


def test_a_base_url_without_v1_does_as_well(server: str) -> None:
    with OpenAI(base_url=server, api_key="unused", max_retries=0) as client:
        assert MODEL in [model.id for model in client.models.list()]
        chat = client.chat.completions.create(model=MODEL, messages=[TURN], max_tokens=4)
        assert chat.choices[0].message.content
        text = client.completions.create(model=MODEL, prompt="One, two,", max_tokens=4)
        assert text.choices[0].text
        kept = client.responses.create(model=MODEL, input="Hello!", max_output_tokens=4)
        assert client.responses.retrieve(kept.id).output_text == kept.output_text
        made = client.embeddings.create(model="gemma-3-270m-q4_k_m.gguf", input="a cat")
        assert len(made.data[0].embedding) == 640
