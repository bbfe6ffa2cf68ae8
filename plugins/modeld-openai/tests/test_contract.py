# SPDX-License-Identifier: GPL-3.0-only
"""The plugin keeps to the contract of dialects."""

from __future__ import annotations

from modeld_openai import plugin

from modeld.testing import DialectContract


class TestDialect(DialectContract):
    plugin = plugin
