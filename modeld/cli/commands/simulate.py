# SPDX-License-Identifier: GPL-3.0-only
"""``modeld simulate``: what each eviction policy would have done with these requests."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from click.core import ParameterSource

from modeld.cli import logs
from modeld.cli.params import Number, SettingsCommand, resolved, settings_options
from modeld.errors import ConfigurationError
from modeld.expectation import nearest
from modeld.interfaces import EvictionPolicy
from modeld.plugins.host import PluginHost
from modeld.settings import Settings
from modeld.simulation.comparison import compare
from modeld.simulation.driver import Rules
from modeld.simulation.figures import Figures
from modeld.simulation.generated import KINDS, generated
from modeld.simulation.plot import drawn
from modeld.simulation.traces import read_trace
from modeld.simulation.workload import Workload
from modeld.terminal import count_text, rows_as_text, visible

SHARES: Final = (0.25, 0.5, 0.75)
"""Without a budget, these parts of what all models hold together."""

_HEADER: Final = (
    *("POLICY", "BUDGET", "MEAN", "P50", "P95", "P99", "MAX", "WARM", "LOADS", "LOADING"),
    *("SWAPS", "EVICTED", "REFUSED", "HELD"),
)


@click.command("simulate", cls=SettingsCommand)
@click.option(
    "--trace",
    type=click.Path(dir_okay=False),
    help="replay a trace that a server has recorded",
)
@click.option(
    "--workload",
    type=click.Choice(list(KINDS)),
    default="zipf",
    show_default=True,
    help="make requests up, of this kind",
)
@click.option(
    "--requests", type=click.IntRange(1), default=20_000, show_default=True, help="how many"
)
@click.option(
    "--rate-per-s", type=Number(0, min_open=True), default=0.1, show_default=True, help="how often"
)
@click.option(
    "--model-count",
    type=click.IntRange(1, 10_000),
    default=12,
    show_default=True,
    help="of so many",
)
@click.option("--alike", is_flag=True, help="models of one size, 8 GiB, that load in 5 s each")
@click.option("--seed", type=int, default=1, show_default=True, help="another one, other requests")
@click.option(
    "--policy", "policies", multiple=True, metavar="NAME", help="eviction policy; all unless given"
)
@click.option(
    "--budget-mb",
    "budgets_mb",
    type=click.IntRange(1),
    multiple=True,
    help="memory for all models together, in MiB; unless given, 25, 50 and 75 % of what they hold",
)
@click.option("--json", "as_json", is_flag=True, help="print a JSON array instead of a table")
@click.option(
    "--plot",
    type=click.Path(dir_okay=False),
    help="draw waits, swaps and refusals: FILE.svg",
)
@settings_options(
    *("max_queue_depth", "max_wait_s", "max_overtake_s", "min_residence_s", "max_idle_s"),
    *("block_plugins", "log_level"),
)
def command(
    *,
    trace: str | None,
    policies: tuple[str, ...],
    budgets_mb: tuple[int, ...],
    as_json: bool,
    plot: str | None,
    **given: Any,
) -> int:
    """Compare eviction policies, without a model or a server.

    Replays requests through modeld's own scheduler on a virtual clock, for each policy and each
    budget: a trace that a server has recorded (modeld serve --trace-file FILE), or requests that
    are made up. MEAN to MAX are the seconds that requests waited for their slot. WARM is the share
    that found their model loaded, LOADING the time of all loads together as a share of the whole,
    and HELD how much of the budget was in use on average.

    \b
    Examples:
      modeld simulate --trace trace.jsonl --budget-mb 24000 --budget-mb 48000
      modeld simulate --workload agents --policy lru --policy cost-aware
      modeld simulate --workload diurnal --requests 100000 --plot diurnal.svg
    """
    if plot is not None and not plot.endswith(".svg"):
        raise click.UsageError(f"--plot draws a file that ends with .svg, not {plot}")
    settings = resolved(given).settings
    logs.configure(settings, sys.stderr)
    chosen = _policies(PluginHost.discover(settings), policies)
    work = _generated(given) if trace is None else _traced(trace)
    _tell(work)
    budgets = [each << 20 for each in budgets_mb] or [int(x * work.held_bytes) for x in SHARES]
    found = list(compare(work, chosen, budgets, _rules(settings)))
    if plot is not None:
        _write(plot, drawn(trace or given["workload"], found))
    click.echo(_as_json(found) if as_json else _as_table(found))
    return 0


def _generated(given: Mapping[str, Any]) -> Workload:
    return generated(
        given["workload"],
        models=given["model_count"],
        requests=given["requests"],
        rate_per_s=given["rate_per_s"],
        seed=given["seed"],
        are_alike=given["alike"],
    )


def _traced(path: str) -> Workload:
    """Return the workload of a trace, unless something is asked for that it cannot obey.

    Raises:
        click.UsageError: an option is for requests that are made up.
    """
    context = click.get_current_context()
    for name in ("workload", "requests", "rate_per_s", "model_count", "alike", "seed"):
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{flag} is for requests that are made up; --trace has its own")
    return read_trace(path)


def _policies(plugins: PluginHost, names: Sequence[str]) -> list[EvictionPolicy]:
    """Return the policies of these names, or all.

    Raises:
        ConfigurationError: there is none of one of them.
    """
    known = plugins.eviction_policies
    for name in names:
        if name not in known:
            raise ConfigurationError(
                f"no installed plugin brings the eviction policy {name!r};"
                f" there is {', '.join(known)}{nearest(name, list(known))}"
            )
    return [known[name] for name in dict.fromkeys(names or known)]


def _rules(settings: Settings) -> Rules:
    return Rules(**{name: getattr(settings, name) for name in Rules.__struct_fields__})


def _tell(work: Workload) -> None:
    gib = work.held_bytes / (1 << 30)
    said = (
        f"{count_text(len(work.arrivals), 'request')} for {count_text(len(work.models), 'model')}"
    )
    click.echo(f"{said} of {gib:.1f} GiB together", err=True)
    if work.left_out:
        what = count_text(work.left_out, "request")
        click.echo(f"{what} left out: for models that the trace has no load of", err=True)


def _write(path: str, picture: str) -> None:
    try:
        Path(path).write_text(picture, encoding="utf-8")
    except OSError as exc:
        raise ConfigurationError(f"--plot {path!r}: {exc.strerror}") from exc


def _as_json(found: Sequence[Figures]) -> str:
    return msgspec.json.format(msgspec.json.encode(found), indent=2).decode()


def _as_table(found: Sequence[Figures]) -> str:
    return rows_as_text(_HEADER, [_row(each) for each in found])


def _row(figures: Figures) -> list[str]:
    waits_s = (
        figures.wait_mean_s,
        figures.wait_p50_s,
        figures.wait_p95_s,
        figures.wait_p99_s,
        figures.wait_max_s,
    )
    return [
        visible(figures.policy),
        f"{figures.budget_bytes >> 20}",
        *(f"{each:.2f}" for each in waits_s),
        f"{figures.warm_share:.1%}",
        f"{figures.loads}",
        f"{figures.loading_share:.0%}",
        f"{figures.swaps}",
        f"{figures.evictions}",
        f"{figures.refused_share:.2%}",
        f"{figures.utilisation:.0%}",
    ]
