# SPDX-License-Identifier: GPL-3.0-only
"""What a generation must conform to: schemas and grammars of requests, prepared for llguidance."""
