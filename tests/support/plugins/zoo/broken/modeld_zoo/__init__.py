# SPDX-License-Identifier: GPL-3.0-only
"""Plugins that are each wrong in one way, and a few that are not."""
