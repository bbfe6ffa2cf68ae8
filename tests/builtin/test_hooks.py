# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pluggy

from modeld import (
    EvictionPolicy,
    ModelService,
    Observer,
    OutputFormatter,
    RegistrySource,
    Settings,
    hookspecs,
)
from modeld.builtin.huggingface import HuggingFaceSettings
from modeld.builtin.manifest import ManifestSettings
from modeld.builtin.ollama.store import OllamaStoreSettings
from modeld.builtin.packages import PackagesSettings
from modeld.plugins.installed_plugin import WITHOUT_SETTINGS

KINDS = (EvictionPolicy, ModelService, Observer, OutputFormatter, RegistrySource)


def manager() -> pluggy.PluginManager:
    """Return all built-in plugins, found by their entry points and checked against the hooks."""
    found = pluggy.PluginManager(hookspecs.PROJECT)
    found.add_hookspecs(hookspecs)
    for entry in entry_points(group="modeld"):
        if entry.value.startswith("modeld.builtin."):
            plugin = entry.load()
            found.register(plugin() if isinstance(plugin, type) else plugin, entry.name)
    found.check_pending()
    return found


def test_every_built_in_plugin_brings_what_it_is_named_after() -> None:
    hooks = manager().hook
    turned_on = (
        HuggingFaceSettings(enabled=True),
        ManifestSettings(file="models.yaml"),
        OllamaStoreSettings(enabled=True),
        PackagesSettings(enabled=True),
    )
    settings = Settings(plugins=turned_on)
    names = {
        thing.name
        for hook in (
            hooks.modeld_register_sources,
            hooks.modeld_register_eviction_policies,
            hooks.modeld_register_formatters,
            hooks.modeld_register_observers,
        )
        for things in hook(settings=settings)
        for thing in things
        if isinstance(thing, KINDS)
    }
    sources = {"gguf-folder", "huggingface", "manifest", "ollama-store", "packages"}
    policies = {"cost-aware", "lfu", "lru"}
    others = {"ndjson", "sse", "plain-json", "prometheus", "trace"}
    assert names == sources | policies | others
    assert names == {name for name, _ in manager().list_name_plugin()}


def test_those_with_settings_are_asked_for_them_and_no_other_is_imported() -> None:
    own = manager()
    with_settings = {
        implementation.plugin_name
        for implementation in own.hook.modeld_register_settings.get_hookimpls()
    }
    assert with_settings == {name for name, _ in own.list_name_plugin()} - WITHOUT_SETTINGS


def test_importing_the_built_in_plugins_loads_no_web_stack_and_no_runtime() -> None:
    modules = sorted(
        entry.module
        for entry in entry_points(group="modeld")
        if entry.value.startswith("modeld.builtin.")
    )
    heavy = {"starlette", "uvicorn", "pydantic", "anyio", "llama_cpp", "numpy"}
    code = f"import sys, {', '.join(modules)}; print(*sorted({heavy!r} & sys.modules.keys()))"
    result = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert result.stdout.split() == []
