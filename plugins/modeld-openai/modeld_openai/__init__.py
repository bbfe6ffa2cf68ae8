# SPDX-License-Identifier: GPL-3.0-only
"""OpenAI's wire format as a dialect of modeld."""
