# SPDX-License-Identifier: GPL-3.0-only
"""Runs all checks in their order, and calls sources and backends for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from msgspec.structs import replace

from modeld.device_bytes import DeviceBytes
from modeld.doctor import (
    address,
    backends,
    environment,
    files,
    interpreter,
    inventory,
    limits,
    memory,
    models,
    plugins,
    processors,
    settings,
)
from modeld.doctor.inventory import Inventory, Loadable
from modeld.doctor.report import Group, failed, run_checks
from modeld.errors import ConfigurationError
from modeld.hosting.host import hosting
from modeld.machine.files import Machine
from modeld.machine.memory import Memory, read_memory
from modeld.plugins.guard import PluginFault, guarded
from modeld.plugins.host import PluginHost
from modeld.serving.memory.machine_budget import MachineBudget
from modeld.settings import Resolved, Settings
from modeld.values import Finding

ASKED_S: Final = 300.0
"""How long sources and backends may take in all; each of them has a limit of its own."""

Progress: TypeAlias = Callable[[str], AbstractContextManager[Callable[[float], None]]]
"""Shows one part of the work by its name; what it gives is told how far that is, up to 1.0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorOptions:
    """What the doctor looks at. ``model`` is the one to measure with, ``None`` for a fitting one.

    ``scripts`` is the folder of the command that runs this. Without ``measures`` no model is
    loaded and no dry run made.
    """

    resolved: Resolved
    machine: Machine
    config_file: Path | None
    scripts: Path
    measures: bool
    model: str | None
    progress: Progress

    @property
    def settings(self) -> Settings:
        """Return the settings as the server would have them."""
        return self.resolved.settings


def diagnose(options: DoctorOptions) -> list[Group]:
    """Run every check and return the findings, group by group.

    What others load the machine with is read before anything is measured.
    """
    machine = options.machine
    found = processors.read_processors(machine)
    main_memory = read_memory(machine)
    cpu_group = run_checks(
        "processors",
        partial(processors.check_processors, found, machine),
        partial(processors.check_threads, found, options.settings),
        partial(processors.check_load, found, machine),
    )
    host, refused = _discovered(options.settings)
    budget = MachineBudget(options.settings, machine, host.backends.values() if host else ())
    settings_group = _settings(options, host)  # asks the plugins for all that they bring
    listed, backend_group = _models_and_backends(options, host, main_memory, budget)
    return [
        _interpreter(options, host),
        settings_group,
        _plugins(host, refused),
        backend_group,
        _models(options, listed),
        _memory(options, listed, main_memory, budget),
        run_checks("address", partial(address.check_address, options.settings, machine)),
        run_checks(
            "limits",
            partial(limits.check_limits, options.settings, machine),
            partial(limits.check_address_space, options.settings, machine, listed),
        ),
        cpu_group,
        run_checks(
            "environment",
            partial(environment.check_manager, machine),
            partial(environment.check_container, machine),
            partial(environment.check_clock, machine),
        ),
    ]


def _interpreter(options: DoctorOptions, host: PluginHost | None) -> Group:
    found = {each.distribution for each in host.statuses()} if host else set()
    distributions = ["modeld", *sorted(found - {"modeld", ""})]
    return run_checks(
        "interpreter",
        partial(interpreter.check_python, interpreter.Python()),
        partial(interpreter.check_libraries, distributions),
        interpreter.check_imports,
        partial(interpreter.check_command, options.machine.environ, options.scripts),
    )


def _settings(options: DoctorOptions, host: PluginHost | None) -> Group:
    checks = [partial(settings.check_origins, options.resolved)]
    if options.config_file is not None:
        checks.append(partial(settings.check_config_file, options.config_file))
    checks.append(partial(settings.check_keys, options.settings))
    checks.append(partial(settings.check_reach, options.settings))
    if host is not None:
        checks.append(partial(settings.check_application, options.settings, host))
    return run_checks("settings", *checks)


def _discovered(given: Settings) -> tuple[PluginHost | None, Finding | None]:
    """Return the plugins, or why they cannot be used together."""
    try:
        return PluginHost.discover(given), None
    except ConfigurationError as exc:
        return None, plugins.refused(exc)


def _plugins(host: PluginHost | None, refused: Finding | None) -> Group:
    if host is None:
        return Group("plugins", [refused] if refused else [])
    return run_checks("plugins", partial(plugins.check_plugins, host))


def _models(options: DoctorOptions, listed: Inventory) -> Group:
    folders = [Path(folder).expanduser() for folder in options.settings.model_folders]
    checks = [
        partial(models.check_sources, listed, options.settings),
        partial(models.check_files, listed),
        partial(models.check_settings, listed, options.settings),
        partial(models.check_duplicates, listed),
    ]
    return run_checks(
        "models",
        *(checks if listed.is_known else ()),
        *(partial(files.check_file_system, folder, options.machine) for folder in folders),
        lambda: files.check_permissions(folders, listed.specs),
    )


def _memory(
    options: DoctorOptions,
    listed: Inventory,
    main_memory: Memory | None,
    budget: MachineBudget,
) -> Group:
    checks = []
    if main_memory is not None:
        checks.append(partial(memory.check_memory, main_memory, options.machine))
    return run_checks(
        "memory",
        *checks,
        partial(memory.check_budget, options.settings, main_memory, listed, budget.auto),
        partial(memory.check_gpus, budget.ledger),
        partial(memory.check_needs, listed, options.settings, budget.ledger),
    )


def _models_and_backends(
    options: DoctorOptions,
    host: PluginHost | None,
    main_memory: Memory | None,
    budget: MachineBudget,
) -> tuple[Inventory, Group]:
    """Ask sources and backends, each on an event loop in a thread that can be left behind."""
    listed = Inventory(is_known=False)
    if host is None:
        return listed, Group(backends.TITLE)
    # Workers are processes of their own whatever the setting: no runtime comes into this one.
    given = replace(options.settings, engine_host="process", warm_workers=0)
    try:
        listed = guarded(
            "listing the models",
            lambda: asyncio.run(_inventory(given, host, options, budget)),
            ASKED_S,
        )
        chosen = _chosen(options, host, listed, main_memory, budget)
        return listed, _backends(options, given, host, chosen)
    except PluginFault as fault:
        return listed, Group(backends.TITLE, [failed(backends.TITLE, str(fault))])


async def _inventory(
    given: Settings, host: PluginHost, options: DoctorOptions, budget: MachineBudget
) -> Inventory:
    listed = await inventory.read(given, host)
    if not options.measures:
        return listed
    workers = hosting(given, tuple(host.backends.values()))
    try:
        return await inventory.measure(listed, budget.ledger.ever, workers)
    finally:
        await workers.aclose()


def _backends(
    options: DoctorOptions, given: Settings, host: PluginHost, chosen: Loadable | Finding | None
) -> Group:
    """Have the backends look, with the progress shown on this thread.

    So Ctrl-C ends it and leaves a sound terminal.
    """
    model = chosen if isinstance(chosen, Loadable) else None
    found = tuple(host.backends.values())

    async def diagnosed(draw: Callable[[float], None]) -> Group:
        workers = hosting(given, found)
        try:
            return await backends.diagnose_backends(found, model, workers, draw)
        finally:
            await workers.aclose()

    what = f"measuring threads with {model.spec.id}" if model else "asking the backends"
    with options.progress(what) as draw:
        group = guarded(what, lambda: asyncio.run(diagnosed(draw)), ASKED_S)
    if isinstance(chosen, Finding):
        group.findings.append(chosen)
    return group


def _chosen(
    options: DoctorOptions,
    host: PluginHost,
    listed: Inventory,
    main_memory: Memory | None,
    budget: MachineBudget,
) -> Loadable | Finding | None:
    if not options.measures or not host.backends:
        return None
    available = main_memory.available_bytes if main_memory else None
    most = budget.ledger.ever
    if available is not None:
        most = DeviceBytes(min(most.main, available), most.gpus, most.rest)
    return backends.subject(listed, options.model, most)
