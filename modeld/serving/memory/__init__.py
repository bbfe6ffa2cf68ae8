# SPDX-License-Identifier: GPL-3.0-only
"""The memory budget of one server: its size, what changes it, and other servers beside it."""
