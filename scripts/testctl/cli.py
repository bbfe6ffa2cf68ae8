# SPDX-License-Identifier: GPL-3.0-only
"""The verbs of testctl."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Literal, NoReturn

import click

from testctl import browser, commands, host_models, polling, server, suites
from testctl.host_models import NoModelsError, Wish
from testctl.outcomes import ExitCode, Outcome, exit_code, reason, summary

Suite = tuple[str, Callable[[], str]]
"""A suite's name, and what runs it and says why it failed."""


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the verbs act with; tests put others in their place."""

    run: commands.Run = commands.run
    serving: browser.Serving = server.serving
    ask: polling.Ask = polling.ask
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    now_s: Callable[[], float] = time.monotonic
    artifacts: Path = browser.ARTIFACTS


def main(arguments: Sequence[str], tools: Tools | None = None) -> int:
    """Run one verb; the exit code."""
    before = signal.signal(signal.SIGTERM, _terminated)
    try:
        code = cli.main(
            args=list(arguments),
            prog_name="python scripts/testctl",
            standalone_mode=False,
            obj=tools or Tools(),
        )
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("testctl: interrupted", err=True)
        return ExitCode.INTERRUPTED
    finally:
        signal.signal(signal.SIGTERM, before)
    return int(code or 0)


def _terminated(_number: int, _frame: FrameType | None) -> NoReturn:
    raise commands.Terminated


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Install what the test suites need, run them, and sum up.

    Exit codes: 0 everything passed, 1 something failed, 2 wrong usage, 130 Ctrl-C.
    """


@cli.command()
@click.argument("part", type=click.Choice(["all", "js", "py"]))
@click.pass_obj
def install(tools: Tools, part: Literal["all", "js", "py"]) -> int:
    """Install what the suites need: Python packages and models, node packages, or all."""
    parts: tuple[suites.Part, ...] = ("py", "js") if part == "all" else (part,)
    return _perform(
        tools,
        [
            (f"install {each}", _command(tools, command))
            for each in parts
            for command in suites.installing(each)
        ],
    )


@cli.group()
def test() -> None:
    """Run one suite, or all of them. What follows -- goes to pytest."""


_pytest = click.argument("pytest_args", metavar="[-- PYTEST_ARGS]...", nargs=-1)
_models_dir = click.option(
    "--models-dir",
    metavar="DIR",
    help=f"folder with models for live tests  [default: ${host_models.VARIABLE},"
    f" {host_models.DEFAULT}]",
)


@test.command()
@_pytest
@click.pass_obj
def unit(tools: Tools, pytest_args: tuple[str, ...]) -> int:
    """The tests of core and plugins, without those of a whole server."""
    return _perform(tools, [("unit", _command(tools, suites.unit(pytest_args)))])


@test.command()
@_pytest
@click.pass_obj
def blackbox(tools: Tools, pytest_args: tuple[str, ...]) -> int:
    """The tests of a server over real sockets."""
    return _perform(tools, [("blackbox", _command(tools, suites.blackbox(pytest_args)))])


@test.command()
@_pytest
@click.pass_obj
def faults(tools: Tools, pytest_args: tuple[str, ...]) -> int:
    """The tests that kill workers, break files and leave in the middle."""
    return _perform(tools, [("faults", _command(tools, suites.faults(pytest_args)))])


@test.command()
@click.pass_obj
def js(tools: Tools) -> int:
    """The dashboard's own checks and tests, in node."""
    return _perform(tools, [("js", _command(tools, suites.js()))])


@test.command()
@click.argument("mode", type=click.Choice(["mock", "live", "auto"]))
@_pytest
@_models_dir
@click.pass_obj
def web(tools: Tools, mode: Wish, pytest_args: tuple[str, ...], models_dir: str | None) -> int:
    """The tests in a real browser, on a server that is started for them.

    mock: the pages answer themselves. live: a real model answers. auto: live if this machine has
    a *.gguf file in the folder for models, else mock. Live never becomes mock by itself.
    """
    return _perform(tools, [_web(tools, mode, models_dir, pytest_args)])


@test.command(name="all")
@click.argument("mode", type=click.Choice(["auto"]))
@_pytest
@_models_dir
@click.pass_obj
def everything(
    tools: Tools, mode: Wish, pytest_args: tuple[str, ...], models_dir: str | None
) -> int:
    """Every suite, those in a browser live if this machine has models."""
    return _perform(
        tools,
        [
            ("unit", _command(tools, suites.unit(pytest_args))),
            ("blackbox", _command(tools, suites.blackbox(pytest_args))),
            ("faults", _command(tools, suites.faults(pytest_args))),
            ("js", _command(tools, suites.js())),
            _web(tools, mode, models_dir, pytest_args),
        ],
    )


@cli.command(name="poll-url")
@click.argument("url")
@click.option("--status", type=click.IntRange(100, 599), default=200, show_default=True)
@click.option("--timeout-s", type=click.FloatRange(min=0), default=30.0, show_default=True)
@click.option(
    "--interval-s", type=click.FloatRange(min=0, min_open=True), default=0.2, show_default=True
)
@click.pass_obj
def poll_url(tools: Tools, url: str, status: int, timeout_s: float, interval_s: float) -> int:
    """Wait until URL answers with a status; exit 1 if it does not in time."""
    if not polling.is_address(url):
        raise click.BadParameter(f"{url!r} is no http:// or https:// address", param_hint="URL")
    poll = polling.Poll(url=url, status=status, timeout_s=timeout_s, interval_s=interval_s)
    outcome = polling.wait(poll, ask=tools.ask)
    click.echo(f"poll-url: {outcome.told(poll)}", err=not outcome.reached)
    return ExitCode.PASSED if outcome.reached else ExitCode.FAILED


def _command(tools: Tools, command: Sequence[str]) -> Callable[[], str]:
    return lambda: reason(tools.run(command))


def _web(tools: Tools, wish: Wish, models_dir: str | None, pytest_args: Sequence[str]) -> Suite:
    models = host_models.find(models_dir, tools.environ)
    try:
        mode = host_models.decide(wish, models)
    except NoModelsError as error:
        raise click.ClickException(str(error)) from error
    if wish == "auto":
        click.echo(f"web auto: {len(models.files)} models in {models.folder}, so {mode}")
    return f"web {mode}", lambda: browser.run_tests(
        mode, models, pytest_args, run=tools.run, serving=tools.serving, artifacts=tools.artifacts
    )


def _perform(tools: Tools, wanted: Sequence[Suite]) -> ExitCode:
    """Run the suites one after another, and sum up, also after Ctrl-C."""
    outcomes: list[Outcome] = []
    try:
        for name, run in wanted:
            click.echo(f"=== {name}")
            began_s = tools.now_s()
            try:
                why = run()
            except OSError as error:
                why = str(error)
            outcomes.append(Outcome(suite=name, seconds=tools.now_s() - began_s, why=why))
    finally:
        if outcomes:
            click.echo(summary(outcomes))
    return exit_code(outcomes)
