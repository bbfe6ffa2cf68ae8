# SPDX-License-Identifier: GPL-3.0-only
"""Texts to tokens and tokens to texts."""
