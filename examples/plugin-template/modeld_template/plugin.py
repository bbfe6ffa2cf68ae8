# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds by entry point: it must be cheap to import, so no runtime is imported here."""

from __future__ import annotations

from collections.abc import Iterable

from modeld import Backend, PluginSettings, RegistrySource, Settings, hookimpl
from modeld_template.backend import TemplateBackend
from modeld_template.settings import TemplateSettings
from modeld_template.source import TemplateSource


@hookimpl
def modeld_register_settings() -> type[PluginSettings]:
    """Bring the settings that stand under the plugin's name."""
    return TemplateSettings


@hookimpl
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:
    """Bring what finds the models."""
    return [TemplateSource(settings.models_dir, settings.of(TemplateSettings).suffix)]


@hookimpl
def modeld_register_backends() -> Iterable[Backend]:
    """Bring what loads them."""
    return [TemplateBackend()]
