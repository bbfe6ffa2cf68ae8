# SPDX-License-Identifier: GPL-3.0-only
"""Anthropic's wire format as a dialect of modeld."""
