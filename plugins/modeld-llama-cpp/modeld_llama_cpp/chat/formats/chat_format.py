# SPDX-License-Identifier: GPL-3.0-only
"""What a family of chat templates says of the texts that its models write.

:func:`modeld_llama_cpp.chat.formats.detection.format_of` finds the family of a template.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from modeld.messages import Tool, ToolChoice

PROMPT_END_CHARS = 200
"""How much of a prompt's end tells what the template has begun in the model's name."""

TOOLS_KIND: Final = "tools"
"""The kind of the constraint that forces calls: Lark with ``%json`` and tokens in it.

Requests must not have either in a grammar of theirs: such a schema would not be kept to exactly.
Here each schema went through the same rules as a request's own.
"""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of what is said to the user; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """A piece of what the model thinks; never empty."""

    text: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of the call that is the ``index``-th from 0.

    The first piece of a call has its ``id`` and ``name``. The ``arguments`` of all pieces together
    are an object as JSON text.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


Delta: TypeAlias = TextDelta | ReasoningDelta | CallDelta


class OutputParser(ABC):
    """Takes apart what a model writes in one generation. It is pure, and never raises.

    ``tool_calls`` is how many calls have begun so far, and ``thinking`` is whether the text is
    inside of reasoning now.
    """

    tool_calls: int
    thinking: bool

    @abstractmethod
    def feed(self, text: str) -> list[Delta]:
        """Return what is certain after the next piece of the text, which may be cut anywhere.

        The text is as the model wrote it, with those special tokens written out that
        :attr:`ChatFormat.keeps_special` names.
        """

    @abstractmethod
    def finish(self, *, cut: bool = False) -> list[Delta]:
        """Return what was held back, at the end of the generation; afterwards there is nothing.

        With ``cut`` the model would have gone on: what has come of a call is a call, although its
        arguments are no whole object.
        """


class ChatFormat(ABC):
    """One family: how its models mark reasoning and calls.

    ``think_end`` is the mark that ends reasoning, empty where the family has none, and
    ``keeps_special`` are the special tokens whose text a parser must see.
    """

    name: str
    think_end: str
    keeps_special: frozenset[str]

    @abstractmethod
    def parser(
        self, *, tools: Sequence[Tool], prompt_end: str, must_call: bool = False
    ) -> OutputParser:
        """Return a parser for one generation after a prompt with this end.

        ``prompt_end`` are the last :data:`PROMPT_END_CHARS` characters of the rendered prompt: a
        template may begin reasoning itself. A name that no tool has is no call but text. With
        ``must_call`` a call is forced, so that nothing that is cut off can be text.
        """

    @abstractmethod
    def forced(
        self, *, tools: Sequence[Tool], choice: ToolChoice, parallel: bool, prompt_end: str
    ) -> tuple[str, str] | None:
        """Return the kind and the source of a constraint that forces calls, if any are forced.

        :func:`modeld_llama_cpp.constraints.compiler.compile_constraint` compiles the source: it has
        in it what a grammar of a request must not have. With ``parallel``, several calls may follow
        one another. Nothing is forced with the mode ``none``, nor with ``auto`` where no tool is
        strict.

        Raises:
            InvalidRequestError: a tool's schema cannot be kept to.
        """
