# SPDX-License-Identifier: GPL-3.0-only
"""Compiled constraints, the vocabularies that they are about, and what follows a generation."""
