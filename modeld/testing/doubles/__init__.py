# SPDX-License-Identifier: GPL-3.0-only
"""What stands in for the rest of modeld in a plugin's tests: engine, service, client, time."""
