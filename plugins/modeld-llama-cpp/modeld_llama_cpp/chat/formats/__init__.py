# SPDX-License-Identifier: GPL-3.0-only
"""How models of each family write their thoughts and their calls of tools."""
