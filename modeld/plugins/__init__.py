# SPDX-License-Identifier: GPL-3.0-only
"""Finds plugins, collects what they bring, and contains what they do wrong."""
