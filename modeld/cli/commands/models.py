# SPDX-License-Identifier: GPL-3.0-only
"""``modeld models``: lists the models that can be served, and why some files cannot be."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import click
from msgspec.structs import replace

from modeld.cli import logs
from modeld.cli.params import SettingsCommand, resolved, settings_options
from modeld.machine.files import Machine
from modeld.machine.memory import Capacity
from modeld.plugins.host import PluginHost
from modeld.serving.memory.machine_budget import MachineBudget
from modeld.serving.models.capabilities import described
from modeld.serving.models.explanation import Effective, explained
from modeld.serving.models.registry import Registry
from modeld.serving.state.budget import Ledger
from modeld.sizes import size_text
from modeld.terminal import rows_as_text, visible
from modeld.values import ModelSpec

_FIELDS = (
    "id",
    "name",
    "path",
    "format",
    "family",
    "quant",
    "size_bytes",
    "context_length",
    "source",
    "problem",
    "capabilities",
    "need_bytes",
    "fit",
    "short_by_bytes",
    "gives_up",
    "aliases",
    "names",
    "preset_of",
    "projector",
)


@click.command("models", cls=SettingsCommand)
@click.option("--verbose", "-v", is_flag=True, help="say why files cannot be used, and show paths")
@click.option("--json", "as_json", is_flag=True, help="print a JSON array instead of a table")
@click.option(
    "--explain",
    metavar="MODEL",
    help="show every option of this model with its value, and where that comes from",
)
@settings_options(
    "models_dir",
    "follow_links",
    "memory_budget_mb",
    "memory_margin_mb",
    "fit",
    "block_plugins",
    "log_level",
)
def command(*, verbose: bool, as_json: bool, explain: str | None, **given: Any) -> int:
    """List the models that can be served.

    Reads the files' headers and loads nothing. FIT says how what a model needs, as estimated, fits
    into the memory budget: it fits; it fits alone, because it takes more than half; it fits
    reduced, with less than it is configured for, and --verbose says with what; or never, and by how
    much. A model that is larger than the memory of this machine has that for a problem. The exit
    code is 1 if a source of models failed, a missing folder for example.

    \b
    Examples:
      modeld models --models-dir ~/models/llm
      modeld models --verbose                    with the reason for each file that is no use
      modeld models --json | jq -r '.[] | select(.capabilities | index("embed")).id'
      modeld models --explain smollm2-135m-instruct
    """
    settings = resolved(given).settings
    logs.configure(settings, sys.stderr)
    plugins = PluginHost.discover(settings)
    budget = MachineBudget(settings, Machine(), plugins.backends.values())
    declared = partial(described, settings=settings, plugins=plugins, most=budget.ledger.ever)
    registry = Registry(plugins.sources.values(), described=declared, settings=settings)
    asyncio.run(registry.refresh())
    if explain is not None:
        known = registry.known(explain)
        effective = explained(known, settings, plugins, most=budget.ledger.ever)
        click.echo(_explained_as_json(effective) if as_json else _explained_as_table(effective))
        return 0
    specs = _with_sizes(registry.specs(), budget.ledger)
    if as_json:
        click.echo(_as_json(specs))
    elif specs:
        click.echo(_as_table(specs, verbose=verbose))
    elif not registry.errors:
        click.echo(f"no models in {visible(settings.models_dir)}", err=True)
    return 1 if registry.errors else 0


def _with_sizes(specs: Sequence[ModelSpec], ledger: Ledger) -> Sequence[ModelSpec]:
    """Return the models, with a problem for those that the server would not load for their size."""
    if ledger.gpus:
        return specs
    return [_with_size(spec, ledger.main.capacity) for spec in specs]


def _with_size(spec: ModelSpec, capacity: Capacity) -> ModelSpec:
    """Return the model, with a problem if the server would refuse to load it for its size."""
    most, needed = capacity.size_bytes, spec.need_bytes
    if most is None or needed is None or needed <= most:
        return spec
    said = f"it needs {needed >> 20} MiB (estimated), and this machine has {capacity.said}"
    return replace(spec, problem=said, capabilities=())


def _explained_as_json(effective: Sequence[Effective]) -> str:
    rows = [{"option": each.option, "value": each.value, "from": each.origin} for each in effective]
    return json.dumps(rows, indent=2)


def _explained_as_table(effective: Sequence[Effective]) -> str:
    rows = [[each.option, json.dumps(each.value), each.origin] for each in effective]
    return rows_as_text(["OPTION", "VALUE", "FROM"], rows)


def _as_json(specs: Sequence[ModelSpec]) -> str:
    # The standard encoder writes pure ASCII, whatever bytes a file's name is made of.
    return json.dumps([{name: getattr(spec, name) for name in _FIELDS} for spec in specs], indent=2)


def _as_table(specs: Sequence[ModelSpec], *, verbose: bool) -> str:
    header = ["MODEL", "FAMILY", "QUANT", "SIZE", "CONTEXT", "FIT", "PROBLEM"]
    return rows_as_text(
        [*header, "PATH"] if verbose else header,
        [_row(spec, verbose=verbose) for spec in specs],
    )


def _row(spec: ModelSpec, *, verbose: bool) -> list[str]:
    context = str(spec.context_length) if spec.context_length else ""
    fit = spec.fit or ""
    if spec.short_by_bytes:
        fit = f"never, short by {size_text(spec.short_by_bytes)}"
    row = [spec.id, spec.family, spec.quant, size_text(spec.size_bytes), context, fit]
    if verbose:
        gives_up = f"with {spec.gives_up}" if spec.gives_up else ""
        return [*row, spec.problem or gives_up, spec.path]
    return [*row, "not usable, see --verbose" if spec.problem else ""]
