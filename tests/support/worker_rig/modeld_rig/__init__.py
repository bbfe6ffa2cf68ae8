# SPDX-License-Identifier: GPL-3.0-only
"""The fault rig: a backend whose engine does on request all that an engine must not do.

It is found by its entry point when `tests/support/worker_rig` is on the path, as any plugin is.
"""
