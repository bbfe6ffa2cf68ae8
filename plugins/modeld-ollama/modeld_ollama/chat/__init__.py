# SPDX-License-Identifier: GPL-3.0-only
"""``POST /api/chat``: its messages and its tools."""
