# SPDX-License-Identifier: GPL-3.0-only
"""Pulls of a server's clients."""
