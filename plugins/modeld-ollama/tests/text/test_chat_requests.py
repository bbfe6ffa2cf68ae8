# SPDX-License-Identifier: GPL-3.0-only
"""What the bodies for text become for the service."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from modeld_ollama.chat.body import OllamaChatBody
from modeld_ollama.text.generate import OllamaGenerateBody
from modeld_ollama.text.options import OllamaOptions
from ollama_calls import CHAT, EMBED, GENERATE, REQUEST_ID, M, post, said

from modeld.messages import ImagePart, Message, Reasoning, TextPart, Tool, ToolCall
from modeld.requests import GenerateRequest, Sampling
from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
PNG = base64.b64encode(b"png").decode()


def request(path: str = CHAT, /, *models: ModelSpec, **body: Any) -> GenerateRequest:
    service = FakeService(models=models or (M,))
    response = post(service, path, **body)
    assert response.status_code == 200, response.text
    (only,) = service.requests
    return only


def test_the_least_body_says_nothing_else() -> None:
    hi = (Message(role="user", content="hi"),)
    assert request() == GenerateRequest(messages=hi, request_id=REQUEST_ID)
    assert request(GENERATE) == request()


def test_null_is_the_same_as_left_out() -> None:
    for path, body in ((CHAT, OllamaChatBody), (GENERATE, OllamaGenerateBody)):
        nulls = dict.fromkeys(set(body.model_fields) - {"messages", "prompt"})
        nulls["options"] = dict.fromkeys(OllamaOptions.model_fields)
        assert request(path, **nulls) == request(path)


def test_what_clients_send_though_it_says_nothing_is_taken() -> None:
    options = {
        "num_gpu": -1, "num_thread": 0, "num_keep": 4, "penalize_newline": True, "tfs_z": 1,
        "numa": False, "low_vram": False, "f16_kv": True, "use_mlock": False, "num_predict": -1,
        "num_ctx": 2048, "seed": -1,
    }  # fmt: skip
    empty = {"suffix": "", "system": "", "template": "", "context": [], "images": []}
    common = {"format": "", "shift": False, "truncate": False, "options": options}
    assert request(GENERATE, **empty, **common) == request()
    assert request(CHAT, tools=[], **common) == request()


def test_options_say_how_tokens_are_chosen() -> None:
    made = request(
        options={
            "num_predict": 7,
            "stop": ["a", "b"],
            "temperature": 0,
            "top_k": 20,
            "top_p": 0.5,
            "min_p": 0.1,
            "repeat_penalty": 1.2,
            "presence_penalty": 1.5,
            "frequency_penalty": 1,
            "seed": 42,
            "typical_p": 0.7,
            "repeat_last_n": -1,
            "mirostat": 2,
            "mirostat_tau": 5,
            "mirostat_eta": 0.1,
        }
    )
    assert (made.max_tokens, made.stop) == (7, ("a", "b"))
    own = {"typical_p": 0.7, "repeat_last_n": -1, "mirostat": 2}
    own |= {"mirostat_tau": 5, "mirostat_eta": 0.1}
    assert made.sampling == Sampling(
        temperature=0,
        top_k=20,
        top_p=0.5,
        min_p=0.1,
        repeat_penalty=1.2,
        presence_penalty=1.5,
        frequency_penalty=1,
        seed=42,
        own=own,
    )
    assert request(options={"stop": "end", "num_predict": -2}).stop == ("end",)


def test_a_form_may_be_any_object_or_a_schema() -> None:
    assert request(format="json").json_schema == {"type": "object"}
    assert request(format=SCHEMA).json_schema == SCHEMA


@pytest.mark.parametrize(
    ("think", "reasoning"),
    [
        (True, Reasoning(enabled=True)),
        (False, Reasoning(enabled=False)),
        ("high", Reasoning(enabled=True, effort="high")),
        ("max", Reasoning(enabled=True, effort="max")),
    ],
)
def test_how_much_a_model_thinks(think: object, reasoning: Reasoning) -> None:
    assert request(think=think).reasoning == reasoning
    assert request(GENERATE, think=think).reasoning == reasoning


def test_probabilities() -> None:
    assert request(logprobs=True).logprobs == 0
    assert request(logprobs=True, top_logprobs=3).logprobs == 3
    assert request(logprobs=False, top_logprobs=0).logprobs is None


def test_messages_of_all_roles() -> None:
    call = {"function": {"name": "f", "arguments": {"a": [1, "é"]}}}
    made = request(
        messages=[
            {"role": "System", "content": "s"},
            {"role": "user", "content": "u", "images": [PNG, PNG]},
            {"role": "user", "images": [PNG]},
            {"role": "assistant", "thinking": "t", "tool_calls": [call]},
            {"role": "tool", "content": "r", "tool_name": "f"},
            {"role": "assistant"},
        ]
    )
    image = ImagePart(data=b"png")
    assert made.messages == (
        Message(role="system", content="s"),
        Message(role="user", content=(image, image, TextPart(text="u"))),
        Message(role="user", content=(image,)),
        Message(
            role="assistant",
            reasoning="t",
            tool_calls=(ToolCall(id="call00001", name="f", arguments='{"a":[1,"é"]}'),),
        ),
        Message(role="tool", content="r", name="f", tool_call_id="call00001"),
        Message(role="assistant"),
    )


def test_results_find_their_calls() -> None:
    def call(name: str, **named: str) -> dict[str, Any]:
        return {**named, "type": "function", "function": {"name": name, "index": 0}}

    def result(**named: str) -> dict[str, Any]:
        return {"role": "tool", "content": "r", **named}

    made = request(
        messages=[
            {"role": "assistant", "tool_calls": [call("f"), call("g"), call("f", id="x")]},
            result(tool_name="g"),
            result(tool_call_id="x"),
            result(),
            result(),
            result(tool_name="h", tool_call_id="y"),
        ]
    )
    assert [(each.name, each.tool_call_id) for each in (made.messages or ())[1:]] == [
        ("g", "call00002"),
        ("f", "x"),
        ("f", "call00001"),
        ("", ""),
        ("h", "y"),
    ]


def test_tools() -> None:
    tool = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
    made = request(tools=[{"type": "function", "function": tool}, {"function": {"name": "g"}}])
    assert made.tools == (
        Tool(name="f", description="d", parameters=SCHEMA, strict=True),
        Tool(name="g"),
    )


def test_a_prompt_is_what_the_user_says() -> None:
    made = request(GENERATE, prompt="p", system="s", images=[PNG])
    assert made.messages == (
        Message(role="system", content="s"),
        Message(role="user", content=(ImagePart(data=b"png"), TextPart(text="p"))),
    )


def test_a_raw_prompt_goes_to_the_model_as_it_is() -> None:
    made = request(GENERATE, prompt="p", raw=True)
    assert (made.prompt, made.messages) == ("p", None)


def test_a_model_is_named_as_people_write_it_for_ollama() -> None:
    model = ModelSpec(id="A-Q4_0.gguf", name="a", path="/a", quant="Q4_0")
    assert request(CHAT, model, model="a:q4_0").model == "A-Q4_0.gguf"
    assert request(GENERATE, model, model="a").model == "A-Q4_0.gguf"
    assert request(CHAT, model, model="unknown").model == "unknown"  # the service looks again


def test_names_are_those_of_the_models_there_are_now() -> None:
    service = FakeService(models=[M])
    post(service, CHAT, model="b")
    service.specs = [ModelSpec(id="B.gguf", name="b", path="/b")]
    post(service, CHAT, model="b")
    assert [each.model for each in service.requests] == ["b", "B.gguf"]


def test_a_context_that_the_model_does_not_have_is_refused() -> None:
    assert request(options={"num_ctx": 4096}).max_tokens is None
    for model, words in ((M, "the model has a context of 4096; send"), (None, "is not known")):
        specs = [model or ModelSpec(id="m", name="m", path="/m")]
        for path in (CHAT, GENERATE):
            response = post(FakeService(models=specs), path, model="m", options={"num_ctx": 4097})
            assert response.status_code == 400
            assert said(response).startswith("options.num_ctx: ")
            assert words in said(response)


def test_images_for_a_model_that_sees_none_are_refused_by_their_name() -> None:
    blind = ModelSpec(id="m", name="m", path="/m", capabilities=("chat", "text"))
    response = post(FakeService(models=[blind]), GENERATE, model="m", images=[PNG])
    assert (response.status_code, said(response)[:8]) == (400, "images: ")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        (CHAT, {"message": {"role": "assistant", "content": ""}}),
        (GENERATE, {"response": ""}),
    ],
)
@pytest.mark.parametrize(
    ("keep_alive", "move", "kept"),
    [
        (None, "load", ""),
        ("0s", "unload", ""),
        (60, "load", " for 60.0"),
        (-1, "load", " for forever"),
    ],
)
def test_a_body_in_which_nothing_is_said_moves_the_model(
    path: str, parts: dict[str, Any], keep_alive: object, move: str, kept: str
) -> None:
    service = FakeService(models=[M])
    empty = {"messages": []} if path == CHAT else {"prompt": ""}
    response = post(service, path, model="M", keep_alive=keep_alive, **empty)
    document = response.json()
    assert document.pop("created_at").endswith("Z")
    assert document == {"model": "M", **parts, "done": True, "done_reason": move}
    assert service.calls[1] == f"{move} m{kept}"
    assert not service.requests


def test_a_model_that_is_not_there_is_not_loaded() -> None:
    response = post(FakeService(models=[M]), CHAT, model="none", messages=[])
    assert response.status_code == 404


def test_a_load_has_no_more_time_than_its_request() -> None:
    for path, empty in ((CHAT, {"messages": []}), (EMBED, {"input": []})):
        service = FakeService(models=[M])
        service.load_gate = asyncio.Event()
        assert post(service, path, timeout_s=0.01, model="m", **empty).status_code == 504


def test_a_suffix_is_what_follows_the_prompt() -> None:
    for body in ({"prompt": "a"}, {"prompt": "a", "raw": True}):
        made = request(GENERATE, **body, suffix="b")
        assert (made.prompt, made.suffix, made.messages) == ("a", "b", None)
    made = request(GENERATE, prompt="", suffix="b")
    assert (made.prompt, made.suffix) == ("", "b")


@pytest.mark.parametrize("field", ["system", "images"])
def test_nothing_for_a_template_goes_with_a_suffix(field: str) -> None:
    body = {"suffix": "b", field: [PNG] if field == "images" else "s"}
    response = post(FakeService(models=[M]), GENERATE, **body)
    assert response.status_code == 400
    assert said(response).startswith(f"{field}: cannot be had with suffix: ")


def test_a_model_without_a_template_gets_the_prompt_as_it_is() -> None:
    bare = ModelSpec(id="m", name="m", path="/m", capabilities=("text",))
    made = request(GENERATE, bare, model="m", prompt="a")
    assert (made.prompt, made.messages) == ("a", None)
    response = post(FakeService(models=[bare]), GENERATE, model="m", system="s")
    assert said(response).startswith("system: needs a chat template, which the model does not have")
