# SPDX-License-Identifier: GPL-3.0-only
"""Models that are loaded for vectors."""
