# SPDX-License-Identifier: GPL-3.0-only
"""The built-in source of what Ollama has pulled."""
