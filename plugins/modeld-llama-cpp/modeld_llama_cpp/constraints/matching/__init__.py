# SPDX-License-Identifier: GPL-3.0-only
"""Compiled constraints, the tokenizers for them, and the matchers that follow a generation."""
