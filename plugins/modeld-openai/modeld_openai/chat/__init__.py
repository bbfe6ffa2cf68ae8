# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/chat/completions``: its messages, its tools, its responses."""
