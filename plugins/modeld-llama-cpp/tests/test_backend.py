# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import importlib
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from modeld_llama_cpp import backend
from modeld_llama_cpp.backend import LlamaCpp
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import estimate
from modeld_llama_cpp.sizing.context_size import DEFAULT_CONTEXT
from modeld_llama_cpp.sizing.model_shape import shape_of
from msgspec.structs import replace

from modeld import Engine, GenerateRequest, MemoryEstimate, Message, ModelSpec, Options
from modeld.capabilities import Capability, check, joined
from modeld.errors import NotSupportedError
from modeld.messages import (
    AudioPart,
    ImagePart,
    Reasoning,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from modeld.values import JsonValue


class Host:
    """Takes down what it is asked for."""

    def __init__(self, returned: JsonValue = None) -> None:
        self.asked: list[tuple[str, ModelSpec, Options]] = []
        self._returned = returned

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        self.asked.append((engine, spec, options))
        return None  # type: ignore[return-value]

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        self.asked.append((function, spec, options))
        return self._returned

    def progress(self, fraction: float) -> None: ...


def spec(family: str = "llama", format_: str = "gguf") -> ModelSpec:
    return ModelSpec(id="m", name="m", path="m", format=format_, family=family)


@pytest.mark.parametrize(
    ("format_", "family", "can"),
    [
        ("gguf", "llama", True),
        ("gguf", "bert", True),
        ("gguf", "nomic-bert", True),
        ("gguf", "mamba", True),
        ("gguf", "t5encoder", False),
        ("gguf", "clip", False),
        ("gguf", "llada", False),
        ("safetensors", "llama", False),
    ],
)
def test_the_backend_takes_gguf_models_of_texts(format_: str, family: str, can: bool) -> None:
    assert LlamaCpp().can_load(spec(family, format_)) is can


@pytest.mark.parametrize(
    ("family", "options", "engine"),
    [
        ("llama", LlamaOptions(), "modeld_llama_cpp.engine.engine:LlamaEngine"),
        ("bert", LlamaOptions(), "modeld_llama_cpp.embedding.engine:EmbeddingEngine"),
        (
            "llama",
            LlamaOptions(embeddings=True),
            "modeld_llama_cpp.embedding.engine:EmbeddingEngine",
        ),
    ],
)
def test_a_load_starts_the_engine_for_what_the_model_makes(
    family: str, options: LlamaOptions, engine: str
) -> None:
    host = Host()
    asyncio.run(LlamaCpp().load(spec(family), options, host))
    assert host.asked == [(engine, spec(family), options)]


def test_the_engines_and_the_measurement_are_where_the_backend_says() -> None:
    host = Host()
    for family in ("llama", "bert"):
        asyncio.run(LlamaCpp().load(spec(family), LlamaOptions(), host))
    asyncio.run(LlamaCpp().measure(spec(), LlamaOptions(), host))
    assert len(host.asked) == 3
    for name, _, _ in host.asked:
        module, _, attribute = name.partition(":")
        assert callable(getattr(importlib.import_module(module), attribute))


def test_a_model_is_measured_in_a_worker() -> None:
    host = Host({"weights_bytes": 1, "kv_bytes": 2, "compute_bytes": 4})
    measured = asyncio.run(LlamaCpp().measure(spec(), LlamaOptions(), host))
    beside = estimate.constraint_bytes(shape_of(spec()), LlamaOptions())
    assert measured == MemoryEstimate(weights_bytes=1, kv_bytes=2, compute_bytes=4 + beside)
    assert host.asked == [("modeld_llama_cpp.native.dry_run:measure", spec(), LlamaOptions())]


def test_a_measurement_that_cannot_be_is_none() -> None:
    assert asyncio.run(LlamaCpp().measure(spec(), LlamaOptions(), Host())) is None


def test_warm_imports_can_be_imported() -> None:
    for module in LlamaCpp.warm_imports:
        __import__(module)


def test_an_estimate_is_made_from_the_header_alone() -> None:
    made = ModelSpec(id="m", name="m", path="there is no such file", weights_bytes=123)
    assert LlamaCpp().estimate(made, LlamaOptions()).weights_bytes == 123


def test_the_plugin_is_found_by_its_entry_point() -> None:
    (found,) = entry_points(group="modeld", name="llama-cpp")
    assert found.load() is backend
    (brought,) = backend.modeld_register_backends()
    assert brought.name == "llama-cpp"
    assert brought.options_type is LlamaOptions


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("backend", {"llama_cpp", "numpy", "jinja2", "starlette"}),
        ("engine.scheduler", {"llama_cpp", "numpy", "modeld", "msgspec"}),
        ("tokens.detokenizer", {"llama_cpp", "numpy", "modeld", "msgspec"}),
        ("sizing.estimate", {"llama_cpp", "numpy"}),
        ("chat.template_option", {"llama_cpp", "numpy", "jinja2", "modeld", "msgspec"}),
        ("chat.template_process", {"llama_cpp", "numpy", "modeld", "msgspec"}),
    ],
)
def test_what_decides_loads_no_runtime(module: str, without: set[str]) -> None:
    code = f"import sys, modeld_llama_cpp.{module}; print(*{without} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert loaded.stdout.split() == []


EVERYTHING = GenerateRequest(
    messages=(
        Message(role="user", content=(TextPart(text="a"),)),
        Message(role="assistant", tool_calls=(ToolCall(name="f"),), reasoning="so"),
        Message(role="tool", content="b", tool_call_id="1"),
        Message(role="assistant", content="c"),
    ),
    continue_last=True,
    tools=(Tool(name="f"),),
    tool_choice=ToolChoice(mode="required"),
    reasoning=Reasoning(effort="low"),
    template_kwargs={"a": 1},
    logprobs=0,
)


def test_a_model_that_writes_serves_all_of_a_chat_but_images_and_sounds() -> None:
    declared = LlamaCpp().capabilities(spec(), LlamaOptions())
    check(EVERYTHING, declared)
    assert joined(EVERYTHING, declared) is EVERYTHING
    for part in (ImagePart(data=b""), AudioPart(data=b"")):
        message = Message(role="user", content=(part,))
        with pytest.raises(NotSupportedError, match=r"messages\[0\].content\[0\]"):
            check(GenerateRequest(messages=(message,)), declared)


def test_one_request_may_fill_the_context() -> None:
    assert LlamaCpp().context(spec(), LlamaOptions(context=512)) == 512
    assert LlamaCpp().context(spec(), LlamaOptions()) <= DEFAULT_CONTEXT


def test_a_model_that_makes_vectors_serves_no_chat() -> None:
    declared = LlamaCpp().capabilities(spec(), LlamaOptions(embeddings=True))
    with pytest.raises(NotSupportedError):
        check(EVERYTHING, declared)


CHAT = {"chat", "parts", "names", "tools", "reasoning", "template_kwargs", "continue_last"}


DEFAULTS = LlamaOptions()


def declared_by(options: LlamaOptions = DEFAULTS, **said: object) -> set[str]:
    return {str(each) for each in LlamaCpp().capabilities(replace(spec(), **said), options)}


def test_without_a_chat_template_there_is_nothing_of_chats() -> None:
    every, bare = declared_by(), declared_by(has_chat_template=False)
    assert every - bare == CHAT | {"template"}
    assert declared_by(has_chat_template=True) == every
    for options in (LlamaOptions(chat_template="chatml"), LlamaOptions(chat_template="{{ a }}")):
        assert declared_by(options, has_chat_template=False) == every


def test_llama_cpp_has_a_template_for_mistral_small() -> None:
    known = {"tokenizer.ggml.pre": "tekken", "llama.block_count": 40}
    assert declared_by(has_chat_template=False, metadata=known) == declared_by()
    for other in ({"tokenizer.ggml.pre": "qwen2"}, {"llama.block_count": 39}):
        assert "chat" not in declared_by(has_chat_template=False, metadata=known | other)


def test_a_suffix_needs_tokens_for_it() -> None:
    assert declared_by(has_infill_tokens=True) - declared_by() == {"suffix"}
    assert declared_by(has_infill_tokens=False) == declared_by()


def test_a_model_that_makes_vectors_fills_in_nothing() -> None:
    vectors = LlamaOptions(embeddings=True)
    bare = {"embed", "token_ids", "tokenize"}
    assert declared_by(vectors, has_infill_tokens=True) == bare | {"template"}
    assert declared_by(vectors, has_chat_template=False) == bare
    ranks = declared_by(LlamaOptions(pooling="rank"), has_chat_template=False)
    assert ranks == {"rerank", "tokenize"}


@pytest.mark.parametrize(
    ("missing", "options", "said"),
    [
        (Capability.CHAT, LlamaOptions(), "its file has no chat template"),
        (Capability.TOOLS, LlamaOptions(), "its file has no chat template"),
        (Capability.SUFFIX, LlamaOptions(), "its vocabulary has no tokens for filling in"),
        (Capability.EMBED, LlamaOptions(), "it is loaded to write text"),
        (Capability.CHAT, LlamaOptions(embeddings=True), "it is loaded for embeddings"),
        (Capability.TEMPLATE, LlamaOptions(embeddings=True), "its file has no chat template"),
        (Capability.VISION, LlamaOptions(), ""),
    ],
)
def test_a_refusal_says_why(missing: Capability, options: LlamaOptions, said: str) -> None:
    bare = replace(spec(), has_chat_template=False, has_infill_tokens=False)
    advice = LlamaCpp().advice(missing, bare, options)
    assert advice.startswith(said)
    assert bool(advice) is bool(said)
