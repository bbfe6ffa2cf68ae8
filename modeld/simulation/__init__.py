# SPDX-License-Identifier: GPL-3.0-only
"""Replays requests through the real scheduler on a virtual clock, to compare policies."""
