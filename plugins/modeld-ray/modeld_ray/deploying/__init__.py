# SPDX-License-Identifier: GPL-3.0-only
"""From settings to a cluster that serves: the command, and the file for Ray."""
