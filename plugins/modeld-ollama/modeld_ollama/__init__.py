# SPDX-License-Identifier: GPL-3.0-only
"""Ollama's wire format as a dialect of modeld."""
