# SPDX-License-Identifier: GPL-3.0-only
"""``POST /api/embed`` and ``POST /api/embeddings``."""
