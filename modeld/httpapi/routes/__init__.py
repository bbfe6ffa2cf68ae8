# SPDX-License-Identifier: GPL-3.0-only
"""The routes of modeld's own API."""
