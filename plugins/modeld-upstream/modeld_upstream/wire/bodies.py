# SPDX-License-Identifier: GPL-3.0-only
"""A request for text as the body that a server of some kind takes."""

from __future__ import annotations

from typing import Any, Final

from modeld.errors import InvalidRequestError, NotSupportedError
from modeld.messages import ToolChoice
from modeld.requests import ApplyTemplateRequest, GenerateRequest, Sampling
from modeld_upstream.kinds import Kind
from modeld_upstream.wire.messages import message, tool, tool_choice

CHAT: Final = "/chat/completions"
PROMPT: Final = "/completions"

_LISTED: Final = ("logit_bias", "own")
_PLAIN: Final = tuple(
    name for name in Sampling.__struct_fields__ if name not in (*_LISTED, "ignore_eos")
)


def generation(request: GenerateRequest, kind: Kind, model: str) -> tuple[str, dict[str, Any]]:
    """Return the path below the base URL, and the body of a stream with its usage at the end.

    What ``kind`` does not declare has been refused before; here is refused what it cannot do in
    this one way.

    Raises:
        InvalidRequestError: there is such a thing; ``field`` names it.
        NotSupportedError: likewise.
    """
    is_chat = request.messages is not None
    body = {
        "model": model,
        **(_chat(request, kind) if is_chat else _prompt(request, kind)),
        **_sampling(request.sampling, kind),
        **_constraint(request, kind),
        **_cache(request, kind),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.max_tokens is not None:
        body[kind.limit if is_chat else "max_tokens"] = request.max_tokens
    if request.stop:
        body["stop"] = request.stop
    return (CHAT if is_chat else PROMPT), body


def _chat(request: GenerateRequest, kind: Kind) -> dict[str, Any]:
    body: dict[str, Any] = {"messages": [message(turn) for turn in request.messages or ()]}
    if request.tools:
        body["tools"] = [tool(each) for each in request.tools]
        body["parallel_tool_calls"] = request.parallel_tool_calls
    if request.tool_choice != ToolChoice():
        body["tool_choice"] = tool_choice(
            request.tool_choice, has_allowed_tools=kind.has_allowed_tools
        )
    body |= template(request, kind)
    if request.continue_last:
        body |= kind.continues
    if request.logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": _probabilities(request.logprobs)}
    return body


def template(request: GenerateRequest | ApplyTemplateRequest, kind: Kind) -> dict[str, Any]:
    """Return what is for the chat template: its variables, and how much the model thinks."""
    fields = kind.reasoning(request.reasoning)
    variables = {**request.template_kwargs, **fields.pop("chat_template_kwargs", {})}
    return fields | ({"chat_template_kwargs": variables} if variables else {})


def _prompt(request: GenerateRequest, kind: Kind) -> dict[str, Any]:
    """Return what a prompt needs; without a limit most servers would end it after 16 tokens."""
    if request.max_tokens is None and not kind.unlimited:
        raise InvalidRequestError(
            "max_tokens: must be given with a prompt: the model's server would end after a few"
            " tokens without it",
            field="max_tokens",
        )
    prompt = request.prompt if request.prompt is not None else request.prompt_tokens
    body = {"prompt": prompt, **kind.unlimited}
    if request.logprobs is not None:
        body["logprobs"] = _probabilities(request.logprobs)
    return body


def _probabilities(count: int) -> int:
    """Return how many likely tokens to ask for: of none, some servers send not even the chosen."""
    return max(1, count)


def _sampling(sampling: Sampling, kind: Kind) -> dict[str, Any]:
    fields = {
        kind.sampling_names.get(name, name): value
        for name in _PLAIN
        if (value := getattr(sampling, name)) is not None
    }
    if sampling.logit_bias:
        fields["logit_bias"] = {
            str(token): kind.banned if added is None else added
            for token, added in sampling.logit_bias
        }
    if sampling.ignore_eos:
        fields["ignore_eos"] = True
    return fields


def _constraint(request: GenerateRequest, kind: Kind) -> dict[str, Any]:
    for member, fields_of in kind.constraints.items():
        if getattr(request, member) is not None:
            return fields_of(request)
    return {}


def _cache(request: GenerateRequest, kind: Kind) -> dict[str, Any]:
    """Return what keeps callers' caches apart; a server that cannot do that must not be asked."""
    fields: dict[str, Any] = {}
    if request.cache_salt:
        if not kind.shares_by_salt:
            raise _uncached(
                "cache_salt",
                "keep the caches of callers apart; leave it out, or where cache_per_key adds it,"
                " let the operator set the server's kind or turn that off",
            )
        fields["cache_salt"] = request.cache_salt
    if not request.cache_prompt:
        if not kind.may_skip_cache:
            raise _uncached("cache_prompt", "do without its cache")
        fields["cache_prompt"] = False
    return fields


def _uncached(field: str, verb: str) -> NotSupportedError:
    return NotSupportedError(f"{field}: the model's server cannot be told to {verb}", field=field)
