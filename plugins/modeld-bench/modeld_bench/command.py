# SPDX-License-Identifier: GPL-3.0-only
"""``modeld bench``: how fast a server is, seen from its clients."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

import click

from modeld.errors import ConfigurationError
from modeld.terminal import progress, silence, visible
from modeld_bench.key import VARIABLE, api_key
from modeld_bench.options import benchmark_options, plan_of, url_of
from modeld_bench.plan import Plan
from modeld_bench.reports import files
from modeld_bench.reports.report import Report

if TYPE_CHECKING:
    from modeld_bench.measurement import Measurement

_INTERRUPTED = 130
_STDOUT = "-"


@click.command("bench")
@click.argument("url", callback=url_of, default="http://127.0.0.1:8080")
@benchmark_options
@click.option(
    "--api-key-file",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help=f"file whose first key is sent  [or the environment: {VARIABLE}]",
)
@click.option(
    "--json",
    "json_file",
    metavar="FILE|-",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="write all figures as JSON; - is standard output",
)
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="draw the figures: FILE.html with the table, FILE.svg or FILE.png",
)
@click.option("--quiet", "-q", is_flag=True, help="show no progress")
def command(
    *,
    url: str,
    api_key_file: str | None,
    json_file: str | None,
    plot: str | None,
    quiet: bool,
    **given: Any,
) -> int:
    """Measure a server: how fast it streams text, and how long its clients wait.

    The server at URL has modeld's API or one like OpenAI's. In each level some clients send one
    request after the other and read the streams to their ends. Nothing is repeated that fails.

    The table goes to standard output. The exit code is 1 if a request failed or the server cannot
    be measured. Ctrl-C ends the run and shows what was measured until then.

    \b
    Examples:
      modeld bench                                 the server on this machine
      modeld bench --concurrency 1,8 --ignore-eos  generations of one length
      modeld bench http://127.0.0.1:8000/v1 --chat --model tiny
      modeld bench --duration-s 30 --plot run.html --json run.json
    """
    plan = plan_of(url, given)
    _check(json_file, plot)
    report = _measured(plan, api_key(api_key_file), quiet=quiet)
    if report is None:
        return 1
    written = _hand_over(report, json_file, plot, quiet=quiet)
    if report.interrupted:
        return _INTERRUPTED
    return 1 if report.failed or not written else 0


def _measured(plan: Plan, key: str | None, *, quiet: bool) -> Report | None:
    """Return what was measured until the end or until Ctrl-C; ``None`` if nothing can be."""
    # httpx takes a tenth of a second that --help should not.
    from modeld_bench.apis.discovery import NotMeasurableError  # noqa: PLC0415
    from modeld_bench.measurement import Measurement  # noqa: PLC0415

    measurement = Measurement(plan, key, silence if quiet else progress)
    started = datetime.now(UTC)
    interrupted = False
    try:
        asyncio.run(measurement.run())
    except NotMeasurableError as exc:
        click.echo(f"modeld: error: {visible(str(exc))}", err=True)
        return None
    except KeyboardInterrupt:
        interrupted = True
    return _report(plan, measurement, started, interrupted=interrupted)


def _check(json_file: str | None, plot: str | None) -> None:
    """Find out now what would fail after the measurement.

    Raises:
        ConfigurationError: matplotlib is missing, or a file cannot be written.
    """
    if plot is not None and util.find_spec("matplotlib") is None:
        raise ConfigurationError(
            "--plot needs the library matplotlib; `pip install modeld-bench[plot]` brings it"
        )
    if json_file not in {None, _STDOUT}:
        files.check_writable("--json", str(json_file))
    if plot is not None:
        files.check_plot(plot)


def _report(
    plan: Plan, measurement: Measurement, started: datetime, *, interrupted: bool
) -> Report:
    api = measurement.api
    return Report(
        version=metadata.version("modeld"),
        started=started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        plan=plan,
        api=api.name if api else "unknown",
        model=api.wish.model if api else plan.wish.model,
        interrupted=interrupted,
        levels=tuple(measurement.levels),
    )


def _hand_over(report: Report, json_file: str | None, plot: str | None, *, quiet: bool) -> bool:
    """Show and write the report, and return whether all files could be written."""
    if json_file == _STDOUT:
        click.echo(report.as_json().decode(), nl=False)
    if json_file != _STDOUT or not quiet:
        click.echo(report.as_text(), err=json_file == _STDOUT)
    try:
        if json_file not in {None, _STDOUT}:
            files.write(report.as_json(), str(json_file))
        if plot is not None and report.levels:
            files.write_plot(report, plot)
    except OSError as exc:
        file = exc.filename or json_file or plot
        click.echo(f"modeld: error: {file} cannot be written: {exc.strerror}", err=True)
        return False
    return True
