# SPDX-License-Identifier: GPL-3.0-only
"""Servers that are started when their model is needed, and ended with it."""
