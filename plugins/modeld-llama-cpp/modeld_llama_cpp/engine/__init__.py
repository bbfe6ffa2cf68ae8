# SPDX-License-Identifier: GPL-3.0-only
"""Continuous batching: what is decided, what is done, what becomes of each request."""
