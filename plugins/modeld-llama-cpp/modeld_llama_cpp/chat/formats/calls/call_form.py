# SPDX-License-Identifier: GPL-3.0-only
"""How calls are written: how to read them, and how a grammar has them written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeAlias

from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.output import Output
from modeld_llama_cpp.chat.formats.reader import Reading


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON text that conforms to a schema, in what a grammar has written."""

    schema: object


@dataclass(frozen=True, slots=True)
class Raw:
    """Any text up to a mark, and the mark, in what a grammar has written."""

    end: str


@dataclass(frozen=True, slots=True)
class Pattern:
    """What matches a regular expression, in what a grammar has written."""

    text: str


@dataclass(frozen=True, slots=True)
class OneOf:
    """One of some texts, in what a grammar has written."""

    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Optional:
    """What a grammar may have written or not."""

    parts: tuple[Part, ...]


Part: TypeAlias = "str | Json | Raw | Pattern | OneOf | Optional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What is written around calls: before the first, between two, and behind the last."""

    before: str
    between: str
    after: str


class CallForm(ABC):
    """One way to write calls.

    ``openers`` are the marks that begin them anywhere in a text, and ``closers`` other marks that
    they have. Where ``bare`` is set, this sign begins them too, but only at a text's beginning.
    ``no_call`` is what may stand behind an opener where no call follows.
    """

    openers: tuple[str, ...] = ()
    closers: tuple[str, ...] = ()
    bare: str = ""
    no_call: str = ""

    @abstractmethod
    def read(self, output: Output, opener: str) -> Reading[None]:
        """Read calls whose opener was read just now.

        Raises:
            BrokenCallError: there is none, or what follows the last whole one is no call.
        """

    @property
    @abstractmethod
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""

    @abstractmethod
    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool, inside of the frame."""
