# SPDX-License-Identifier: GPL-3.0-only
"""The commands of the program ``modeld``: the built-in ones, and the type of a plugin's command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

BUILT_IN: Final[Mapping[str, str]] = {
    "serve": "Serve models over HTTP until SIGTERM or Ctrl-C.",
    "run": "Generate text from PROMPT with MODEL in this terminal, without a server.",
    "models": "List the models that can be served.",
    "plan": "Say what a request for each MODEL would bring about, and do nothing of it.",
    "plugins": "List the installed plugins, the broken ones with the reason.",
    "check": "Check that PLUGIN keeps to the contracts of what it brings.",
    "simulate": "Compare eviction policies, without a model or a server.",
    "doctor": "Find what is wrong with this machine and these settings, and say the fix.",
    "version": "Print the versions of modeld, its plugins, their runtimes and Python.",
    "completion": "Print the completion script for SHELL: bash, zsh or fish.",
}
"""The built-in commands and what they do, so that the help imports none of them."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TARGET: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that a plugin brings: ``modeld NAME``.

    ``target`` names a ``click.Command`` as ``package.module:attribute``. It is imported when the
    command is run and not before, so that it may need what nothing else does. ``summary`` is the
    line of ``modeld --help``.

    Raises:
        ValueError: a field is not written like that.
    """

    name: str
    summary: str
    target: str

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"a command's name is small letters, digits and -, not {self.name!r}")
        if not self.summary.isprintable() or not self.summary.strip():
            raise ValueError(
                f"the summary of {self.name} is one line of text, not {self.summary!r}"
            )
        if not _TARGET.fullmatch(self.target):
            raise ValueError(
                f"the target of {self.name} is written package.module:attribute,"
                f" not {self.target!r}"
            )
