# SPDX-License-Identifier: GPL-3.0-only
"""A chat of a person and a model in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import closing, suppress

import click
from msgspec.structs import replace

from modeld.cli.commands.run.session import Session
from modeld.errors import ModeldError
from modeld.messages import Message
from modeld.requests import GenerateRequest
from modeld.responses import Chunk, Done, FinishReason, ReasoningToken, Token, ToolCallDelta
from modeld.terminal import visible


class Conversation:
    """Sends prompts or messages to one model and prints its generations as they come."""

    def __init__(self, session: Session, request: GenerateRequest, system: str | None) -> None:
        self._session = session
        self._request = request
        self._opening = () if system is None else (Message(role="system", content=system),)
        self._messages = self._opening

    def complete(self, prompt: str) -> None:
        """Print how the model goes on with ``prompt``."""
        _print_generation(self._session.generate(replace(self._request, prompt=prompt)), [])

    def send(self, text: str) -> None:
        """Print what the model says to one message, and remember both unless it fails.

        A generation that Ctrl-C stops is remembered as far as it came.
        """
        messages = (*self._messages, Message(role="user", content=text))
        pieces: list[str] = []
        try:
            _print_generation(
                self._session.generate(replace(self._request, messages=messages)), pieces
            )
        finally:
            if pieces:
                said = Message(role="assistant", content="".join(pieces))
                self._messages = (*messages, said)

    def hold(self) -> None:
        """Chat until the person ends it with Ctrl-D, or with Ctrl-C at the prompt."""
        click.echo("Ctrl-C stops a generation, Ctrl-D ends the chat, /clear forgets it.", err=True)
        while (text := _next_line()) is not None:
            if text == "/clear":
                self._messages = self._opening
            elif text:
                self._send_and_survive(text)

    def _send_and_survive(self, text: str) -> None:
        try:
            self.send(text)
        except KeyboardInterrupt:
            click.echo("\n(stopped)", err=True)
        except ModeldError as exc:
            click.echo(f"error: {visible(exc.message)}", err=True)


def _next_line() -> str | None:
    """Return what the person types next; ``None`` at the end of the input."""
    with suppress(ImportError):  # it gives input() editing and history, and is not on every system
        import readline  # noqa: F401, PLC0415  (only a chat needs it)
    try:
        return input("> ").strip()
    except EOFError:
        click.echo()
        return None


def _print_generation(generation: Generator[Chunk, None, None], pieces: list[str]) -> None:
    """Print the tokens as they come and collect those of the text in ``pieces``.

    On a terminal nothing that the model writes can move the cursor or change colours. What it
    thinks before goes to stderr, dimmed, and so do its calls of tools: a pipe gets the text alone.
    """
    on_terminal = sys.stdout.isatty()
    is_aside = False
    try:
        with closing(generation) as chunks:
            for chunk in chunks:
                if is_aside and not isinstance(chunk, ReasoningToken | ToolCallDelta):
                    is_aside = False
                    click.echo("\n", err=True)
                match chunk:
                    case ReasoningToken(text=text):
                        is_aside = True
                        _say_aside(text)
                    case ToolCallDelta(name=name, arguments=arguments):
                        is_aside = True
                        _say_aside(f"\ncalls {name}: {arguments}" if name else arguments)
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


def _say_aside(text: str) -> None:
    """Print on stderr, dimmed, a piece of what is no part of the text."""
    click.secho(visible(text, keep="\n\t"), dim=True, nl=False, err=True)
