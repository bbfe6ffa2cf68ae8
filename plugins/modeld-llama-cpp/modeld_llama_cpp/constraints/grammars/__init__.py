# SPDX-License-Identifier: GPL-3.0-only
"""Regular expressions and grammars of requests, read and written for llguidance."""
