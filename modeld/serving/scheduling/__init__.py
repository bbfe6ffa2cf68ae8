# SPDX-License-Identifier: GPL-3.0-only
"""Decides which requests go ahead, which models are loaded and which leave; it never waits."""
