# SPDX-License-Identifier: GPL-3.0-only
"""How much a model thinks, as servers of several kinds are told."""

from __future__ import annotations

from typing import Any, Final

from modeld.errors import NotSupportedError
from modeld.messages import Reasoning

USUAL_EFFORT: Final = "medium"
"""What turns thinking on where only a word for its effort does."""

_UNSAID: Final = Reasoning()


def by_effort(wanted: Reasoning) -> dict[str, Any]:
    """Return it as OpenAI's API has it: a word, or ``none``.

    Raises:
        NotSupportedError: the request has a budget for it.
    """
    _refuse_budget(wanted)
    return _effort(wanted)


def by_template(wanted: Reasoning) -> dict[str, Any]:
    """Return it as variables of the chat template, by the names that most templates know.

    Raises:
        NotSupportedError: the request has a budget for it.
    """
    _refuse_budget(wanted)
    variables: dict[str, Any] = {}
    if wanted.enabled is not None:
        variables["enable_thinking"] = wanted.enabled
    if wanted.effort is not None:
        variables["reasoning_effort"] = wanted.effort
    return {"chat_template_kwargs": variables} if variables else {}


def of_llama_server(wanted: Reasoning) -> dict[str, Any]:
    """Return it as llama-server has it: an effort, or that the template turns it on."""
    fields: dict[str, Any] = {}
    if wanted.enabled and wanted.effort is None:
        fields = {"chat_template_kwargs": {"enable_thinking": True}}
    elif wanted != _UNSAID:
        fields = _effort(wanted)
    if wanted.budget_tokens is not None:
        fields["thinking_budget_tokens"] = wanted.budget_tokens
    return fields


def of_modeld(wanted: Reasoning) -> dict[str, Any]:
    """Return it as another modeld has it: an effort, a budget."""
    fields = _effort(wanted)
    if wanted.budget_tokens is not None:
        fields["reasoning_budget_tokens"] = wanted.budget_tokens
    return fields


def _effort(wanted: Reasoning) -> dict[str, Any]:
    if wanted.enabled is False:
        return {"reasoning_effort": "none"}
    if wanted.effort is not None or wanted.enabled:
        return {"reasoning_effort": wanted.effort or USUAL_EFFORT}
    return {}


def _refuse_budget(wanted: Reasoning) -> None:
    if wanted.budget_tokens is not None:
        raise NotSupportedError(
            "reasoning.budget_tokens: the model's server has no budget for reasoning; send an"
            " effort",
            field="reasoning",
        )
