# SPDX-License-Identifier: GPL-3.0-only
"""Plugins that bring commands of `modeld`, good ones and others."""
