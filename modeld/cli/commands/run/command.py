# SPDX-License-Identifier: GPL-3.0-only
"""``modeld run``: one model in this terminal, without a server."""

from __future__ import annotations

import logging
import queue
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from modeld import hookimpl
from modeld.cli import logs
from modeld.cli.commands.run.constraint import constrained, constraint_options
from modeld.cli.commands.run.conversation import Conversation
from modeld.cli.commands.run.sampling_options import SamplingCommand, sampling, sampling_options
from modeld.cli.commands.run.session import Session
from modeld.cli.params import resolved, settings_options
from modeld.events import Event, ModelLoaded, ModelLoading, ModelLoadProgress
from modeld.interfaces import Observer
from modeld.lifetime import assembled
from modeld.plugins.host import PluginHost
from modeld.pythonapi.waiting import next_of
from modeld.requests import GenerateRequest
from modeld.serving.models.registry import SCAN_LIMIT_S
from modeld.settings import Settings
from modeld.settings.folders import joined
from modeld.terminal import progress

_SETTINGS = (
    "models_dir",
    "follow_links",
    "models",
    "memory_budget_mb",
    "fit",
    "share_machine",
    "engine_host",
    "load_timeout_s",
    "stall_timeout_s",
    "log_level",
    "log_format",
    "block_plugins",
)


class LoadingDisplay(Observer):
    """A plugin of the command line: it observes loads and draws their progress on stderr.

    On a terminal it is a bar; elsewhere one line when a load begins.
    """

    name = "loading-display"

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[ModelLoading | ModelLoadProgress | ModelLoaded | None] = (
            queue.SimpleQueue()
        )

    @hookimpl
    def modeld_register_observers(self) -> Iterable[Observer]:
        """Bring this object as the observer."""
        return [self]

    def notify(self, event: Event) -> None:
        """Take note of a load; the events come on the thread of the service."""
        if isinstance(event, ModelLoading | ModelLoadProgress | ModelLoaded):
            self._events.put(event)

    def wait(self, load: Future[None]) -> str:
        """Draw from the load's beginning to its end, and return the id of what was loaded.

        A load that is refused, because there is no such model for example, draws nothing.

        Raises:
            ModeldError: the load failed.
        """
        load.add_done_callback(lambda _: self._events.put(None))
        begun = next_of(self._events)
        if begun is None:
            load.result()
            return ""
        self._draw(load, begun.model)
        return begun.model

    def _draw(self, load: Future[None], model: str) -> None:
        gives_up = ""
        with progress(f"loading {model}") as show:
            while (event := next_of(self._events)) is not None:
                if isinstance(event, ModelLoadProgress):
                    show(event.fraction)
                elif isinstance(event, ModelLoaded):
                    gives_up = event.gives_up
            load.result()
        if gives_up:
            click.echo(f"It fits into the memory budget with {gives_up}.", err=True)


@click.command("run", cls=SamplingCommand)
@click.argument("model", required=False)
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="instructions that come before the chat")
@click.option("--chat", is_flag=True, help="send PROMPT as a chat message; --system implies it")
@click.option("--max-tokens", type=click.IntRange(1, 2**31), help="longest generation, in tokens")
@constraint_options
@sampling_options
@settings_options(*_SETTINGS)
def command(
    *,
    model: str | None,
    prompt: str | None,
    system: str | None,
    chat: bool,
    **given: Any,
) -> int:
    """Generate text from PROMPT with MODEL in this terminal, without a server.

    MODEL is an id that `modeld models` lists, or the path of a .gguf file. Without it,
    default_model is used, or the only usable model that there is. PROMPT is text that the model
    goes on with. Without it, the prompt is read from a pipe; on a terminal a chat begins.

    Ctrl-C stops a generation: that ends the command with exit code 130, or brings back the prompt
    of a chat, which a second Ctrl-C ends. The generation goes to standard output, all else to
    standard error.

    \b
    Examples:
      modeld run tiny.gguf "Once upon a time" --max-tokens 50
      modeld run ./tiny.gguf --system "Answer in one word." "What colour is the sky?"
      modeld run tiny.gguf "Bob is 7: " --json-schema '{"type": "object"}' --seed 1
      modeld run tiny.gguf < story.txt
      modeld run tiny.gguf                       chat; /clear forgets it, Ctrl-D ends it
    """
    name, settings = _where(model or "", given)
    logs.configure(settings, sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_says_more_than_an_error)
    _converse(
        settings, _request(name, given), _prompt(prompt), system, is_chat=chat or system is not None
    )
    return 0


def _request(model: str, given: Mapping[str, Any]) -> GenerateRequest:
    """Return the request that the options make, without a prompt."""
    request = GenerateRequest(
        model=model,
        max_tokens=given["max_tokens"],
        sampling=sampling(given),
        request_id="run",
    )
    return constrained(request, given)


def _converse(
    settings: Settings,
    request: GenerateRequest,
    prompt: str | None,
    system: str | None,
    *,
    is_chat: bool,
) -> None:
    """Load the model and print what it makes of the prompt; without one, hold a chat."""
    display = LoadingDisplay()
    plugins = PluginHost.discover(settings, extra={display.name: display})
    lifetime = assembled(settings, plugins)
    with Session(lifetime.service, lifetime) as session:
        loaded = display.wait(session.load(request.model))
        model = loaded or request.model
        conversation = Conversation(session, replace(request, model=model), system)
        if prompt is None:
            conversation.hold()
        elif is_chat:
            conversation.send(prompt)
        else:
            conversation.complete(prompt)


def _prompt(given: str | None) -> str | None:
    """Return the prompt that is given or piped in; ``None`` on a terminal without one."""
    if given is None and not sys.stdin.isatty():
        given = _piped()
    if given is not None and not given.strip():
        raise click.UsageError("the prompt is empty")
    return given


def _where(model: str, given: Mapping[str, Any]) -> tuple[str, Settings]:
    """Return the model's id, and the settings with which it is found."""
    path = Path(model).expanduser()
    if path.suffix.lower() == ".gguf" and ("/" in model or path.is_file()):
        real = path.resolve()
        path = real if real.suffix.lower() == ".gguf" else path.absolute()
        if not path.is_file():
            raise click.UsageError(f"there is no file {model}")
        given = {**given, "models_dir": joined([str(path.parent)])}
        model = path.name
    result = resolved(given)
    # Its one model never comes back, and a server of this user's may have the folder.
    changes: dict[str, Any] = {"session_quota_mb": 0, "session_folder": ""}
    if result.origins["warm_workers"] == "default":
        changes["warm_workers"] = 0
    if result.origins["source_timeout_s"] == "default":
        changes["source_timeout_s"] = SCAN_LIMIT_S  # nobody else waits for a folder that is slow
    if result.origins["log_level"] == "default":
        changes["log_level"] = "error"
    return model, replace(result.settings, **changes)


def _says_more_than_an_error(record: logging.LogRecord) -> bool:
    """Return whether a log line says more than the error that ends the command."""
    of_backend = str(getattr(record, "thing", "")).startswith("backend ")
    is_failure = (record.name == "modeld.pool" or of_backend) and record.levelno >= logging.ERROR
    return not is_failure or record.exc_info is not None


def _piped() -> str:
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as exc:
        said = f"the prompt on standard input is not UTF-8 at byte {exc.start}"
        raise click.UsageError(said) from exc
