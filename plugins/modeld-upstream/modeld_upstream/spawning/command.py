# SPDX-License-Identifier: GPL-3.0-only
"""The command that starts a server: a template, filled in without any shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from modeld.errors import ConfigurationError

HOLES: Final = ("model", "port", "ctx", "ctx_total", "slots")

_HOLE: Final = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True, kw_only=True)
class Filling:
    """What goes into a command. ``context`` is for ``{ctx}`` and may be unknown.

    ``{ctx_total}`` is that of all slots, for servers whose slots share one context.
    """

    model: str
    port: int
    context: int | None
    slots: int


def fault_of_command(command: str) -> str | None:
    """Return what is wrong with a command's template, or ``None``."""
    try:
        parts = shlex.split(command)
    except ValueError as exc:
        return f"has a command that cannot be read: {str(exc).lower()}"
    if not parts:
        return "has an empty command"
    found = [hole for part in parts for hole in _HOLE.findall(part)]
    for hole in found:
        if hole not in HOLES:
            known = ", ".join(f"{{{name}}}" for name in HOLES)
            return f"has a command with {{{hole}}}; what is filled in is {known}"
    if "port" not in found:
        return "has a command without {port}, by which it would be told where to listen"
    return None


def filled(command: str, filling: Filling) -> list[str]:
    """Return the arguments; what is filled in stays one argument, whatever is in it.

    Raises:
        ConfigurationError: the command wants a context that nobody has set.
    """
    values: dict[str, str] = {
        "model": filling.model,
        "port": str(filling.port),
        "slots": str(filling.slots),
    }
    if filling.context is not None:
        values["ctx"] = str(filling.context)
        values["ctx_total"] = str(filling.context * filling.slots)
    return [_HOLE.sub(lambda hole: _value(hole[1], values), part) for part in shlex.split(command)]


def _value(hole: str, values: Mapping[str, str]) -> str:
    if hole not in values:
        raise ConfigurationError(
            f"the command has {{{hole}}}: set context, for the server or for the model",
            field="models",
        )
    return values[hole]
