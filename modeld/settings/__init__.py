# SPDX-License-Identifier: GPL-3.0-only
"""The settings: what can be set, and where each value comes from."""

from modeld.settings.resolution import Resolved, resolve
from modeld.settings.table import TABLE, ModelOptions, Settings

__all__ = ["TABLE", "ModelOptions", "Resolved", "Settings", "resolve"]
