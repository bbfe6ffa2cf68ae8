# SPDX-License-Identifier: GPL-3.0-only
"""The settings of this plugin: in the file, as variables and as flags, as modeld's own are."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modeld import PluginSettings


class TemplateSettings(PluginSettings, frozen=True):
    """What can be set for the plugin as a whole; options of one model are in ``backend.py``."""

    suffix: Annotated[str, Meta(description="what the files of its models end with")] = ".template"
