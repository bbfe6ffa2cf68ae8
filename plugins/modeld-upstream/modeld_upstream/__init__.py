# SPDX-License-Identifier: GPL-3.0-only
"""Any OpenAI-compatible server as a backend of modeld."""
