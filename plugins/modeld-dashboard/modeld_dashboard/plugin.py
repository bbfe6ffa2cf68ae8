# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds by entry point."""

from __future__ import annotations


class DashboardPlugin:
    """Brings the pages under ``/ui``; made anew for each application."""
