# SPDX-License-Identifier: GPL-3.0-only
"""The routes for generations and unary requests, in modeld's own wire format."""
