# SPDX-License-Identifier: GPL-3.0-only
"""What models can be asked for follows from their files, on every wire of a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from tiny_gguf import BEFORE_MIDDLE, INFILL, PAD, Script, write_scripted

from tests.support.http.served import Served, serving

SCRIPT: Script = {BEFORE_MIDDLE: b"m", b"m": b"n", b"n": b"o", b"o": PAD, b"a": b"b", b"b": PAD}
CODER, CHATTY, TEMPLATED = "coder.gguf", "chatty.gguf", "templated.gguf"
TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
OPTIONS = {
    "*": {"context": 256, "threads": 1},
    TEMPLATED: {"context": 256, "threads": 1, "chat_template": TEMPLATE},
}
OF_CHATS = {"chat", "parts", "names", "tools", "reasoning", "template_kwargs", "continue_last"}
FILL_IN = {"prompt": "x", "suffix": "y", "stream": False}
CHAT = {"messages": [{"role": "user", "content": "a"}], "stream": False}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with a model that fills in, one that chats, and one that is made to do both."""
    folder = tmp_path_factory.mktemp("served")
    write_scripted(folder / CODER, SCRIPT, named=INFILL)
    write_scripted(folder / TEMPLATED, SCRIPT, named=INFILL)
    write_scripted(folder / CHATTY, SCRIPT, chat_template=TEMPLATE)
    with serving(folder, "--models", json.dumps(OPTIONS)) as server:
        yield server


def test_ollama_is_told_how_long_a_request_waited_for_its_load(served: Served) -> None:
    first, second = (
        served.post("/api/generate", {"model": TEMPLATED, **FILL_IN}).json() for _ in range(2)
    )
    parts = ("load_duration", "prompt_eval_duration", "eval_duration")
    assert first["load_duration"] > 0
    assert abs(sum(first[part] for part in parts) - first["total_duration"]) <= len(parts)
    assert second["load_duration"] == 0


def test_what_a_model_fills_in_comes_by_all_wires(served: Served) -> None:
    asked = {"model": CODER, **FILL_IN}
    native = served.post("/infer", asked).json()
    assert (native["content"], native["finish_reason"]) == ("mno", "stop")
    assert native["usage"]["prompt_tokens"] == 6
    assert served.post("/v1/completions", asked).json()["choices"][0]["text"] == "mno"
    assert '"text":"m"' in served.post("/v1/completions", asked | {"stream": True}).text
    ollama = served.post("/api/generate", asked).json()
    assert (ollama["response"], ollama["done_reason"]) == ("mno", "stop")


def test_a_model_that_cannot_fill_in_refuses_a_suffix_by_its_name(served: Served) -> None:
    asked = {"model": CHATTY, **FILL_IN}
    native = served.post("/infer", asked)
    openai = served.post("/v1/completions", asked)
    ollama = served.post("/api/generate", asked)
    assert native.json()["field"] == openai.json()["error"]["param"] == "suffix"
    for refused in (native, openai, ollama):
        assert refused.status_code == 400
        assert "suffix: " in refused.text
        assert "; its vocabulary has no tokens for filling in the middle" in refused.text


def test_a_model_without_a_chat_template_refuses_chats_and_says_why(served: Served) -> None:
    for path in ("/infer", "/v1/chat/completions", "/api/chat"):
        refused = served.post(path, {"model": CODER, **CHAT})
        assert refused.status_code == 400
        assert "messages: " in refused.text
        assert "its file has no chat template; set the option `chat_template`" in refused.text
    plain = {"model": CODER, "prompt": "a", "stream": False}
    assert served.post("/api/generate", plain).json()["response"] == "b"


def test_a_template_that_is_set_makes_a_model_chat(served: Served) -> None:
    assert served.post("/infer", {"model": TEMPLATED, **CHAT}).json()["content"] == "b"


def test_lists_say_what_each_model_can_be_asked_for(served: Served) -> None:
    models = served.get("/models").json()["models"]
    listed = {each["id"]: set(each["capabilities"]) for each in models}
    assert listed[CODER] - listed[CHATTY] == {"suffix"}
    assert listed[CHATTY] - listed[CODER] == OF_CHATS | {"template"}
    assert listed[TEMPLATED] == listed[CODER] | listed[CHATTY]
    assert set(served.get(f"/v1/models/{CODER}").json()["capabilities"]) == listed[CODER]
    shown = {
        model: served.post("/api/show", {"model": model}).json()["capabilities"]
        for model in (CODER, CHATTY)
    }
    assert shown == {CODER: ["completion", "insert"], CHATTY: ["completion", "tools", "thinking"]}
