# SPDX-License-Identifier: GPL-3.0-only
"""The side of the worker: runs one engine, in a process or in a thread."""
