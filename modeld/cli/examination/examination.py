# SPDX-License-Identifier: GPL-3.0-only
"""All checks in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from modeld.cli.examination import (
    catalogue,
    configuration,
    files,
    interpreter,
    limits,
    listening,
    memory,
    models,
    plugins,
    processors,
    runtimes,
    surroundings,
)
from modeld.cli.examination.catalogue import Catalogue, Loadable
from modeld.cli.examination.group import Group, examine, failed
from modeld.cli.examination.machine import Machine
from modeld.cli.examination.memory import Memory
from modeld.cli.progress import progress
from modeld.errors import ConfigurationError
from modeld.hosting.host import hosting
from modeld.plugin_guard import PluginFault, guarded
from modeld.plugins import PluginHost
from modeld.settings import Resolved, Settings
from modeld.values import Finding

SURVEYED_S: Final = 300.0
"""How long sources and backends may take in all; each of them has a limit of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What is examined. ``model`` is the one to measure with, ``None`` for a fitting one."""

    resolved: Resolved
    machine: Machine
    config_file: Path | None
    scripts: Path
    measures: bool
    model: str | None

    @property
    def settings(self) -> Settings:
        """The settings as the server would have them."""
        return self.resolved.settings


def examine_all(asked: Examination) -> list[Group]:
    """Run every check. What others load the machine with is read before anything is measured."""
    machine, settings = asked.machine, asked.settings
    found = processors.read_processors(machine)
    room = memory.read_memory(machine)
    cpu_group = examine(
        "processors",
        partial(processors.check_processors, found, machine),
        partial(processors.check_threads, found, settings),
        partial(processors.check_load, found, machine),
    )
    host, plugin_group = _plugins(settings)
    listed, backend_group = _survey(asked, host, room)
    return [
        _interpreter(asked, host),
        _settings(asked),
        plugin_group,
        backend_group,
        _models(settings, machine, listed),
        _memory(settings, machine, listed, room, runtimes.gpu_bytes(backend_group)),
        examine("address", partial(listening.check_address, settings, machine)),
        examine(
            "limits",
            partial(limits.check_limits, settings, machine),
            partial(limits.check_address_space, settings, machine, listed),
        ),
        cpu_group,
        examine(
            "surroundings",
            partial(surroundings.check_manager, machine),
            partial(surroundings.check_container, machine),
            partial(surroundings.check_clock, machine),
        ),
    ]


def _interpreter(asked: Examination, host: PluginHost | None) -> Group:
    found = {each.distribution for each in host.statuses()} if host else set()
    distributions = ["modeld", *sorted(found - {"modeld", ""})]
    return examine(
        "interpreter",
        partial(interpreter.check_python, interpreter.Python()),
        partial(interpreter.check_libraries, distributions),
        interpreter.check_imports,
        partial(interpreter.check_command, asked.machine.environ, asked.scripts),
    )


def _settings(asked: Examination) -> Group:
    checks = [partial(configuration.check_origins, asked.resolved)]
    if asked.config_file is not None:
        checks.append(partial(configuration.check_config_file, asked.config_file))
    return examine(
        "settings",
        *checks,
        partial(configuration.check_keys, asked.settings),
        partial(configuration.check_reach, asked.settings),
    )


def _plugins(settings: Settings) -> tuple[PluginHost | None, Group]:
    try:
        host = PluginHost.discover(settings)
    except ConfigurationError as exc:
        return None, Group("plugins", [plugins.refused(exc)])
    return host, examine("plugins", partial(plugins.check_plugins, host))


def _models(settings: Settings, machine: Machine, listed: Catalogue) -> Group:
    folder = Path(settings.models_dir)
    return examine(
        "models",
        partial(models.check_sources, listed, settings),
        partial(models.check_files, listed),
        partial(models.check_settings, listed, settings),
        partial(models.check_duplicates, listed),
        lambda: files.check_file_system(folder.expanduser(), machine),
        lambda: files.check_permissions(folder.expanduser(), listed.specs),
    )


def _memory(
    settings: Settings, machine: Machine, listed: Catalogue, room: Memory | None, gpu_bytes: int
) -> Group:
    checks = [partial(memory.check_memory, room, machine)] if room is not None else []
    return examine(
        "memory",
        *checks,
        partial(memory.check_budget, settings, room, gpu_bytes, listed),
        partial(memory.check_needs, listed, settings),
    )


def _survey(
    asked: Examination, host: PluginHost | None, room: Memory | None
) -> tuple[Catalogue, Group]:
    """Sources and backends, each on an event loop in a thread that can be left behind."""
    if host is None:
        return Catalogue(), Group(runtimes.TITLE)
    # Workers are processes of their own whatever the setting: no runtime comes into this one.
    settings = replace(asked.settings, engine_host="process", spare_workers=0)
    try:
        listed = guarded(
            "the survey",
            lambda: asyncio.run(_catalogue(settings, host, measures=asked.measures)),
            SURVEYED_S,
        )
        return listed, _backends(settings, host, _chosen(asked, host, listed, room))
    except PluginFault as fault:
        return Catalogue(), Group(runtimes.TITLE, [failed("survey", str(fault))])


async def _catalogue(settings: Settings, host: PluginHost, *, measures: bool) -> Catalogue:
    listed = await catalogue.read(settings, host)
    if not measures:
        return listed
    workers = hosting(settings, tuple(host.backends.values()))
    try:
        return await catalogue.measure(listed, memory.limit_bytes(settings), workers)
    finally:
        await workers.aclose()


def _backends(settings: Settings, host: PluginHost, chosen: Loadable | Finding | None) -> Group:
    """The progress is shown on this thread, so that Ctrl-C ends it and leaves a sound terminal."""
    model = chosen if isinstance(chosen, Loadable) else None
    backends = tuple(host.backends.values())

    async def examined(draw: Callable[[float], None]) -> Group:
        workers = hosting(settings, backends)
        try:
            return await runtimes.examine_backends(backends, model, workers, draw)
        finally:
            await workers.aclose()

    what = f"measuring threads with {model.spec.id}" if model else "asking the backends"
    with progress(what) as draw:
        group = guarded("the survey", lambda: asyncio.run(examined(draw)), SURVEYED_S)
    if isinstance(chosen, Finding):
        group.findings.append(chosen)
    return group


def _chosen(
    asked: Examination, host: PluginHost, listed: Catalogue, room: Memory | None
) -> Loadable | Finding | None:
    if not asked.measures or not host.backends:
        return None
    rooms = (memory.limit_bytes(asked.settings), room.available_bytes if room else None)
    least = min((each for each in rooms if each is not None), default=None)
    return runtimes.subject(listed, asked.model, least)
