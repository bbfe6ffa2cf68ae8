# SPDX-License-Identifier: GPL-3.0-only
"""Pulls that clients of a server ask for."""
