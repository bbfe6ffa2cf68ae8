# SPDX-License-Identifier: GPL-3.0-only
"""``modeld plan``: tells what requests for some models would bring about."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from msgspec.structs import replace

from modeld.cli import logs
from modeld.cli.params import SettingsCommand, resolved, settings_options
from modeld.settings import Settings
from modeld.sizes import mib_by_name, whole_mib
from modeld.status import Fitting, ModelPlan, PlanOutcome
from modeld.terminal import rows_as_text

SERVED, REFUSED = 0, 1

_REFUSALS: Final = frozenset({PlanOutcome.REFUSED, PlanOutcome.NEVER})


@click.command("plan", cls=SettingsCommand)
@click.argument("asked", metavar="MODEL...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="print a JSON array instead of a table")
@click.option(
    "--server",
    metavar="URL",
    help="ask the server that runs there, which knows what is in memory now",
)
@settings_options()
def command(asked: Sequence[str], *, as_json: bool, server: str | None, **given: Any) -> int:
    """Say what a request for each MODEL would bring about, and do nothing of it.

    A model is in memory, would be loaded at once, once others have left, or never, with the
    numbers. With --server that server is asked, with the first key of --api-key-file if it needs
    one. Without it, the models are planned for as these settings have them, with nothing loaded.

    The exit code is 1 if a request for one of the models would be refused.

    \b
    Examples:
      modeld plan gemma-3-270m-it-Q4_K_M.gguf --memory-budget-mb 300
      modeld plan big.gguf small.gguf --server http://127.0.0.1:8080
      modeld plan big.gguf --json | jq '.[].short_mb'
    """
    settings = resolved(given).settings
    if server is None:
        logs.configure(replace(settings, log_level="error"), sys.stderr)
        plans: Sequence[Mapping[str, Any]] = asyncio.run(_planned(settings, asked))
    else:
        from modeld.cli.running_server import plans_of  # noqa: PLC0415  (brings the web stack)

        plans = plans_of(server, settings.api_key_file, asked)
    click.echo(json.dumps(plans, indent=2) if as_json else _table(plans))
    return REFUSED if any(each["outcome"] in _REFUSALS for each in plans) else SERVED


async def _planned(settings: Settings, models: Sequence[str]) -> list[dict[str, Any]]:
    from modeld.pythonapi import opening  # noqa: PLC0415  (the help needs none of it)

    # It loads nothing, so it takes nothing of the budget that a server has beside it.
    alone = replace(
        settings,
        share_machine=True,
        warm_workers=0,
        preload=(),
        models=_without_preload(settings.models),
        presets=_without_preload(settings.presets),
        trace_file="",
    )
    async with opening.open(alone) as opened:
        return [_row(await opened.plan(model)) for model in models]


def _without_preload(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return rows of models that load nothing at the start."""
    return {
        model: {name: value for name, value in row.items() if name != "preload"}
        for model, row in rows.items()
    }


def _row(plan: ModelPlan) -> dict[str, Any]:
    """Return a plan as ``POST /plan`` writes it."""
    row = {
        "model": plan.model,
        "outcome": plan.outcome.value,
        "needed_mb": whole_mib(plan.needed_bytes),
        "short_mb": whole_mib(plan.short_bytes),
        "short_on_gpus_mb": mib_by_name(plan.short_on_gpus),
        "evicts": list(plan.evicts),
        "wait_s": None if plan.wait_s is None else round(plan.wait_s, 3),
        "reason": plan.reason,
        "message": plan.message,
        "fit": None if plan.fitting is None else _fit(plan.fitting),
    }
    return {name: value for name, value in row.items() if value is not None}


def _fit(fitting: Fitting) -> dict[str, Any]:
    return {
        "step": fitting.step,
        "gives_up": fitting.gives_up,
        "options": fitting.options,
        "full_mb": whole_mib(fitting.full_bytes),
    }


def _told(plan: Mapping[str, Any]) -> str:
    """Return why a request would be refused, or who goes for it and what it would go without."""
    if "message" in plan:
        return str(plan["message"])
    fit = f"with {plan['fit']['gives_up']}" if "fit" in plan else ""
    return "; ".join(filter(None, [", ".join(plan["evicts"]), fit]))


def _short(row: Mapping[str, Any]) -> str:
    """Return what is short, with the GPUs that it is short on."""
    short = f"{row['short_mb']} MiB" if row["short_mb"] else ""
    on_gpus = [f"{size} on {name}" for name, size in row.get("short_on_gpus_mb", {}).items()]
    return f"{short} ({', '.join(on_gpus)})" if on_gpus else short


def _table(plans: Sequence[Mapping[str, Any]]) -> str:
    return rows_as_text(
        ("MODEL", "OUTCOME", "NEEDS", "SHORT", "WAIT", "EVICTS; WITH LESS; WHY"),
        [
            (
                each["model"],
                each["outcome"],
                f"{each['needed_mb']} MiB",
                _short(each),
                f"{each['wait_s']:.1f} s" if "wait_s" in each else "",
                _told(each),
            )
            for each in plans
        ],
    )
