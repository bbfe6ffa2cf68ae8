# SPDX-License-Identifier: GPL-3.0-only
"""The choice of the next token."""
