# SPDX-License-Identifier: GPL-3.0-only
"""``modeld run``: one model in this terminal, without a server."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from modeld.cli import logs
from modeld.cli.constraint import constrained
from modeld.cli.conversation import Conversation
from modeld.cli.loading import LoadingDisplay
from modeld.cli.options import SettingsCommand, resolved, settings_options
from modeld.cli.sampling_options import sampling, sampling_options
from modeld.cli.session import Session
from modeld.plugins import PluginHost
from modeld.serving.service import LocalService
from modeld.settings import Settings
from modeld.values import GenerateRequest

_SETTINGS = (
    "models_dir",
    "models",
    "vram_budget_mb",
    "engine_host",
    "load_timeout_s",
    "stall_timeout_s",
    "log_level",
    "log_format",
    "block_plugins",
)


@click.command("run", cls=SettingsCommand)
@click.argument("model")
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="instructions that come before the chat")
@click.option("--chat", is_flag=True, help="send PROMPT as a chat message; --system implies it")
@click.option("--max-tokens", type=click.IntRange(1, 2**31), help="longest answer, in tokens")
@click.option(
    "--grammar-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="GBNF grammar that the answer conforms to",
)
@click.option("--json-schema", metavar="JSON|FILE", help="JSON schema that the answer conforms to")
@sampling_options
@settings_options(*_SETTINGS)
def command(
    *,
    model: str,
    prompt: str | None,
    system: str | None,
    chat: bool,
    max_tokens: int | None,
    grammar_file: str | None,
    json_schema: str | None,
    **given: Any,
) -> int:
    """Answer PROMPT with MODEL in this terminal, without a server.

    MODEL is an id that `modeld models` lists, or the path of a .gguf file. PROMPT is text that the
    model goes on with. Without it, the prompt is read from a pipe; on a terminal a chat begins.

    Ctrl-C stops an answer: that ends the command with exit code 130, or brings back the prompt of
    a chat, which a second Ctrl-C ends. The answer goes to standard output, all else to standard
    error.

    \b
    Examples:
      modeld run tiny.gguf "Once upon a time" --max-tokens 50
      modeld run ./tiny.gguf --system "Answer in one word." "What colour is the sky?"
      modeld run tiny.gguf "Bob is 7: " --json-schema '{"type": "object"}' --seed 1
      modeld run tiny.gguf < story.txt
      modeld run tiny.gguf                       chat; /clear forgets it, Ctrl-D ends it
    """
    model, settings = _where(model, given)
    logs.configure(settings, sys.stderr)
    request = GenerateRequest(
        model=model,
        max_tokens=max_tokens,
        sampling=sampling(given),
        request_id="run",
    )
    request = constrained(request, grammar_file, json_schema)
    if prompt is None and not sys.stdin.isatty():
        prompt = _piped()
    if prompt is not None and not prompt.strip():
        raise click.UsageError("the prompt is empty")
    display = LoadingDisplay()
    plugins = PluginHost.discover(settings, extra={display.name: display})
    with Session(LocalService(settings, plugins)) as session:
        display.wait(session.load(model), model)
        conversation = Conversation(session, request, system)
        if prompt is None:
            conversation.hold()
        elif chat or system is not None:
            conversation.ask(prompt)
        else:
            conversation.complete(prompt)
    return 0


def _where(model: str, given: Mapping[str, Any]) -> tuple[str, Settings]:
    """The model's id, and the settings with which it is found."""
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf" and ("/" in model or path.is_file()):
        real = path.resolve()
        path = real if real.suffix.lower() == ".gguf" else path.absolute()
        if not path.is_file():
            raise click.UsageError(f"there is no file {model}")
        given = {**given, "models_dir": str(path.parent)}
        model = path.name
    result = resolved(given)
    changes: dict[str, Any] = {}
    if result.origins["spare_workers"] == "default":
        changes["spare_workers"] = 0
    if result.origins["log_level"] == "default":
        changes["log_level"] = "error"
    return model, replace(result.settings, **changes)


def _piped() -> str:
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as exc:
        raise click.UsageError(f"the prompt on standard input is not UTF-8: {exc}") from exc
