# SPDX-License-Identifier: GPL-3.0-only
"""A person and a model taking turns in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing, suppress

import click
from msgspec.structs import replace

from modeld.cli.session import Session
from modeld.cli.visible import visible
from modeld.errors import ModeldError
from modeld.values import Chunk, Done, FinishReason, GenerateRequest, Message, Token


class Conversation:
    """Sends prompts or messages to one model and prints its answers as they come."""

    def __init__(self, session: Session, request: GenerateRequest, system: str | None) -> None:
        self._session = session
        self._request = request
        self._opening = () if system is None else (Message(role="system", content=system),)
        self._messages = self._opening

    def complete(self, prompt: str) -> None:
        """Print how the model goes on with ``prompt``."""
        _print_answer(self._session.infer(replace(self._request, prompt=prompt)), [])

    def ask(self, text: str) -> None:
        """Print the answer to one message, and remember both; a failed turn is forgotten.

        An answer that Ctrl-C stops is remembered as far as it came.
        """
        asked = (*self._messages, Message(role="user", content=text))
        pieces: list[str] = []
        try:
            _print_answer(self._session.infer(replace(self._request, messages=asked)), pieces)
        finally:
            if pieces:
                answer = Message(role="assistant", content="".join(pieces))
                self._messages = (*asked, answer)

    def hold(self) -> None:
        """Take turns until the person ends it with Ctrl-D, or with Ctrl-C between two answers."""
        click.echo("Ctrl-C stops an answer, Ctrl-D ends the chat, /clear forgets it.", err=True)
        while (text := _next_line()) is not None:
            if text == "/clear":
                self._messages = self._opening
            elif text:
                self._take_turn(text)

    def _take_turn(self, text: str) -> None:
        try:
            self.ask(text)
        except KeyboardInterrupt:
            click.echo("\n(stopped)", err=True)
        except ModeldError as exc:
            click.echo(f"error: {visible(exc.message)}", err=True)


def _next_line() -> str | None:
    """What the person types next; ``None`` at the end of the input."""
    with suppress(ImportError):  # it gives input() editing and history, and is not on every system
        import readline  # noqa: F401, PLC0415  (only a chat needs it)
    try:
        return input("> ").strip()
    except EOFError:
        click.echo()
        return None


def _print_answer(answer: Generator[Chunk, None, None], pieces: list[str]) -> None:
    """Print the tokens as they come and collect them in ``pieces``.

    On a terminal nothing that the model writes can move the cursor or change colours.
    """
    on_terminal = sys.stdout.isatty()
    try:
        with closing(answer) as chunks:
            for chunk in chunks:
                match chunk:
                    case Token(text=text):
                        pieces.append(text)
                        sys.stdout.write(visible(text, keep="\n\t") if on_terminal else text)
                        sys.stdout.flush()
                    case Done(finish_reason=FinishReason.LENGTH, usage=usage):
                        count = usage.completion_tokens
                        click.echo(f"\n(cut after {count} tokens; see --max-tokens)", err=True)
    finally:
        if pieces and not pieces[-1].endswith("\n"):
            click.echo()
