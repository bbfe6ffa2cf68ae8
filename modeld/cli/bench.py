# SPDX-License-Identifier: GPL-3.0-only
"""``modeld bench``: how fast a server is, seen from its clients."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from importlib import metadata, util
from typing import TYPE_CHECKING, Any

import click

from modeld.cli.benchmark import files
from modeld.cli.benchmark.key import VARIABLE, api_key
from modeld.cli.benchmark.options import benchmark_options, plan_of, url_of
from modeld.cli.benchmark.plan import Plan
from modeld.cli.benchmark.report import Report
from modeld.cli.progress import progress, silence
from modeld.cli.visible import visible
from modeld.errors import ConfigurationError

if TYPE_CHECKING:
    from modeld.cli.benchmark.measurement import Measurement

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
    """Measure the server at URL: how fast it streams text, and how long its clients wait.

    The server has modeld's API or one like OpenAI's. In each level some clients send one request
    after the other and read the streams to their ends. Nothing is repeated that fails.

    The table goes to standard output. The exit code is 1 if a request failed or the server cannot
    be measured. Ctrl-C ends the run and shows what was measured until then.

    \b
    Examples:
      modeld bench                                 the server on this machine
      modeld bench --concurrency 1,8 --ignore-eos  answers of one length
      modeld bench http://127.0.0.1:8000/v1 --chat --model tiny
      modeld bench --duration-s 30 --plot run.html --json run.json
    """
    plan = plan_of(url, given)
    _check(json_file, plot)
    key = api_key(api_key_file)
    # httpx comes with an extra, and takes a tenth of a second that --help should not.
    from modeld.cli.benchmark.discovery import NotMeasurableError  # noqa: PLC0415
    from modeld.cli.benchmark.measurement import Measurement  # noqa: PLC0415

    measurement = Measurement(plan, key, silence if quiet else progress)
    started = datetime.now(UTC)
    interrupted = False
    try:
        asyncio.run(measurement.run())
    except NotMeasurableError as exc:
        click.echo(f"modeld: error: {visible(str(exc))}", err=True)
        return 1
    except KeyboardInterrupt:
        interrupted = True
    report = _report(plan, measurement, started, interrupted=interrupted)
    written = _hand_over(report, json_file, plot, quiet=quiet)
    if interrupted:
        return _INTERRUPTED
    return 1 if report.failed or not written else 0


def _check(json_file: str | None, plot: str | None) -> None:
    """Find out what would fail after the measurement.

    Raises:
        ConfigurationError: a library is missing, or a file cannot be written.
    """
    for library, wanted in (("httpx", True), ("matplotlib", plot is not None)):
        if wanted and util.find_spec(library) is None:
            raise ConfigurationError(
                f"modeld bench needs the library {library}; install it with"
                " `pip install modeld[bench]`"
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
    """Show and write the report; whether all files could be written."""
    if json_file == _STDOUT:
        click.echo(report.as_json(), nl=False)
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
