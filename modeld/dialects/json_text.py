# SPDX-License-Identifier: GPL-3.0-only
"""What encoders write JSON with that stays on one line, at the place where dialects look for it."""

from __future__ import annotations

from modeld.json_text import json_line, json_long_text, json_text, on_one_line

__all__ = ["json_line", "json_long_text", "json_text", "on_one_line"]
