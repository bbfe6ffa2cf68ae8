# SPDX-License-Identifier: GPL-3.0-only
"""The real templates of many models: whose family they are, and that what they write is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from modeld_llama_cpp.chat.formats.chat_format import PROMPT_END_CHARS
from modeld_llama_cpp.chat.formats.detection import format_of
from modeld_llama_cpp.chat.template_process import environment
from taking_apart import NOW, PYTHON, WEATHER, Apart, taken_apart

pytestmark = pytest.mark.model

FAMILIES = {
    "apriel": ("Apriel-1.6-15b-Thinker-fixed", "unsloth-Apriel-1.5"),
    "command": ("Cohere2MoE", "CohereForAI-c4ai-command-r7b-12-2024-tool_use"),
    "deepseek": (
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "llama-cpp-deepseek-r1",
    ),
    "deepseek-v3.1": ("deepseek-ai-DeepSeek-V3.1",),
    "firefunction": ("fireworks-ai-llama-3-firefunction-v2",),
    "functionary-v3.1": ("meetkai-functionary-medium-v3.1",),
    "functionary-v3.2": ("meetkai-functionary-medium-v3.2",),
    "gemma": ("google-gemma-2-2b-it",),
    "gemma4": ("google-gemma-4-31B-it", "google-gemma-4-31B-it-interleaved"),
    "generic": (
        "Apertus-8B-Instruct", "HuggingFaceTB-SmolLM3-3B", "microsoft-Phi-3.5-mini-instruct",
        "llama-cpp-rwkv-world",
    ),
    "glm": (
        "GLM-4.6", "GLM-4.7-Flash", "Spark2.5", "inclusionai-ling-3.0-flash",
        "poolside-Laguna-S-2.1", "poolside-Laguna-XS-2.1", "poolside-Laguna-XS.2",
    ),
    "gpt-oss": ("openai-gpt-oss-120b",),
    "granite": ("ibm-granite-granite-3.3-2B-Instruct",),
    "hermes": (
        "Bielik-11B-v3.0-Instruct", "MiMo-VL", "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use",
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "Qwen-QwQ-32B",
        "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Reka-Edge",
        "ibm-granite-granite-4.0", "ibm-granite-granite-4.1",
    ),
    "kimi": ("Kimi-K2-Instruct", "Kimi-K2-Thinking", "moonshotai-Kimi-K2"),
    "lfm2": ("LFM2-8B-A1B", "LFM2.5-8B-A1B", "LFM2.5-Instruct"),
    "llama3": (
        "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct",
        "meta-llama-Llama-3.3-70B-Instruct",
    ),
    "minimax-m1": ("MiniMax-M1",),
    "minimax-m2": ("MiniMax-M2",),
    "mistral": ("mistralai-Mistral-Nemo-Instruct-2407",),
    "mistral-named": (
        "Mistral-Small-3.2-24B-Instruct-2506", "mistralai-Ministral-3-14B-Reasoning-2512",
        "unsloth-mistral-Devstral-Small-2507",
    ),
    "nemotron": ("NVIDIA-Nemotron-Nano-v2",),
    "qwen3-coder": (
        "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "Qwen3-Coder", "Qwen3.5-4B", "StepFun3.5-Flash",
    ),
    "seed": ("ByteDance-Seed-OSS",),
}  # fmt: skip

OF_NONE = {
    "CohereForAI-c4ai-command-r-plus-tool_use", "GigaChat3-10B-A1.8B", "GigaChat3.1-10B-A1.8B",
    "Kimi-K3", "MiniMax-M3", "deepseek-ai-DeepSeek-V3.2", "deepseek-ai-DeepSeek-V4",
    "deepseek-ai-DeepSeek-V4-Flash-0731", "muse-glimmer", "openbmb-MiniCPM5-1B", "tencent-Hy3",
    "upstage-Solar-Open-100B",
}  # fmt: skip
"""Those that write calls in a form that is not read yet; these models get the generic family."""

WRITES_NO_CALLS = {
    "google-gemma-2-2b-it", "ibm-granite-granite-3.3-2B-Instruct", "LFM2-8B-A1B",
    "LFM2.5-Instruct", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
    # These ask for a `functions` of their own, or change lists, which a sandbox forbids.
    "fireworks-ai-llama-3-firefunction-v2", "Kimi-K2-Instruct", "Kimi-K2-Thinking",
    "llama-cpp-deepseek-r1", *FAMILIES["generic"],
}  # fmt: skip

WRITERS = sorted({name for names in FAMILIES.values() for name in names} - WRITES_NO_CALLS)
ARGUMENTS = {"city": "Zürich 🏔", "days": 3}
USER = {"role": "user", "content": "Hi"}
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": "…",
            "parameters": tool.parameters or {"type": "object", "properties": {}},
        },
    }
    for tool in (WEATHER, PYTHON, NOW)
]


@pytest.fixture(scope="module")
def templates(real_models: Path) -> Path:
    folder = real_models / "templates"
    assert folder.is_dir(), f"{folder} is not there; run `make models`"
    return folder


def renderer(source: str) -> Callable[..., str]:
    template = environment().from_string(source)
    return lambda *messages, begin: template.render(
        messages=messages, tools=TOOLS, add_generation_prompt=begin, bos_token="", eos_token=""
    )


def calls_as(arguments: object) -> dict[str, Any]:
    function = {"name": "get_weather", "arguments": arguments}
    call = {"id": "abcdefghi", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def written(source: str, arguments: object) -> Apart:
    """What a family reads where the template itself writes a call."""
    family, render = format_of(source, ()), renderer(source)
    prompt = render(USER, begin=True)
    whole = render(USER, calls_as(arguments), begin=False)
    differ = (index for index, char in enumerate(whole) if prompt[index : index + 1] != char)
    begin = next(differ)
    # A mark of reasoning in one and a mark of a call in the other may begin alike.
    mark = whole.rfind("<", 0, begin)
    begin = begin if mark < 0 or ">" in whole[mark:begin] else mark
    return taken_apart(family, [whole[begin:]], prompt_end=whole[:begin][-PROMPT_END_CHARS:])


def test_each_template_is_of_its_family(templates: Path) -> None:
    found = {path.stem: format_of(path.read_text(), ()).name for path in templates.glob("*.jinja")}
    told = {name: family for family, names in FAMILIES.items() for name in names}
    assert found == told | dict.fromkeys(OF_NONE, "generic")


def attempts(source: str) -> Iterator[Apart]:
    """Arguments as templates want them: as an object, or as a text."""
    for arguments in (ARGUMENTS, json.dumps(ARGUMENTS, ensure_ascii=False)):
        try:
            yield written(source, arguments)
        except Exception as exc:  # noqa: BLE001  (templates raise whatever they like)
            print(exc)


@pytest.mark.parametrize("name", WRITERS)
def test_what_a_template_writes_is_read(templates: Path, name: str) -> None:
    source = (templates / f"{name}.jinja").read_text()
    assert any(
        [(called, json.loads(arguments)) for called, arguments in found.calls]
        == [("get_weather", ARGUMENTS)]
        for found in attempts(source)
        if all(arguments for _, arguments in found.calls)
    )
