# SPDX-License-Identifier: GPL-3.0-only
"""Checks of a chat and its tools that go beyond the types of their members.

What is wrong is told in words that go on after the name of the member.
"""

from __future__ import annotations

from typing import Final

from modeld.constraints import fault_of_schema
from modeld.messages import Reasoning, Tool
from modeld.requests import ApplyTemplateRequest, GenerateRequest

ASSISTANT = "assistant"
"""The role of the model itself."""

PROMPTS: Final = ("prompt", "prompt_tokens", "messages")
"""The members of a request that say what to go on with, of which one is set."""

NO_PROMPT: Final = "prompt: must be given and not be empty, unless there are tokens or messages"

_NEEDS_PROMPT: Final = "needs a prompt as a text: what is generated stands between the two"
_NEEDS_MESSAGES: Final = "needs messages; a prompt goes to the model as it is"
_NO_REASONING: Final = (Reasoning(), Reasoning(enabled=False))
"""What a prompt does anyway, which is read as it is."""


def fault_of_chat(request: GenerateRequest | ApplyTemplateRequest) -> tuple[str, str] | None:
    """Return the member that is wrong about a request's chat and what is wrong, or None."""
    fault = _fault_of_messages(request) or _fault_of_tools(request.tools)
    if fault is None and isinstance(request, GenerateRequest):
        # Beside a prompt too, where no tool can be called.
        fault = _fault_of_suffix(request) or _fault_of_tool_choice(request)
    return fault


def _fault_of_messages(request: GenerateRequest | ApplyTemplateRequest) -> tuple[str, str] | None:
    if request.messages:
        if request.continue_last and request.messages[-1].role != ASSISTANT:
            return "continue_last", f"needs a last message whose role is {ASSISTANT!r}"
        return None
    for name in ("continue_last", "tools", "template_kwargs"):  # only a chat template serves these
        if getattr(request, name):
            return name, _NEEDS_MESSAGES
    return None if request.reasoning in _NO_REASONING else ("reasoning", _NEEDS_MESSAGES)


def _fault_of_suffix(request: GenerateRequest) -> tuple[str, str] | None:
    is_alone = request.suffix is not None and request.prompt is None
    return ("suffix", _NEEDS_PROMPT) if is_alone else None


def _fault_of_tools(tools: tuple[Tool, ...]) -> tuple[str, str] | None:
    seen: set[str] = set()
    for index, tool in enumerate(tools):
        if tool.name in seen:
            return f"tools[{index}].name", f"{tool.name!r} is there twice"
        seen.add(tool.name)
        if tool.parameters is not None and (fault := fault_of_schema(tool.parameters)):
            return f"tools[{index}].parameters", fault
    return None


def _fault_of_tool_choice(request: GenerateRequest) -> tuple[str, str] | None:
    choice = request.tool_choice
    if choice.mode == "required" and not request.tools:
        return "tool_choice", "needs tools"
    known = {tool.name for tool in request.tools}
    for name in choice.names:
        if name not in known:
            return "tool_choice", f"names the tool {name!r}, which is not among the tools"
    return None
