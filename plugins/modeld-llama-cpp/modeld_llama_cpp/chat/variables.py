# SPDX-License-Identifier: GPL-3.0-only
"""The variables that a request sets for a chat template, those about reasoning among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from modeld.errors import InvalidRequestError, NotSupportedError
from modeld.messages import Reasoning
from modeld_llama_cpp.chat.hidden_texts import Hider
from modeld_llama_cpp.chat.traits import EFFORT, SWITCHES, Traits

RESERVED: Final = frozenset(
    {
        "messages",
        "tools",
        "bos_token",
        "eos_token",
        "add_generation_prompt",
        "continue_final_message",
    }
)
"""What a template is given by the engine, whatever a request says."""


def of_reasoning(
    reasoning: Reasoning, traits: Traits, *, thinks: bool, ends: bool
) -> dict[str, object]:
    """Return the variables that tell a template how much the model is to think.

    ``thinks`` is whether it has anything of reasoning in it, and ``ends`` whether a mark that ends
    it is known. With such a mark a generation keeps to a budget, and has none where no variable
    turns it off.

    Raises:
        NotSupportedError: the template knows no reasoning, or not this about it.
    """
    if not thinks and _wants_any(reasoning):
        raise _refused("has no reasoning; leave it out, or turn it off")
    if reasoning.effort is not None and EFFORT not in traits.variables:
        raise _refused(f"does not read {EFFORT!r}, so that no effort can be set")
    if reasoning.budget_tokens is not None and thinks and not ends:
        raise _refused("has no mark known to end reasoning, so that no budget can be kept to")
    made: dict[str, object] = {}
    if reasoning.enabled is not None:
        made |= dict.fromkeys(SWITCHES & traits.variables, reasoning.enabled)
    if reasoning.effort is not None:
        made[EFFORT] = reasoning.effort
    return made


def of_request(
    given: Mapping[str, Any], traits: Traits, hider: Hider, others: Mapping[str, object]
) -> dict[str, object]:
    """Return a request's own variables, with all hidden in their texts that must be.

    Raises:
        InvalidRequestError: one is the engine's, or is among the ``others``, which say it already.
        NotSupportedError: the template does not read one.
    """
    for name in given:
        field = f"template_kwargs.{name}"
        if name in RESERVED:
            raise InvalidRequestError(f"{field} is set by the engine itself", field=field)
        if name in others:
            raise InvalidRequestError(f"{field} and reasoning cannot be used together", field=field)
        if name not in traits.variables:
            known = ", ".join(sorted(traits.variables - RESERVED)) or "none"
            raise NotSupportedError(
                f"{field}: the model's chat template has no such variable; it reads {known}",
                field=field,
            )
    return {name: hider.hide_all(value) for name, value in given.items()}


def _wants_any(reasoning: Reasoning) -> bool:
    return bool(reasoning.enabled or reasoning.effort is not None or reasoning.budget_tokens)


def _refused(why: str) -> NotSupportedError:
    return NotSupportedError(f"reasoning: the model's chat template {why}", field="reasoning")
