# SPDX-License-Identifier: GPL-3.0-only
"""Connections and the process: uvicorn with limits, addresses, signals, systemd."""
