# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/completions``: its body, its route, its responses."""
