# SPDX-License-Identifier: GPL-3.0-only
"""Requests that say nothing: they load their model, or unload it."""

from __future__ import annotations

from typing import Any

from modeld.dialects import Call, Load, Unload, WholeResponse
from modeld_ollama.models.catalogue import Named
from modeld_ollama.text.fields import OllamaBody
from modeld_ollama.timing import now


def moved(body: OllamaBody, named: Named, parts: dict[str, Any]) -> Load | Unload:
    """Return what such a body asks for; ``parts`` are the members of a response without a text."""
    unloads = body.keep_alive == 0

    def respond(call: Call) -> WholeResponse:
        return WholeResponse.of(
            {
                "model": body.model or call.model,
                "created_at": now(),
                **parts,
                "done": True,
                "done_reason": "unload" if unloads else "load",
            }
        )

    if unloads:
        return Unload(model=named.id, respond=respond, timeout_s=body.timeout_s)
    return Load(
        model=named.id,
        respond=respond,
        keep_alive_s=body.keep_alive,
        fit=body.fit is not False,
        timeout_s=body.timeout_s,
    )
