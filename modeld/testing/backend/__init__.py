# SPDX-License-Identifier: GPL-3.0-only
"""The contract of a backend and its engines."""
