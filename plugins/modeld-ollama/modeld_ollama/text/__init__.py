# SPDX-License-Identifier: GPL-3.0-only
"""``POST /api/chat`` and ``POST /api/generate``: their bodies, their routes, their responses."""
