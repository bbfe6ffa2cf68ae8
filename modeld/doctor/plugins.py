# SPDX-License-Identifier: GPL-3.0-only
"""The installed plugins: broken ones, blocked ones, and what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from modeld.doctor.report import error, ok, warning
from modeld.errors import ConfigurationError
from modeld.expectation import nearest
from modeld.plugins.host import PluginHost
from modeld.values import Finding, PluginStatus


def check_plugins(host: PluginHost) -> Iterator[Finding]:
    """Check what is installed, and whether a server could do its work with it."""
    statuses = host.statuses()
    yield from _check_states(statuses)
    yield from _check_block_list(host, statuses)
    if not host.backends:
        yield error(
            "backends",
            "there is none, or all are blocked or broken, so no model can be loaded",
            "pip install modeld[llama] for GGUF models",
        )
    if not host.sources:
        yield error(
            "sources",
            "there is none, so no model is found",
            "take gguf-folder out of block_plugins",
        )
    yield ok("eviction policy", host.policy().name)


def refused(exc: ConfigurationError) -> Finding:
    """Return the finding that the plugins cannot be used together."""
    message, _, fix = exc.message.partition("; ")
    return error("plugins", message, fix or "change the setting, or install the plugin")


def _check_states(statuses: Sequence[PluginStatus]) -> Iterator[Finding]:
    active = [each for each in statuses if each.state == "active"]
    names = ", ".join(each.name for each in active)
    yield ok("active", names or "none", plugins=[each.name for each in active])
    for each in statuses:
        where = f"{each.distribution} {each.version}".strip() or "this application"
        if each.state == "broken":
            yield error(
                each.name,
                f"the plugin (of {where}) is left out: {each.reason}",
                f"pip install --upgrade --force-reinstall {each.distribution}, or uninstall it,"
                f" or leave it out with --block-plugins {each.name}",
            )
        elif each.reason:
            yield warning(
                each.name,
                f"of the plugin (of {where}) not all is in use: {each.reason}",
                f"pip install --upgrade {each.distribution}, or go without",
            )
        elif each.state == "blocked":
            yield ok(each.name, f"the plugin (of {where}) is blocked by block_plugins")


def _check_block_list(host: PluginHost, statuses: Sequence[PluginStatus]) -> Iterator[Finding]:
    known = [each.name for each in statuses]
    for name in host.settings.block_plugins:
        if name not in known:
            yield warning(
                "block_plugins",
                f"there is no plugin {name!r}{nearest(name, known)}",
                "take the name out of block_plugins",
            )
