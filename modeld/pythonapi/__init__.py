# SPDX-License-Identifier: GPL-3.0-only
"""The models from Python, without HTTP: asynchronous and blocking."""
