# SPDX-License-Identifier: GPL-3.0-only
"""The plugin keeps to the contracts of routes and of observers."""

from __future__ import annotations

from modeld_dashboard.feed import Feed
from modeld_dashboard.plugin import DashboardPlugin

from modeld.testing import ObserverContract, RoutesContract


class TestRoutes(RoutesContract):
    plugin = DashboardPlugin


class TestFeed(ObserverContract):
    observer = Feed()
