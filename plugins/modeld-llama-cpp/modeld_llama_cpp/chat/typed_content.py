# SPDX-License-Identifier: GPL-3.0-only
"""Finds out whether a chat template takes a message's content as a text or as a list of parts.

A template that loops over parts finds none in a text and loses it, without an error. Nothing in a
template says which it wants, so it is tried with a chat that can be recognised. It runs where
templates are rendered, once for each template.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

Messages: TypeAlias = list[dict[str, Any]]
Render: TypeAlias = Callable[[Messages], str]

_MARKER = "thetextofthismessage"
_DUMPED = re.compile(rf"""['"]text['"]\s*:\s*['"]{_MARKER}""")
"""A template that wants a text writes a list of parts as Python or JSON does."""


def typed_roles(render: Render) -> dict[str, bool]:
    """Return for each of the usual roles that is kept whether only a list of parts is.

    Each is tried by itself. A role that is not there is kept in neither form.
    """
    found: dict[str, bool] = {}
    for role in ("user", "system", "assistant"):
        form = kept_form(render, partial(_trial, role, found))
        if form is not None:
            found[role] = form
    return found


def kept_form(render: Render, trial: Callable[[bool], Messages]) -> bool | None:
    """Return whether a list of parts is all that is kept of a content, or None if nothing is."""
    return next((typed for typed in (False, True) if _keeps(render, trial(typed))), None)


def marked(role: str, *, typed: bool) -> dict[str, Any]:
    """Return a message whose text can be recognised."""
    return message(role, _MARKER, typed=typed)


def message(role: str, text: str, *, typed: bool) -> dict[str, Any]:
    """Return a message with its content in one of the two forms."""
    return {"role": role, "content": [{"type": "text", "text": text}] if typed else text}


def attempt(render: Render, messages: Messages) -> str:
    """Return what a template writes, and nothing where it fails."""
    try:
        return render(messages)
    except Exception:  # noqa: BLE001  (whatever foreign code raises, it keeps nothing)
        return ""


def _trial(role: str, found: dict[str, bool], typed: bool) -> Messages:  # noqa: FBT001
    """Return a chat in which what a role says can be recognised."""
    user = message("user", "?", typed=found.get("user", False))
    tried = marked(role, typed=typed)
    chats = {"user": [tried], "system": [tried, user], "assistant": [user, tried, user]}
    return chats[role]


def _keeps(render: Render, messages: Messages) -> bool:
    text = attempt(render, messages)
    return _MARKER in text and not _DUMPED.search(text)
