# SPDX-License-Identifier: GPL-3.0-only
"""The routes that have a model work, in the form of modeld itself."""
