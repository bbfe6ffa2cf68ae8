# SPDX-License-Identifier: GPL-3.0-only
"""A dashboard for modeld, under ``/ui``."""
