# SPDX-License-Identifier: GPL-3.0-only
"""Writers of JSON on one line, under the name by which dialects import them."""

from __future__ import annotations

from modeld.json_text import json_line, json_long_text, json_text, on_one_line

__all__ = ["json_line", "json_long_text", "json_text", "on_one_line"]
